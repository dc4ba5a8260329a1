"""Makes the seeds of tests/fuzz/fuzz_tokenizer_json.c: tests/fuzz/corpus/tokenizer_json/*. Python's standard library only.

    python3 tests/text/make_tokenizer_seeds.py

One small tokenizer per model, and per seed some of the types that may stand around it; behind a NUL a text.
"""
import base64
import json
import pathlib
import struct

OUT = pathlib.Path(__file__).parent.parent / "fuzz" / "corpus" / "tokenizer_json"
MARK = "\u2581"
TEXT = " Hello  w\u00f6rld 12\n e\u0301 ﬁ <x> <y>\u3000</s>abab\u2581"
ALPHABET = ["H", "e", "l", "o", "w", "\u00f6", "r", "d", "1", "2", MARK, "a", "b", "\u00c3", "\u0120", "el", "lo", "ab", "abab", MARK + "H", "##l", "##o"]
ADDED = [{"id": 30, "content": "<x>", "special": True, "lstrip": True, "rstrip": False, "normalized": False, "single_word": False},
         {"id": 31, "content": "<y>", "special": False, "lstrip": False, "rstrip": True, "normalized": True, "single_word": True}]
VOCABULARY = {text: i for i, text in enumerate(["<unk>", "</s>", "<0x0A>"] + ALPHABET)}
CHARSMAP = struct.pack("<I", 2048) + struct.pack("<512I", *[256 << 10 if i == 0 else 97 | 1 << 8 | (256 ^ 97 ^ 300) << 10 if i == 256 ^ 97 else 1 << 31 if i == 300 else 0
                                                            for i in range(512)]) + b"b\0"
BPE = {"type": "BPE", "vocab": VOCABULARY, "merges": [["e", "l"], ["l", "o"], ["a", "b"], ["ab", "ab"], [MARK, "H"]], "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
BYTES = {"type": "BPE", "vocab": {text: i for text, i in VOCABULARY.items() if len(text) == 1}, "merges": []}
AFFIXES = {**BPE, "continuing_subword_prefix": "##", "merges": [["l", "##l"]], "vocab": {**VOCABULARY, "ll": 25}, "byte_fallback": False}
SUFFIX = {**BPE, "end_of_word_suffix": "</w>", "vocab": {**VOCABULARY, "o</w>": 25}, "ignore_merges": True, "fuse_unk": False}
UNIGRAM = {"type": "Unigram", "unk_id": 0, "vocab": [[text, -0.1 * i - 1 / 3] for text, i in VOCABULARY.items()], "byte_fallback": True}
WORDPIECE = {"type": "WordPiece", "vocab": VOCABULARY, "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 20}


def kinds(*names):
    return [{"type": name} for name in names]


def sequence(key, *elements):
    return {"type": "Sequence", key: list(elements)}


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}
METASPACE = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "first", "split": True}
SPLIT = {"type": "Split", "pattern": {"Regex": r"\p{N}|[aeiou](?=\s)"}, "behavior": "MergedWithPrevious", "invert": True}
FUSE = sequence("decoders", {"type": "Replace", "pattern": {"String": MARK}, "content": " "}, *kinds("ByteFallback", "Fuse"), {"type": "Strip", "content": " ", "start": 1, "stop": 0})
TEMPLATE = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}], "special_tokens": {"</s>": {"ids": [1]}}}
SEEDS = {
    "llama": (BPE, sequence("normalizers", {"type": "Prepend", "prepend": MARK}, {"type": "Replace", "pattern": {"String": " "}, "content": MARK}), None, TEMPLATE, FUSE),
    "metaspace": (BPE, None, METASPACE, None, METASPACE),
    "byte_level": (BYTES, {"type": "NFC"}, sequence("pretokenizers", SPLIT, {"type": "Digits", "individual_digits": True}, BYTE_LEVEL), None, BYTE_LEVEL),
    "affixes": (AFFIXES, {"type": "Lowercase"}, {"type": "Whitespace"}, None, {"type": "WordPiece", "prefix": "##", "cleanup": True}),
    "suffix": (SUFFIX, {"type": "ByteLevel"}, {"type": "WhitespaceSplit"}, None, {"type": "BPEDecoder", "suffix": "</w>"}),
    "unigram": (UNIGRAM, {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(CHARSMAP).decode()}, METASPACE, TEMPLATE, METASPACE),
    "unigram_2": (UNIGRAM, sequence("normalizers", *kinds("Nmt", "NFKC", "StripAccents"), {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}),
                  sequence("pretokenizers", {"type": "WhitespaceSplit"}, METASPACE), None, None),
    "bert": (WORDPIECE, {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "lowercase": True}, {"type": "BertPreTokenizer"},
             {"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<unk>", 0]}, {"type": "WordPiece", "prefix": "##", "cleanup": True}),
    "others": (WORDPIECE, sequence("normalizers", *kinds("NFD", "NFKD"), {"type": "Strip", "strip_left": True, "strip_right": False}),
               sequence("pretokenizers", *kinds("UnicodeScripts"), {"type": "CharDelimiterSplit", "delimiter": "o"}, {"type": "Punctuation", "behavior": "Contiguous"}, {"type": "FixedLength", "length": 3}),
               None, sequence("decoders", {"type": "Replace", "pattern": {"Regex": "[ab]"}, "content": ""}, {"type": "Strip", "content": "l", "start": 1, "stop": 1})),
}

for name, (model, normalizer, pre_tokenizer, post_processor, decoder) in SEEDS.items():
    value = {"added_tokens": ADDED, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": decoder, "model": model}
    (OUT / name).write_bytes(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\0" + TEXT.encode())
print("%d seeds in %s" % (len(SEEDS), OUT))
