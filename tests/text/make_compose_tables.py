"""Makes src/text/tokenizer/compose_tables.h (what it is for: src/text/tokenizer/compose.h).

    python3 tests/text/make_compose_tables.py > src/text/tokenizer/compose_tables.h
    python3 tests/text/make_compose_tables.py compatible > src/text/tokenizer/compatible_tables.h

Needs the package `tokenizers`, whose normalizers are the oracle: it works with an old version of Unicode, and texts must be normalized as it does. Python's
unicodedata (14 or later) only proposes; a row is written when the oracle behaves so.
"""
import sys
import textwrap
import unicodedata

import tokenizers
from tokenizers import normalizers

CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)  # computed, not looked up
nfc = normalizers.NFC().normalize_str
nfd = normalizers.NFD().normalize_str
nfkd = normalizers.NFKD().normalize_str


def combining_class(c):
    """Characters of a class above 0 move in front of U+0345, which has the highest (240)."""
    if nfd(c) != c:
        return 0  # looked up only after it was decomposed
    proposed = unicodedata.combining(c)
    moves = nfd("\u0345" + c) != "\u0345" + c
    assert proposed or not moves, hex(ord(c))
    return proposed if moves or proposed == 240 else 0


def write(name, form, rows):
    print("static const struct %s[] = {" % name)
    for at in range(0, len(rows), 5):
        print("    " + ", ".join(form % row for row in rows[at:at + 5]) + ",")
    print("};")


def fill(items):
    return textwrap.fill(" ".join(item + "," for item in items), 158, initial_indent="    ", subsequent_indent="    ").replace("~", " ")


def write_compatible():
    compatible, parts = [], []
    for c in CHARACTERS:
        if nfkd(c) != nfd(c):
            compatible.append((ord(c), len(parts), len(nfkd(c))))
            parts += map(ord, nfkd(c))
    print("/* {character, where its compatibility decomposition starts in compatible_parts, number of characters} */")
    print("static const struct compose_row compatible[] = {\n" + fill("{0x%X,~%d,~%d}" % row for row in compatible) + "\n};")
    print("static const uint32_t compatible_parts[] = {\n" + fill("0x%X" % part for part in parts) + "\n};")


def main():
    print("/* Made by tests/text/make_compose_tables.py with tokenizers %s; do not edit. */" % tokenizers.__version__)
    if sys.argv[1:] == ["compatible"]:
        return write_compatible()
    decompositions, compositions = [], []
    for c in CHARACTERS:
        if ord(c) in HANGUL or nfd(c) == c:
            continue
        parts = [int(part, 16) for part in unicodedata.decomposition(c).split()]
        assert 1 <= len(parts) <= 2
        decompositions.append((ord(c), parts[0], parts[1] if len(parts) == 2 else 0))
        if len(parts) == 2 and nfc(chr(parts[0]) + chr(parts[1])) == c:
            compositions.append((parts[0], parts[1], ord(c)))
    seconds = {second for _, second, _ in compositions} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    ranges = []
    for c in CHARACTERS:
        row = (combining_class(c), int(ord(c) in seconds or nfc(c) != c))
        if row == (0, 0):
            continue
        if ranges and ranges[-1][1] == ord(c) - 1 and ranges[-1][2] == row:
            ranges[-1][1] = ord(c)
        else:
            ranges.append([ord(c), ord(c), row])
    print("/* {first, last, canonical combining class, may change or join what is before it} */")
    write("compose_class classes", "{0x%X, 0x%X, %d, %d}", [(first, last, *row) for first, last, row in ranges])
    print("/* {character, first part, second part or 0} */")
    write("compose_row decompositions", "{0x%X, 0x%X, 0x%X}", decompositions)
    print("/* {first part, second part, composed} */")
    write("compose_row compositions", "{0x%X, 0x%X, 0x%X}", sorted(compositions))


main()
