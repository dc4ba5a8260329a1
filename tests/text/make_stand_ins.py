"""Makes src/text/tokenizer/stand_ins_table.h (what it is for: src/text/tokenizer/stand_ins.h).

    python3 tests/text/make_stand_ins.py > src/text/tokenizer/stand_ins_table.h

Needs: Python 3.11 (its unicodedata is Unicode 14, like PCRE2 10.40-10.42), the packages `tokenizers` (the oracle) and `regex` (the newest Unicode at hand).
A character gets a row when its general category is not the same in all three, or when the `Digits` splitter sees a digit differently. It is shown as
the nearest character of equal UTF-8 length that has the oracle's category in all three (noncharacters for unassigned ones, which stay so for ever; there
are none of two bytes).
"""
import sys
import unicodedata

import regex
import tokenizers
from tokenizers import Regex, pre_tokenizers

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()
CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
TEXT = "".join(CHARACTERS)


def oracle_categories():
    found = {}
    for category in CATEGORIES:
        split = pre_tokenizers.Split(Regex(r"\p{%s}" % category), "removed", invert=True)
        for piece, _ in split.pre_tokenize_str(TEXT):
            for character in piece:
                assert character not in found
                found[character] = category
    return found


def latest_categories():
    found = {}
    for category in CATEGORIES:
        for character in regex.findall(r"\p{%s}" % category, TEXT):
            found[character] = category
    return found


def oracle_digits():
    pieces = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str("\0".join(CHARACTERS))
    return {piece for piece, _ in pieces if len(piece) == 1 and piece != "\0"}


def main():
    assert unicodedata.unidata_version == "14.0.0", "needs a Python with Unicode 14"
    oracle, latest, digits = oracle_categories(), latest_categories(), oracle_digits()
    base = {c: unicodedata.category(c) for c in CHARACTERS}
    of = lambda table, c: table.get(c, "Cn")
    is_number = lambda category: category[0] == "N"
    stable = {}
    for c in CHARACTERS:
        category = of(oracle, c)
        if base[c] == category == of(latest, c) and is_number(category) == (c in digits) and c != "\u180e":
            if category != "Cn" or len(c.encode()) == 2 or 0xFDD0 <= ord(c) <= 0xFDEF or ord(c) & 0xFFFE == 0xFFFE:
                stable.setdefault((category, len(c.encode())), []).append(ord(c))

    def nearest(category, c):
        return min(stable[category, len(c.encode())], key=lambda other: (abs(other - ord(c)), other))

    rows = []
    for c in CHARACTERS:
        category = of(oracle, c)
        if base[c] == category == of(latest, c) and is_number(category) == (c in digits) and c != "\u180e":
            continue
        for_digits = category if is_number(category) == (c in digits) else "Nd" if c in digits else "Cn"
        if rows and rows[-1][1] == ord(c) - 1 and rows[-1][2:4] == [category, for_digits]:
            rows[-1][1] = ord(c)
        else:
            rows.append([ord(c), ord(c), category, for_digits, nearest(category, c), nearest(for_digits, c)])
    print("/* Made by tests/text/make_stand_ins.py with tokenizers %s and regex %s; do not edit. {first, last, shown, shown where digits are split} */"
          % (tokenizers.__version__, regex.__version__))
    for first, last, category, for_digits, shown, shown_digits in rows:
        print("{0x%X, 0x%X, 0x%X, 0x%X}, /* %s%s */" % (first, last, shown, shown_digits, category, "" if category == for_digits else " or " + for_digits))
    print("%d rows" % len(rows), file=sys.stderr)


main()
