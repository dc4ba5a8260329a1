"""Makes tests/text/data/tokenizer_json/: a tiny tokenizer of our own with variants, and goldens of it and of published tokenizers, from the `tokenizers` library.

    python3 tests/text/make_tokenizer_json_goldens.py [FOLDER_OF_PUBLISHED_TOKENIZERS]

Needs the packages tokenizers and gguf (for the module beside this one). Files:

    tokenizer.json, tokenizer_config.json   byte-level BPE trained on the generated strings, five added tokens with all flags
    variants.json   [{"name", "replace": {part of tokenizer.json: value}, "data": [hashes], "template": [hashes]}, ...] for N_VARIANT strings
    nfc.bin         u64 per block of 256 code points: FNV-1a of NFC (UTF-8) of a text that shows each code point between letters and marks of other classes,
                    then 2,000 of random sequences of 1-30 letters, marks and jamo
    NAME.bin        per published tokenizer: u64 hashes for N_PUBLISHED strings, the data mode, then the template mode

A hash is FNV-1a of the ids (int32) of BLOCK consecutive strings. Strings (support_strings.h describes S(i)):

    data       S(i), with no added tokens at all
    template   S(i) + i % 3 spaces + A[i % n] + i % 2 line feeds + S(50000 + i) + A[i // n % n], A being the n added tokens in the order of the file
"""
import json
import os
import sys

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from make_tokenizer_goldens import CL100K, DATA, Random, fnv1a, make_string, pack_ids, read_pools, write_hashes

FOLDER = os.path.join(DATA, "tokenizer_json")
BLOCK, N_VARIANT, N_PUBLISHED = 10, 400, 20000

O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


def train(pools):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator((make_string(pools, i) for i in range(90001, 92000)),
                                  trainers.BpeTrainer(vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    value = json.loads(tokenizer.to_str())
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    added = [("<|end|>", {"special": True}), ("<|left|>", {"special": True, "lstrip": True}), ("<|right|>", {"rstrip": True, "special": True}),
             ("<think>", {"normalized": True}), ("<think>\u00e9", {"normalized": True, "lstrip": True, "rstrip": True}), ("<|end|><", {"special": False})]
    n = len(value["model"]["vocab"])
    value["added_tokens"] = [{"id": n + i, "content": text, **flags, **own} for i, (text, own) in enumerate(added)]
    value["post_processor"] = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                               "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [n], "tokens": ["<|end|>"]}}}
    return value


def byte_level(use_regex=False, add_prefix_space=False):
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}


def split(pattern, behavior="Isolated", invert=False, literal=False):
    return {"type": "Split", "pattern": {"String" if literal else "Regex": pattern}, "behavior": behavior, "invert": invert}


def sequence(*stages):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(stages)}}


def variants():
    nfc = {"normalizer": {"type": "NFC"}}
    yield "as it is", {}
    yield "NFC", nfc
    yield "NFC twice in a sequence, qwen2's pattern", {"normalizer": {"type": "Sequence", "normalizers": [nfc["normalizer"]] * 2}, **sequence(split(CL100K % ""), byte_level())}
    yield "the pattern of llama 3", sequence(split(CL100K % "{1,3}"), byte_level())
    yield "the pattern of gpt-4o", sequence(split(O200K), byte_level())
    yield "a space in front", {"pre_tokenizer": byte_level(True, True)}
    yield "a space in front, NFC", {"pre_tokenizer": byte_level(False, True), **nfc}
    for individual in (False, True):
        yield "digits, individual: %s" % individual, sequence({"type": "Digits", "individual_digits": individual}, byte_level(True))
    for behavior in ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            yield "%s, inverted: %s" % (behavior, invert), sequence(split(r"\p{N}|[aeiou]|\s", behavior, invert), byte_level(True))
    yield "literal spaces, merged with the next", sequence(split(" ", "MergedWithNext", literal=True), byte_level())
    yield "literal text that would be a pattern", sequence(split("a.", "Isolated", literal=True), byte_level())
    yield "empty matches", sequence(split(r"(?=[A-Z\p{N}])|(?<=\s)"), byte_level())
    yield "the end of a line", sequence(split(r"\s+$|[a-z]$"), split(r"[\r\n]", "MergedWithPrevious"), byte_level())
    ignoring = {"ignore_merges": True}
    yield "ignore_merges", {"model": ignoring}


def replaced(value, replace):
    value = json.loads(json.dumps(value))
    for part, new in replace.items():
        if part == "model":
            value["model"].update(new)
        else:
            value[part] = new
    return value


def make_template_string(pools, added, i):
    n = len(added)
    return make_string(pools, i) + " " * (i % 3) + added[i % n] + "\n" * (i % 2) + make_string(pools, 50000 + i) + added[i // n % n]


def hash_all(pools, value, count):
    added = [token["content"] for token in value["added_tokens"]]
    plain, whole = Tokenizer.from_str(json.dumps({**value, "added_tokens": [], "post_processor": None})), Tokenizer.from_str(json.dumps(value))
    modes = [lambda i: plain.encode(make_string(pools, i)), lambda i: whole.encode(make_template_string(pools, added, i), add_special_tokens=False)]
    for mode in modes:
        yield [fnv1a(b"".join(pack_ids(mode(i).ids) for i in range(start, start + BLOCK))) for start in range(0, count, BLOCK)]


def make_nfc():
    nfc = normalizers.NFC().normalize_str
    hashes = []
    for block in range(0, 0x110000, 256):
        characters = [] if 0xD800 <= block <= 0xDFFF else map(chr, range(block, block + 256))
        hashes.append(fnv1a(nfc("".join("a%s\u0345%se\u0316%s%s\u0301" % (c, c, c, c) for c in characters)).encode()))
    pool = [0x41, 0x61, 0x65, 0x1EA1, 0x1D7, 0xF4, 0x300, 0x301, 0x302, 0x308, 0x30C, 0x316, 0x323, 0x327, 0x334, 0x345, 0x34F, 0x1100, 0x1112, 0x1161, 0x1175, 0x11A7,
            0x11A8, 0x11C2, 0xAC00, 0xAC01, 0xD7A3, 0x915, 0x93C, 0x958, 0x9C7, 0x9BE, 0x212B, 0xFB1D, 0x1D15E, 0x1F82, 0x3B9, 0x313, 0x20]
    for case in range(2000):
        random = Random(case << 32)
        hashes.append(fnv1a(nfc("".join(chr(pool[random.next() % len(pool)]) for _ in range(1 + random.next() % 30))).encode()))
    write_hashes(os.path.join("tokenizer_json", "nfc.bin"), hashes)


def main():
    make_nfc()
    pools = read_pools()
    tiny = train(pools)
    json.dump(tiny, open(os.path.join(FOLDER, "tokenizer.json"), "w"), indent=None, separators=(",", ":"))
    config = {"bos_token": "<|end|>", "eos_token": {"__type": "AddedToken", "content": "<|end|>"}, "add_bos_token": True, "chat_template": "{{ messages[0].content }}"}
    json.dump(config, open(os.path.join(FOLDER, "tokenizer_config.json"), "w"), indent=1)
    rows = []
    for name, replace in variants():
        data, template = hash_all(pools, replaced(tiny, replace), N_VARIANT)
        rows.append({"name": name, "replace": replace, "data": ["%016x" % h for h in data], "template": ["%016x" % h for h in template]})
    json.dump(rows, open(os.path.join(FOLDER, "variants.json"), "w"), indent=None, separators=(",", ":"))
    for name in sorted(os.listdir(sys.argv[1])) if len(sys.argv) > 1 else []:
        path = os.path.join(sys.argv[1], name, "tokenizer.json")
        if os.path.exists(path):
            write_hashes(os.path.join("tokenizer_json", name + ".bin"), sum(hash_all(pools, json.load(open(path)), N_PUBLISHED), []))


if __name__ == "__main__":
    main()
