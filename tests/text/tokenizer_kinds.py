"""Small tokenizers of every kind, trained on the generated strings, their variants, and how the `tokenizers` library is asked about them. Used by
make_tokenizer_kinds_goldens.py and compare_tokenizers.py; needs the package tokenizers and gguf (for make_tokenizer_goldens)."""
import base64
import json
import struct
from collections import Counter

from tokenizers import Regex, Tokenizer, decoders as D, models, normalizers as N, pre_tokenizers as P, processors, trainers

from make_tokenizer_goldens import Random, make_string

SENTENCES = ["The quick brown fox jumps over the lazy dog. It's a don't-you-know kind of day, isn't it?",
             "Il \u00e9tait une fois une princesse tr\u00e8s \u00e9l\u00e9gante, \u00e0 l'\u00e2ge o\u00f9 l'on r\u00eave.",
             "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u042d\u0442\u043e \u043f\u0440\u043e\u0441\u0442\u043e\u0439 \u0442\u0435\u043a\u0441\u0442 \u0434\u043b\u044f \u043e\u0431\u0443\u0447\u0435\u043d\u0438\u044f.",
             "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3068\u6f22\u5b57\u304b\u306a\u6df7\u3058\u308a\u6587\u3002", "def f(x):\n    return x + 1\n"] * 40
FLAGS = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
ADDED = [("<x>", {}), ("<Norm>", dict(normalized=True)), ("worq", dict(single_word=True)), ("<l>", dict(lstrip=True, special=True)),
         ("<r>", dict(rstrip=True, special=True)), ("n \u00c9w", dict(normalized=True, rstrip=True, lstrip=True)), ("zap", dict(single_word=True, normalized=True))]


def corpus(pools, n_characters):
    """Strings without NUL, which many a JSON library refuses in a key, and with the most frequent characters only."""
    texts = [make_string(pools, i).replace("\0", "") for i in range(100001, 103000) if i % 400] + SENTENCES
    kept = {c for c, _ in Counter(c for text in texts for c in text).most_common(n_characters)}
    return ["".join(c for c in text if c in kept) for text in texts]


def part(value):
    return None if value is None else json.loads(value.__getstate__().decode())


def finish(tokenizer):
    value = json.loads(tokenizer.to_str())
    vocabulary = value["model"]["vocab"]
    value["added_tokens"] = [token for token in value["added_tokens"] if not token["content"].startswith("<0x")]
    value["added_tokens"] += [{"id": len(vocabulary) + i, "content": text, **FLAGS, **own} for i, (text, own) in enumerate(ADDED)]
    return value


def sentencepiece(pools):
    """As Llama 2 is published: the merges are all pairs of tokens that form a third, as converters make them from SentencePiece's scores."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = N.Sequence([N.Prepend("\u2581"), N.Replace(" ", "\u2581")])
    tokenizer.pre_tokenizer = P.Split("\u2581", "merged_with_next")
    special = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)]
    tokenizer.train_from_iterator(corpus(pools, 250), trainers.BpeTrainer(vocab_size=1000, special_tokens=special, show_progress=False))
    tokenizer.decoder = D.Sequence([D.Replace("\u2581", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    value = finish(tokenizer)
    value["pre_tokenizer"] = None
    vocabulary, first = value["model"]["vocab"], {}
    for rank, (left, right) in enumerate(value["model"]["merges"]):
        first.setdefault(left + right, rank)
    pairs = [(rank, vocabulary[text[:i]], vocabulary[text[i:]], [text[:i], text[i:]]) for text, rank in first.items() for i in range(1, len(text))
             if text[:i] in vocabulary and text[i:] in vocabulary and not text[:i].startswith("<0x")]
    value["model"]["merges"] = [merge for _, _, _, merge in sorted(pairs)]
    return value


def charsmap(rules):
    """SentencePiece's compiled map: a double array (Darts-clone) found by trying offsets, then the strings."""
    units, taken, strings, places = {0: 0}, {0}, b"", {}
    for _, to in rules:
        places.setdefault(to, len(strings))
        strings += to.encode() + b"\0"

    def fill(node, entries, depth):
        labels = sorted({key[depth] for key, _ in entries if len(key) > depth} | ({0} if any(len(key) == depth for key, _ in entries) else set()))
        offset = next(o for o in range(256, 1 << 18) if all(o ^ label not in taken for label in labels) and (o ^ node) < 1 << 21)
        units[node] = units[node] | (offset ^ node) << 10 | ((labels[0] == 0) << 8)
        for label in labels:
            taken.add(offset ^ label)
            units[offset ^ label] = 1 << 31 | places[next(to for key, to in entries if len(key) == depth)] if label == 0 else label
        for label in labels:
            if label:
                fill(offset ^ label, [entry for entry in entries if len(entry[0]) > depth and entry[0][depth] == label], depth + 1)

    fill(0, [(key.encode(), to) for key, to in rules], 0)
    size = max(units) // 256 * 256 + 256
    return struct.pack("<I", 4 * size) + b"".join(struct.pack("<I", units.get(i, 0)) for i in range(size)) + strings


RULES = [("e\u0301", "\u00e9"), ("\ufb01", "fi"), ("\uff21", "A"), ("\u3000", " "), ("\u00a0", " "), ("\uff76\uff9e", "\u30ac"), ("\u2026", "..."), ("\u00ad", ""), ("\t", " "), ("\n", " "),
         ("\u00bd", "1/2"), ("q", "k"), ("\u2067", ""), ("\u200d", "\u200c"), ("a\u0308", "\u00e4"), ("A\u0308", "\u00c4"), ("\u1e69", "s\u0323\u0307"), ("\u00df", "ss"), ("1\ufe0f", "1")]


def unigram(pools):
    """As T5 and XLM-R are published; the character map is a small one of our own."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = P.Metaspace()
    tokenizer.decoder = D.Metaspace()
    special = ["<unk>", "<s>", "</s>", "<pad>", "<mask>"]
    tokenizer.train_from_iterator(corpus(pools, 250), trainers.UnigramTrainer(vocab_size=900, special_tokens=special, unk_token="<unk>", show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    value = finish(tokenizer)
    for entry in value["model"]["vocab"]:  # floats, as SentencePiece has them
        entry[1] = struct.unpack("<f", struct.pack("<f", entry[1]))[0]
    precompiled = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap(RULES)).decode()}
    value["normalizer"] = {"type": "Sequence", "normalizers": [precompiled, part(N.Replace(Regex(" {2,}"), " "))]}
    return value


def wordpiece(pools):
    """As BERT is published."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = N.BertNormalizer(), P.BertPreTokenizer(), D.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(corpus(pools, 300), trainers.WordPieceTrainer(vocab_size=1200, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return finish(tokenizer)


BASES = {"sentencepiece": sentencepiece, "unigram": unigram, "wordpiece": wordpiece}


def sentencepiece_variants():
    yield "as it is", {}
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            yield "Metaspace %s, split %s" % (scheme, split), {"normalizer": None, "pre_tokenizer": P.Metaspace(prepend_scheme=scheme, split=split),
                                                               "decoder": D.Sequence([D.Metaspace(prepend_scheme=scheme), D.ByteFallback()])}
    yield "Gemma", {"normalizer": N.Replace(" ", "\u2581"), "pre_tokenizer": P.Split(" ", "merged_with_previous"),
                    "decoder": D.Sequence([D.Replace("\u2581", " "), D.ByteFallback(), D.Fuse()])}
    yield "unknown, fused", {"model": dict(byte_fallback=False)}
    yield "unknown, each", {"model": dict(byte_fallback=False, fuse_unk=False)}
    yield "unknown, left out", {"model": dict(byte_fallback=False, unk_token=None)}
    yield "whole words", {"model": dict(ignore_merges=True), "pre_tokenizer": P.Metaspace()}
    yield "bytes as characters", {"normalizer": N.ByteLevel()}


def unigram_variants():
    yield "as it is", {}
    yield "XLM-R", {"pre_tokenizer": P.Sequence([P.WhitespaceSplit(), P.Metaspace()])}
    yield "only the first", {"pre_tokenizer": P.Sequence([P.WhitespaceSplit(), P.Metaspace(prepend_scheme="first")]), "decoder": D.Metaspace(prepend_scheme="first")}
    yield "stripped, only the first", {"normalizer": N.Sequence([N.Strip(), N.Lowercase()]), "pre_tokenizer": P.Metaspace(prepend_scheme="first")}
    yield "Nmt and NFKC", {"normalizer": N.Sequence([N.Nmt(), N.NFKC(), N.Replace(Regex(" {2,}"), " ")])}
    yield "no decoder", {"decoder": None}


def wordpiece_variants():
    yield "as it is", {}
    for options in (dict(lowercase=False), dict(strip_accents=False), dict(clean_text=False), dict(handle_chinese_chars=False, strip_accents=True, lowercase=False)):
        yield "BertNormalizer %s" % options, {"normalizer": N.BertNormalizer(**options)}
    for normalizer in (N.NFC(), N.NFD(), N.NFKC(), N.NFKD(), N.Lowercase(), N.StripAccents(), N.Strip(), N.Strip(right=False), N.Strip(left=False), N.Replace("e", "EE"), N.Nmt(),
                       N.Replace(Regex(r"\p{N}+"), "#"), N.Replace(Regex("(?=[aeiou])"), "."), N.Replace(Regex("[aeiou ]"), ""), N.Prepend("x "), N.ByteLevel(),
                       N.Sequence([N.NFKD(), N.StripAccents(), N.Lowercase(), N.Strip(), N.Prepend("\u2581")]), N.Sequence([N.Sequence([N.NFD(), N.NFC()]), N.Replace(Regex(r"\s+"), " ")])):
        yield "normalizer %s" % json.dumps(part(normalizer)), {"normalizer": normalizer}
    behaviors = ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")
    for pre_tokenizer in [P.Whitespace(), P.WhitespaceSplit(), P.Digits(), P.Digits(True), P.CharDelimiterSplit("e"), P.UnicodeScripts(), P.FixedLength(3),
                          P.Metaspace(prepend_scheme="first", replacement="_"), P.Sequence([P.WhitespaceSplit(), P.Punctuation(), P.Digits(True)]),
                          P.Sequence([P.Split("\n", "removed"), P.Metaspace(prepend_scheme="first")]), P.Sequence([P.UnicodeScripts(), P.Whitespace(), P.FixedLength(2)])
                          ] + [P.Punctuation(b) for b in behaviors] + [P.Split(Regex(r"[aeiou]+|\s"), b, invert=i) for b in behaviors for i in (False, True)]:
        yield "pre-tokenizer %s" % json.dumps(part(pre_tokenizer)), {"pre_tokenizer": pre_tokenizer}
    for decoder in (D.WordPiece(cleanup=False), D.WordPiece(prefix="a"), D.BPEDecoder("</w>"), D.Metaspace(replacement="e"), D.Metaspace(replacement="t", prepend_scheme="never"), D.Fuse(),
                    D.Strip("e", 2, 0), D.Sequence([D.Fuse(), D.Strip("#", 3, 0)]), D.Replace("##", ""), D.Replace(Regex("[aeiou]"), "*"), D.ByteFallback(), D.ByteLevel(),
                    D.Sequence([D.WordPiece(), D.Replace(" ", "_"), D.Fuse(), D.Strip("_", 1, 0)])):
        yield "decoder %s" % json.dumps(part(decoder)), {"decoder": decoder}


VARIANTS = {"sentencepiece": sentencepiece_variants, "unigram": unigram_variants, "wordpiece": wordpiece_variants}


def variants(base):
    """(name, {part of tokenizer.json: value})"""
    for name, replace in VARIANTS[base]():
        yield name, {key: value if isinstance(value, dict) else part(value) for key, value in replace.items()}


def replaced(value, replace):
    value = json.loads(json.dumps(value))
    for key, new in replace.items():
        if key == "model":
            value["model"].update(new)
        else:
            value[key] = new
    return value


class Oracle:
    """data: no added tokens, and what is special cannot be made by the model either (a user's text never becomes a control token).
    decode: a token that is looked for in normalized text is shown as it is published (the library shows it normalized)."""

    def __init__(self, value):
        self.added = [token["content"] for token in value["added_tokens"]]
        self.whole = Tokenizer.from_str(json.dumps(value))
        plain = replaced(value, {"added_tokens": [], "post_processor": None})
        special = {token["content"] for token in value["added_tokens"] if token["special"]}
        model, hide = plain["model"], lambda text, i: "\ue0ff\ue0fe%d" % i if text in special else text
        if model["type"] == "Unigram":
            model["vocab"] = [[hide(text, i), score] for i, (text, score) in enumerate(model["vocab"])]
        elif model["type"] == "WordPiece":
            model["vocab"] = {text if text == model["unk_token"] else hide(text, i): i for text, i in model["vocab"].items()}
        self.plain = Tokenizer.from_str(json.dumps(plain))
        self.back = Tokenizer.from_str(json.dumps(replaced(value, {"added_tokens": [{**token, "normalized": False} for token in value["added_tokens"]]})))
        self.n_tokens = self.whole.get_vocab_size()

    def template_string(self, pools, i):
        n = len(self.added)
        return make_string(pools, i) + " " * (i % 3) + self.added[i % n] + "\n" * (i % 2) + make_string(pools, 50000 + i) + self.added[i // n % n]

    def random_ids(self, case):
        random = Random(case << 32)
        return [random.next() % self.n_tokens for _ in range(random.next() % 25)]

    def decode(self, ids, skip):
        """None: bytes that are not UTF-8; the library gives U+FFFD per byte of a run of byte tokens, a stream cannot wait for its end."""
        text = self.back.decode(ids, skip_special_tokens=skip)
        return None if "\ufffd" in text else text
