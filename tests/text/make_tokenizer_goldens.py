"""Makes tests/text/data/: goldens of the tokenizer and of the pre-tokenizer patterns, from the `tokenizers` library.

    python3 tests/text/make_tokenizer_goldens.py SmolLM2-135M-Instruct.Q4_1.gguf     (or "words": only the last of these)

Needs the packages tokenizers and gguf. The oracle is built from the vocabulary and merges in the GGUF file in the way of the model's published
tokenizer.json: BPE; pre-tokenizer Digits(individual) then ByteLevel(no prefix space, GPT-2 pattern); the 17 control tokens as special added tokens.
Strings come from pools.txt; the generator is described in support_strings.h. Files (little-endian):

    smollm2_data.bin      u64 per string 0..24999: FNV-1a of its ids (int32), the string being data
    smollm2_template.bin  u64 per string 30000..33999: the same, the string being template text (control tokens are recognised)
    smollm2_readable.txt  lines: JSON string, tab, ids - a sample of the above and hand-picked ones, to be read
    smollm2_decode.bin    u64 per case 0..1999: FNV-1a of the decoded bytes of random ids, without (even) and with (odd) control tokens
    replace.bin           u64 per case 0..1999: FNV-1a of bytes.decode(errors="replace") of random bytes
    words_NAME.bin        u64 per block of 1024 code points (8192 for later ones): FNV-1a of the lengths (int32, bytes) of the words of a text that shows each code point
                          between letters, digits, punctuation and spaces
"""
import json
import os
import struct
import sys

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
MASK = (1 << 64) - 1


class Random:
    def __init__(self, state):
        self.state = state & MASK

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        return z ^ z >> 31


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


def pack_ids(ids):
    return struct.pack("<%di" % len(ids), *ids)


def read_pools():
    import re
    pools = []
    for line in open(os.path.join(DATA, "pools.txt"), encoding="utf-8", newline="\n").read().split("\n")[:-1]:
        found = re.fullmatch(r"\[([0-9A-F]+)-([0-9A-F]+)\]", line)
        if line.startswith("== "):
            pools.append([])
        elif line.startswith("#"):
            continue
        elif found:
            first, last = int(found[1], 16), int(found[2], 16)
            pools[-1].append((first, last - first + 1))
        else:
            pools[-1].append(re.sub(r"\\u\{([0-9A-F]+)\}", lambda m: chr(int(m[1], 16)), line))
    return pools


def make_string(pools, index):
    random = Random(index << 32)
    long_run = index % 400 == 0
    parts = []
    for _ in range(1 if long_run else random.next() % 20):
        pool = pools[random.next() % len(pools)]
        piece = pool[random.next() % len(pool)]
        if isinstance(piece, tuple):
            piece = chr(piece[0] + random.next() % piece[1])
        times = 1
        if long_run:
            times = 1 + random.next() % 4000
        elif random.next() % 24 == 0:
            times = 1 + random.next() % 40
        parts.append(piece * times)
    return "".join(parts)


def read_gguf(path):
    fields = gguf.GGUFReader(path).fields
    get = lambda name: fields["tokenizer.ggml." + name].contents()
    return get("tokens"), get("token_type"), [tuple(merge.split(" ")) for merge in get("merges")]


def make_oracle(tokens, kinds, merges, with_control):
    tokenizer = Tokenizer(models.BPE(vocab={text: i for i, text in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    if with_control:
        tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text, kind in zip(tokens, kinds) if kind == 3])
    return tokenizer


def write_hashes(name, hashes):
    with open(os.path.join(DATA, name), "wb") as file:
        file.write(struct.pack("<%dQ" % len(hashes), *hashes))


HAND_PICKED = ["", " ", "a", "Hello world", "Hello, World! 123", "What is 2+2?", "don't DON'T I'LL we've", "  leading", "trailing  ", "a  b   c",
               "\n\n\n", " \n \n", "\r\n", "\t\tx", "1234567890", "3.14", "caf\u00e9", "cafe\u0301", "\u4f60\u597d\uff0c\u4e16\u754c", "\u3053\u3093\u306b\u3061\u306f",
               "\uc548\ub155\ud558\uc138\uc694", "\u0645\u0631\u062d\u0628\u0627", "\u05e9\u05dc\u05d5\u05dd", "\u041f\u0440\u0438\u0432\u0435\u0442", "\u0928\u092e\u0938\u094d\u0924\u0947",
               "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "a\u00a0b", "a\u200bb", "a\u2028b", "a\u180eb",
               "\u0000", "\u0004\u0006\u0013", "x\u007fy", "\u00bd\u2167\u0663", "for (int i = 0; i < n; i++) {\n    a[i] = 0;\n}\n", "<|im_start|>user\nHi<|im_end|>\n",
               "<|im_start|><|im_start|>", "<|im_start", "<repo_name>x<reponame>", "a" * 100, " " * 100 + "x", "\n" * 50, "\U00011de0\U00011de1", "\U000105c0x", "'s't're've'm'll'd"]


def make_encodings(pools, tokens, kinds, merges):
    plain, special = (make_oracle(tokens, kinds, merges, with_control) for with_control in (False, True))
    write_hashes("smollm2_data.bin", [fnv1a(pack_ids(plain.encode(make_string(pools, i)).ids)) for i in range(25000)])
    write_hashes("smollm2_template.bin", [fnv1a(pack_ids(special.encode(make_string(pools, i)).ids)) for i in range(30000, 34000)])
    with open(os.path.join(DATA, "smollm2_readable.txt"), "w", encoding="ascii", newline="\n") as file:
        for text in HAND_PICKED + [make_string(pools, i) for i in range(1, 300)]:
            file.write(json.dumps(text) + "\t" + " ".join(map(str, plain.encode(text).ids)) + "\n")
    hashes = []
    for case in range(2000):
        random = Random(case << 32)
        ids = [random.next() % 20 if random.next() % 8 == 0 else random.next() % len(tokens) for _ in range(random.next() % 30)]
        hashes.append(fnv1a(special.decode(ids, skip_special_tokens=case % 2 == 0).encode()))
    write_hashes("smollm2_decode.bin", hashes)


def make_replacements():
    interesting = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
    hashes = []
    for case in range(2000):
        random = Random(case << 32)
        data = bytes(interesting[random.next() % len(interesting)] for _ in range(random.next() % 40))
        hashes.append(fnv1a(data.decode("utf-8", errors="replace").encode()))
    write_hashes("replace.bin", hashes)


def split(*patterns):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns] + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ROWS = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
    "llama-bpe": split(CL100K % "{1,3}"),
    "qwen2": split(CL100K % ""),
    "deepseek-v3": split(r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                         "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"),
}
O200K = r"[^\r\n\p{L}\p{N}]?[%(upper)s]*[%(lower)s]+%(end)s|[^\r\n\p{L}\p{N}]?[%(upper)s]+[%(lower)s]*%(end)s|%(rest)s|\s*[\r\n]+|\s+(?!\S)|\s+"
CASES = dict(upper=r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", lower=r"\p{Ll}\p{Lm}\p{Lo}\p{M}", end=r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", rest=r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*")
NOT_HAN = {key: CASES[key] + r"&&[^\p{Han}]" for key in ("upper", "lower")}
OLD_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
EACH_DIGIT, LAST = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def stages(*parts):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(part), "isolated") if isinstance(part, str) else part for part in parts])


# As published with DBRX, Qwen3.5, Seed-Coder, Ling, Mistral Nemo, GPT-4o, Kimi K2, DeepSeek Coder, Falcon, BLOOM, Viking. Their files have larger blocks.
MORE_ROWS = {
    "dbrx": split(CL100K % "{1,3}"),
    "qwen35": split(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
    "minicpm5": split(r"\p{N}{1,3}", CL100K % "+"),
    "seed-coder": split("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"),
    "bailingmoe": split(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"),
    "tekken": split(O200K % {**CASES, "end": "", "rest": r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*"}),
    "gpt-4o": split(O200K % CASES),
    "kimi-k2": split(r"[\p{Han}]+|" + O200K % {**CASES, **NOT_HAN, "rest": r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"}),
    "deepseek-coder": stages("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", OLD_CJK, EACH_DIGIT, LAST),
    "falcon": stages(pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(), "[0-9][0-9][0-9]"),
    "bloom": split(BLOOM),
    "viking": stages(BLOOM, EACH_DIGIT, LAST),
}


def make_words():
    for name, oracle in {**ROWS, **MORE_ROWS}.items():
        hashes, size = [], 1024 if name in ROWS else 8192
        for block in range(0, 0x110000, size):
            text = "".join("a%sb %s1%s%s!%s %s'%s\n" % ((chr(c),) * 7) for c in range(block, block + size) if not 0xD800 <= c <= 0xDFFF)
            if not text:
                hashes.append(0)
                continue
            # The pieces are written in the byte alphabet: as many characters as bytes.
            hashes.append(fnv1a(pack_ids([len(piece) for piece, _ in oracle.pre_tokenize_str(text)])))
        write_hashes("words_%s.bin" % name, hashes)


if __name__ == "__main__" and sys.argv[1] == "words":
    make_words()
elif __name__ == "__main__":
    make_encodings(read_pools(), *read_gguf(sys.argv[1]))
    make_replacements()
    make_words()
