"""Makes tests/text/data/tokenizer_kinds/: small tokenizers of every kind and goldens of their variants, from the `tokenizers` library.

    python3 tests/text/make_tokenizer_kinds_goldens.py

Needs the packages tokenizers and gguf. Files:

    BASE/tokenizer.json   sentencepiece, unigram, wordpiece: see tokenizer_kinds.py
    variants.json         [{"base", "name", "replace": {part of tokenizer.json: value}, "data": [hashes], "template": [hashes], "decode": [hashes]}, ...]

A hash is FNV-1a over BLOCK consecutive cases of N; of the ids (int32) for data and template (strings as in make_tokenizer_json_goldens.py, with random ids of
tokenizer_kinds.Oracle for decode: of the text, or of "?" where it holds U+FFFD), even cases without control tokens.
"""
import json
import os

from make_tokenizer_goldens import DATA, fnv1a, make_string, pack_ids, read_pools
from tokenizer_kinds import BASES, Oracle, replaced, variants

FOLDER = os.path.join(DATA, "tokenizer_kinds")
N, BLOCK = 400, 40


def hash_blocks(case):
    return ["%016x" % fnv1a(b"".join(case(i) for i in range(start, start + BLOCK))) for start in range(0, N, BLOCK)]


def decoded(oracle, case):
    text = oracle.decode(oracle.random_ids(case), case % 2 == 0)
    return b"?" if text is None else text.encode()


def main():
    pools, rows = read_pools(), []
    for base, train in BASES.items():
        value = train(pools)
        os.makedirs(os.path.join(FOLDER, base), exist_ok=True)
        with open(os.path.join(FOLDER, base, "tokenizer.json"), "w", encoding="utf-8") as file:
            json.dump(value, file, ensure_ascii=False, separators=(",", ":"))
        for name, replace in variants(base):
            oracle = Oracle(replaced(value, replace))
            rows.append({"base": base, "name": name, "replace": replace,
                         "data": hash_blocks(lambda i: pack_ids(oracle.plain.encode(make_string(pools, i), add_special_tokens=False).ids)),
                         "template": hash_blocks(lambda i: pack_ids(oracle.whole.encode(oracle.template_string(pools, i), add_special_tokens=False).ids)),
                         "decode": hash_blocks(lambda i: decoded(oracle, i))})
    with open(os.path.join(FOLDER, "variants.json"), "w") as file:
        json.dump(rows, file, separators=(",", ":"))


if __name__ == "__main__":
    main()
