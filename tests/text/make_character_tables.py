"""Makes src/text/tokenizer/character_tables.h (what it is for: src/text/tokenizer/characters.h).

    python3 tests/text/make_character_tables.py > src/text/tokenizer/character_tables.h

Needs the package `tokenizers`, which is asked about every code point through its normalizers and pre-tokenizers: each of them follows a Unicode version of its own.
How texts are cut into grapheme clusters is found out with a Precompiled normalizer that turns each cluster below six bytes, and each character of a longer one, into 'Z'.
"""
import base64
import json
import re
import struct
import sys
import textwrap

import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def pieces(pre_tokenizer, text):
    return [piece for piece, _ in pre_tokenizer.pre_tokenize_str(text)]


def cluster_counter():
    """Darts-clone double array: unit 0 is the root, byte b leads to unit b ^ offset, whose leaf stands at that unit's offset. Every byte has its leaf."""
    units = [0] * 1024
    units[0] = 256 << 10  # children of the root at 256 ^ b
    for b in range(1, 256):
        units[256 ^ b] = b | 1 << 8 | (512 ^ 256 ^ b ^ (512 + b)) << 10
    for b in range(1, 256):
        units[512 + b] = 1 << 31  # value 0
    blob = struct.pack("<I", 4 * len(units)) + struct.pack("<%dI" % len(units), *units) + b"Z\0"
    value = json.loads(Tokenizer(models.BPE()).to_str())
    value["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(blob).decode()}
    normalizer = Tokenizer.from_str(json.dumps(value)).normalizer
    return lambda text: len(normalizer.normalize_str(text))


def probes():
    """name -> set of characters."""
    white = {c for c in CHARACTERS if len(pieces(pre_tokenizers.WhitespaceSplit(), "a%sa" % c)) == 2}
    word = {c for c in CHARACTERS if pieces(pre_tokenizers.Whitespace(), "a%sa" % c) == ["a%sa" % c]}
    assert white == {c for c in CHARACTERS if len(pieces(pre_tokenizers.Whitespace(), "a%sa" % c)) == 2}
    assert white == {c for c in CHARACTERS if normalizers.Strip().normalize_str(c) == ""}
    punctuation = {c for c in CHARACTERS if len(pieces(pre_tokenizers.Punctuation(), "a%sa" % c)) == 3}
    bert = pre_tokenizers.BertPreTokenizer()
    assert punctuation == {c for c in CHARACTERS if len(pieces(bert, "a%sa" % c)) == 3} and white == {c for c in CHARACTERS if len(pieces(bert, "a%sa" % c)) == 2}
    mark = {c for c in CHARACTERS if normalizers.StripAccents().normalize_str(c) == ""}
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False).normalize_str
    chinese = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False).normalize_str
    accent = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False).normalize_str
    nmt = normalizers.Nmt().normalize_str
    for function in (clean, nmt):
        assert all(function(c) in ("", " ", c) for c in CHARACTERS)
    clusters = cluster_counter()
    extends = {c for c in CHARACTERS if clusters("a" + c) == 1}
    control = {c for c in CHARACTERS if c not in extends and len(c.encode()) < 4 and clusters(c + "\u0300") == 2}
    return {
        "WHITE_SPACE": white, "WORD": word, "PUNCTUATION": punctuation, "ACCENT": mark,
        "BERT_REMOVED": {c for c in CHARACTERS if clean(c) == ""}, "BERT_SPACE": {c for c in CHARACTERS if c != " " and clean(c) == " "},
        "CHINESE": {c for c in CHARACTERS if chinese(c) != c},
        "NMT_REMOVED": {c for c in CHARACTERS if nmt(c) == ""}, "NMT_SPACE": {c for c in CHARACTERS if c != " " and nmt(c) == " "},
        "EXTENDS": extends, "CONTROL": control, "PREPENDS": {c for c in CHARACTERS if c not in extends and clusters(c + "a") == 1},
        "BERT_ACCENT": {c for c in CHARACTERS if accent(c) == ""},
        "PICTOGRAPH": {c for c in CHARACTERS if clusters("\u00a9\u200d" + c) == 3},
    }


def scripts():
    """Ranges of one script as UnicodeScripts sees it; 0: any."""
    splitter = pre_tokenizers.UnicodeScripts()
    same = lambda a, b: len(pieces(splitter, a + b)) == 1
    is_any = lambda c: same("a" + c, "a") and same("\u0431" + c, "\u0431")
    ranges, representatives = [], []
    for c in CHARACTERS:
        if ranges and ranges[-1][2] and ranges[-1][1] == ord(c) - 1 and same(chr(ranges[-1][1]), c) and not is_any(c):
            ranges[-1][1] = ord(c)
            continue
        number = 0
        if not is_any(c):
            number = next((i + 1 for i, other in enumerate(representatives) if same(other, c)), 0)
            if not number:
                representatives.append(c)
                number = len(representatives)
        if ranges and ranges[-1][1] == ord(c) - 1 and ranges[-1][2] == number:
            ranges[-1][1] = ord(c)
        else:
            ranges.append([ord(c), ord(c), number])
    return ranges


def lower_rows():
    """{first, last, step, up to three characters or a difference}: runs of equal difference."""
    lower, rows = normalizers.Lowercase().normalize_str, []
    for c in CHARACTERS:
        to = lower(c)
        if to == c:
            continue
        assert 1 <= len(to) <= 2
        difference, second = ord(to[0]) - ord(c), ord(to[1]) if len(to) == 2 else 0
        if rows and rows[-1][3:] == [difference, second] and not second and ord(c) - rows[-1][1] in (1, 2) and rows[-1][2] in (0, ord(c) - rows[-1][1]):
            rows[-1][2] = ord(c) - rows[-1][1]
            rows[-1][1] = ord(c)
        else:
            rows.append([ord(c), ord(c), 0, difference, second])
    return [(first, last, step or 1, difference, second) for first, last, step, difference, second in rows]


def write(declaration, form, rows):
    text = ", ".join(form % tuple(row) for row in rows)
    print("%s = {" % declaration)
    print(re.sub("~", " ", textwrap.fill(re.sub(", (?!{)", ",~", text), 150, initial_indent="    ", subsequent_indent="    ")) + ",")
    print("};")


def main():
    names = probes()
    ranges = []
    for c in CHARACTERS:
        flags = sum(1 << i for i, members in enumerate(names.values()) if c in members)
        if ranges and ranges[-1][1] == ord(c) - 1 and ranges[-1][2] == flags:
            ranges[-1][1] = ord(c)
        else:
            ranges.append([ord(c), ord(c), flags])
    print("/* Made by tests/text/make_character_tables.py with tokenizers %s; do not edit. */" % tokenizers.__version__)
    print(textwrap.fill("/* Bits: " + ", ".join("%d %s" % (i, name) for i, name in enumerate(names)) + " */", 140))
    write("static const struct character_row character_rows[]", "{0x%X, 0x%X, 0x%X}", [row for row in ranges if row[2]])
    print("/* {first, last, script}; scripts are numbered as they first occur, those in no row belong to any */")
    write("static const struct character_row script_rows[]", "{0x%X, 0x%X, %d}", [row for row in scripts() if row[2]])
    print("/* {first, last, step, difference of the lower-case character, a second one} */")
    write("static const struct lower_row lower_rows[]", "{0x%X, 0x%X, %d, %d, 0x%X}", lower_rows())
    print({name: len(members) for name, members in names.items()}, file=sys.stderr)


main()
