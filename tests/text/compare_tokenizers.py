"""Compares `sampan tokenize` with the published libraries over many strings: ids of data, ids of template text, decoded texts.

    python3 tests/text/compare_tokenizers.py build/release/sampan [--strings N] [FOLDER_OF_TOKENIZER_JSON ...]

With no folders: the small tokenizers of tokenizer_kinds.py in all their variants, and SentencePiece models trained here and written as GGUF. Needs the packages tokenizers
and gguf, and sentencepiece for the last part. Prints a line per tokenizer; exits 1 where anything differs. (The tests compare a sample of this with committed goldens.)
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import gguf

import tokenizer_kinds as kinds
from make_tokenizer_goldens import make_string, read_pools


def run(sampan, model, lines, *options):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    result = subprocess.run([sampan, "tokenize", model, "--jsonl", *options], input=text, capture_output=True, text=True)
    if result.returncode:
        sys.exit("%s: %s" % (model, result.stderr))
    return [json.loads(line) for line in result.stdout.split("\n")[:-1]]


def differing(name, cases, expected, found):
    wrong = [(case, e, f) for case, e, f in zip(cases, expected, found) if e is not None and e != f]
    for case, e, f in wrong[:2]:
        print("  %s: %.60r: expected %.200r, found %.200r" % (name, case, e, f))
    return len(wrong)


def compare_json(arguments, pools, name, value):
    oracle = kinds.Oracle(value)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "tokenizer.json"), "w") as file:
            json.dump(value, file)
        n = arguments.strings
        data = [make_string(pools, i) for i in range(n)]
        wrong = differing(name + ", data", data, [oracle.plain.encode(text, add_special_tokens=False).ids for text in data], run(arguments.sampan, folder, data))
        if oracle.added:
            template = [oracle.template_string(pools, i) for i in range(n)]
            wrong += differing(name + ", template", template, [oracle.whole.encode(text).ids for text in template], run(arguments.sampan, folder, template, "--special"))
        ids = [oracle.random_ids(i) for i in range(n // 2)] + [oracle.whole.encode(text).ids for text in data[:n - n // 2]]
        for skip, options in ((True, ()), (False, ("--special",))):
            wrong += differing(name + ", decoded", ids, [oracle.decode(case, skip) for case in ids], run(arguments.sampan, folder, ids, "--decode", *options))
    print("%-70.70s %d strings as data and as template, %d decoded twice: %d differ" % (name, n, n, wrong), flush=True)
    return wrong


SENTENCEPIECE = [
    ("llama", "bpe", dict(byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True)),
    ("llama", "bpe", dict(byte_fallback=False, normalization_rule_name="nmt_nfkc")),
    ("t5", "unigram", dict(byte_fallback=False)),
    ("t5", "unigram", dict(byte_fallback=True, add_dummy_prefix=False, remove_extra_whitespaces=False)),
]


def write_gguf(path, model, proto):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list([piece.piece for piece in proto.pieces])
    writer.add_token_scores([piece.score for piece in proto.pieces])
    writer.add_token_types([piece.type for piece in proto.pieces])
    writer.add_add_space_prefix(proto.normalizer_spec.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(proto.normalizer_spec.remove_extra_whitespaces)
    if proto.normalizer_spec.precompiled_charsmap:
        writer.add_precompiled_charsmap(proto.normalizer_spec.precompiled_charsmap)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def compare_sentencepiece(arguments, pools):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    total = 0
    for model, kind, options in SENTENCEPIECE:
        with tempfile.TemporaryDirectory() as folder:
            corpus, prefix, path = (os.path.join(folder, name) for name in ("corpus.txt", "model", "model.gguf"))
            with open(corpus, "w") as file:
                file.write("\n".join(text.replace("\n", " ") for text in kinds.corpus(pools, 400)))
            sentencepiece.SentencePieceTrainer.train(input=corpus, model_prefix=prefix, model_type=kind, vocab_size=1500, minloglevel=2, character_coverage=0.995, **options)
            proto = sentencepiece_model_pb2.ModelProto()
            proto.ParseFromString(open(prefix + ".model", "rb").read())
            write_gguf(path, model, proto)
            processor = sentencepiece.SentencePieceProcessor(model_file=prefix + ".model")
            strings = [make_string(pools, i) for i in range(arguments.strings)]
            name = "sentencepiece %s %s" % (kind, options)
            wrong = differing(name, strings, [processor.encode(text) for text in strings], run(arguments.sampan, path, strings))
            ids = [[i for i in processor.encode(text) if i] for text in strings]  # unknown pieces have a surface of their own there
            texts = [processor.decode(case) for case in ids]
            wrong += differing(name + ", decoded", ids, [None if "\ufffd" in text else text for text in texts], run(arguments.sampan, path, ids, "--decode"))
            print("%-70.70s %d strings and back: %d differ" % (name, len(strings), wrong), flush=True)
            total += wrong
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sampan")
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--strings", type=int, default=20000)
    arguments, pools, wrong = parser.parse_args(), read_pools(), 0
    for folder in arguments.folders:
        wrong += compare_json(arguments, pools, folder, json.load(open(os.path.join(folder, "tokenizer.json"))))
    for base, train in ({} if arguments.folders else kinds.BASES).items():
        value = train(pools)
        for number, (name, replace) in enumerate(kinds.variants(base)):
            few = argparse.Namespace(**{**vars(arguments), "strings": arguments.strings if number == 0 else max(1, arguments.strings // 20)})
            wrong += compare_json(few, pools, "%s, %s" % (base, name), kinds.replaced(value, replace))
    if not arguments.folders:
        wrong += compare_sentencepiece(arguments, pools)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
