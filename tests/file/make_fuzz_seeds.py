#!/usr/bin/env python3
"""Makes the seeds of tests/fuzz/fuzz_gguf.c: tests/fuzz/corpus/gguf/*. Python's standard library only.

    python3 tests/file/make_fuzz_seeds.py
"""
import pathlib
import struct

OUT = pathlib.Path(__file__).parent.parent / "fuzz" / "corpus" / "gguf"
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACK = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    if kind == STRING:
        return string(content)
    if kind == ARRAY:
        element, elements = content
        return struct.pack("<IQ", element, len(elements)) + b"".join(value(element, e) for e in elements)
    return struct.pack("<" + PACK[kind], content)


def entry(key, kind, content):
    return string(key) + struct.pack("<I", kind) + value(kind, content)


def info(name, dimensions, kind, offset):
    return string(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)


def file(entries, infos=(), data=b"", version=3, alignment=32):
    head = b"GGUF" + struct.pack("<IQQ", version, len(infos), len(entries)) + b"".join(entries) + b"".join(infos)
    return head + (b"\0" * (-len(head) % alignment) + data if infos else b"")


ARCHITECTURE = entry("general.architecture", STRING, "llama")
TOKENIZER = [
    entry("tokenizer.ggml.model", STRING, "gpt2"),
    entry("tokenizer.ggml.pre", STRING, "smollm"),
    entry("tokenizer.ggml.tokens", ARRAY, (STRING, ["a", "b", "ab", "<|im_end|>", "<|end|>"])),
    entry("tokenizer.ggml.token_type", ARRAY, (I32, [1, 1, 1, 3, 3])),
    entry("tokenizer.ggml.scores", ARRAY, (F32, [0, 0, 0, 0, 0])),
    entry("tokenizer.ggml.merges", ARRAY, (STRING, ["a b"])),
    entry("tokenizer.ggml.bos_token_id", U32, 0),
    entry("tokenizer.ggml.eos_token_id", U32, 3),
    entry("tokenizer.ggml.eot_token_id", U32, 3),
    entry("tokenizer.ggml.padding_token_id", U32, 0xFFFFFFFF),
    entry("tokenizer.ggml.add_bos_token", BOOL, True),
    entry("tokenizer.chat_template", STRING, "{{ messages }}"),
]


def pieces(model, texts, types, *entries):
    return file([ARCHITECTURE, entry("tokenizer.ggml.model", STRING, model), entry("tokenizer.ggml.tokens", ARRAY, (STRING, texts)),
                 entry("tokenizer.ggml.scores", ARRAY, (F32, [-i for i in range(len(texts))])), entry("tokenizer.ggml.token_type", ARRAY, (I32, types)), *entries])


MARK = "\u2581"
SENTENCEPIECE = ["<unk>", "<s>", "</s>", "<0xC3>", "<0xB6>", "<0x0A>", MARK, "H", "e", "l", "o", "w", "r", "d", MARK + "H", "el", "lo", MARK + MARK, "ab", "\n\n"]
# A character map with the one key "a", which becomes "b": root -> unit of 'a' -> leaf.
CHARSMAP = struct.pack("<I", 2048) + struct.pack("<512I", *[256 << 10 if i == 0 else ord("a") | 1 << 8 | (256 ^ ord("a") ^ 300) << 10 if i == 256 ^ ord("a") else 1 << 31 if i == 300 else 0
                                                            for i in range(512)]) + b"b\0"
SCALARS = [entry(f"k{kind}", kind, 1) for kind in PACK]
ARRAYS = [
    entry("nested", ARRAY, (ARRAY, [(U8, [1, 2]), (BOOL, [True]), (STRING, ["x", ""])])),
    entry("deep", ARRAY, (ARRAY, [(ARRAY, [(ARRAY, [(U16, [1])])])])),
    entry("empty", ARRAY, (F64, [])),
]
SEEDS = {
    "minimal": file([ARCHITECTURE]),
    "version2": file([ARCHITECTURE], version=2),
    "scalars": file([ARCHITECTURE] + SCALARS),
    "arrays": file([ARCHITECTURE] + ARRAYS),
    "tokenizer": file([ARCHITECTURE] + TOKENIZER),
    "tensors": file([ARCHITECTURE], [info("a", [32, 2], 3, 0), info("b", [8], 0, 64), info("c", [256], 14, 96)], b"\1" * 306),
    "alignment": file([ARCHITECTURE, entry("general.alignment", U32, 64)], [info("a", [2, 2, 2, 2], 1, 0)], b"\1" * 32, alignment=64),
    "split": file([ARCHITECTURE, entry("split.count", U16, 2), entry("split.no", U16, 0)]),
    "sentencepiece": pieces("llama", SENTENCEPIECE, [2, 3, 3, 6, 6, 6] + [1] * 13 + [4], entry("tokenizer.ggml.add_space_prefix", BOOL, True)),
    "unigram": pieces("t5", SENTENCEPIECE, [2, 3, 3, 6, 6, 6] + [1] * 13 + [4], entry("tokenizer.ggml.remove_extra_whitespaces", BOOL, True),
                      entry("tokenizer.ggml.precompiled_charsmap", ARRAY, (U8, list(CHARSMAP))), entry("tokenizer.ggml.unknown_token_id", U32, 0)),
    "wordpiece": pieces("bert", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", MARK + "hello", MARK + "w", "o", "rld", "##x"], [3, 3, 3, 3, 1, 1, 1, 1, 1],
                        entry("tokenizer.ggml.cls_token_id", U32, 2), entry("tokenizer.ggml.seperator_token_id", U32, 3), entry("tokenizer.ggml.unknown_token_id", U32, 1)),
    "other_tokenizer": file([ARCHITECTURE, entry("tokenizer.ggml.model", STRING, "rwkv")]),
    "safetensors": struct.pack("<Q", 2) + b"{}",
    "html": b"<!doctype html>",
}

OUT.mkdir(parents=True, exist_ok=True)
for name, content in SEEDS.items():
    (OUT / name).write_bytes(content)
