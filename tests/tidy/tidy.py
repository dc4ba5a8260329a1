#!/usr/bin/env python3
"""The style guide as a test: order of rooms, length of functions, files and lines, banned functions, a README in each room, no unfinished work.

Usage: tidy.py            checks the repository, prints one line per finding, exits 1 when there is one
       tidy.py --self-test checks that each rule finds what it should
Reasoned exceptions stand in exceptions.txt beside this file: "rule path[:function] reason"."""
import os
import re
import subprocess
import sys

ROOMS = "base tensor file text chip model engine fleet port serve cli".split()
# engine/ is pure logic: base/, text/ and the plain data that text/ is described by.
ONLY = {"engine": {"base", "text", "engine"}, "base": {"base"}, "tensor": {"base", "tensor"}}
FUNCTION_LINES, FILE_LINES, LINE_COLUMNS = 70, 1000, 160
BANNED = {
    "strcpy": "use memcpy with a known size", "strcat": "use struct buffer", "sprintf": "use snprintf or buffer_printf", "vsprintf": "use vsnprintf",
    "gets": "use getline", "strtok": "it has hidden state", "atoi": "use strtol with checks", "atol": "use strtol with checks", "atof": "use strtod with checks",
    "alloca": "the stack is not bounded", "rand": "use a counter-based generator", "srand": "use a counter-based generator",
    "malloc": "use mem_alloc", "calloc": "use mem_zalloc_array", "realloc": "use mem_realloc_array", "free": "use mem_free",
    "posix_memalign": "use mem_alloc_aligned", "aligned_alloc": "use mem_alloc_aligned", "strdup": "use mem_strndup", "strndup": "use mem_strndup",
    "abort": "return an error", "assert": "return an error", "system": "no shell",
}
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK|not implemented|unimplemented|placeholder)\b")


def strip_c(text):
    """C source with comments and string contents blanked, line numbers kept."""
    def blank(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[-1] if "\n" not in found else found
        return re.sub(r"[^\n]", " ", found)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def room_of(path):
    match = re.match(r"src/(\w+)/", path)
    return match.group(1) if match and match.group(1) in ROOMS else None


def check_includes(path, text):
    room = room_of(path)
    if not room:
        return
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s+"(\w+)/', line)
        if not match or match.group(1) not in ROOMS:
            continue
        other = match.group(1)
        if ROOMS.index(other) > ROOMS.index(room):
            yield number, "includes", f"{room}/ includes {other}/, which lies below it"
        elif room in ONLY and other not in ONLY[room]:
            yield number, "includes", f"{room}/ may include only {', '.join(sorted(ONLY[room]))}; it includes {other}/"


def check_functions(path, text):
    """Functions open with a brace in the first column (or at the end of an unindented line) and close with one."""
    lines = strip_c(text).split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{") or re.match(r"^[A-Za-z_].*\)\s*\{\s*$", line):
            start = number
        elif line.startswith("}") and start is not None:
            if number - start - 1 > FUNCTION_LINES:
                head = " ".join(lines[max(0, start - 3):start])
                names = re.findall(r"(\w+)\s*\(", head)
                name = names[-1] if names else "?"
                for candidate in names:
                    if candidate not in ("__attribute__", "defined"):
                        name = candidate
                        break
                yield start, f"function:{name}", f"{number - start - 1} lines, at most {FUNCTION_LINES}"
            start = None


def check_banned(path, text):
    if not path.startswith("src/") or path == "src/base/memory.c":
        return
    names = "|".join(BANNED)
    for number, line in enumerate(strip_c(text).split("\n"), 1):
        for match in re.finditer(rf"(?<![\w.>])({names})\s*\(", line):
            yield number, "banned", f"{match.group(1)}: {BANNED[match.group(1)]}"
        if re.search(r"(?<![\w.>])_?exit\s*\(", line) and room_of(path) != "cli":
            yield number, "banned", "exit: only cli/ ends the process"


def check_shape(path, text):
    lines = text.split("\n")
    if len(lines) - 1 > FILE_LINES:
        yield 1, "file", f"{len(lines) - 1} lines, at most {FILE_LINES}"
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS:
            yield number, "line", f"{len(line)} columns, at most {LINE_COLUMNS}"
        if line != line.rstrip():
            yield number, "line", "trailing white space"
        if "\t" in line:
            yield number, "line", "a tab"
        if MARKS.search(line):
            yield number, "mark", f"unfinished work: {line.strip()[:80]}"
    if not text.startswith("/*") and not has_header(path, text):
        yield 1, "opening", "a file opens with a comment that says what it is for"


def has_header(path, text):
    """An implementation is explained by the header of the same name that it includes first."""
    first = re.match(r'#include "([^"]+)"', text)
    return path.endswith(".c") and first is not None and os.path.basename(first.group(1)) == os.path.basename(path)[:-2] + ".h"


RULES = (check_includes, check_functions, check_banned, check_shape)


def read_exceptions(text):
    """{(rule, path[:function]): reason}"""
    exceptions = {}
    for line in text.split("\n"):
        words = line.split(None, 2)
        if words and not line.startswith("#"):
            if len(words) < 3:
                raise SystemExit(f"tidy: exceptions.txt: no reason given: {line}")
            exceptions[(words[0], words[1])] = words[2]
    return exceptions


def check_file(path, text, exceptions, used):
    for rule in RULES:
        for number, name, message in rule(path, text):
            kind, _, function = name.partition(":")
            key = (kind, f"{path}:{function}" if function else path)
            if key in exceptions:
                used.add(key)
            else:
                yield f"{path}:{number}: {kind}: {(function + ': ') if function else ''}{message}"


def list_files(root):
    """The files that git knows or would add; where there is no git, all but build output."""
    try:
        return subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        found = []
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name not in ("build", "models", ".git")]
            found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
        return found


def check_repository(root):
    listed = list_files(root)
    exceptions = read_exceptions(open(os.path.join(root, "tests/tidy/exceptions.txt"), encoding="utf-8").read())
    used, findings, rooms = set(), [], set()
    for path in sorted(set(listed)):
        full = os.path.join(root, path)
        if not path.endswith((".c", ".h")) or not os.path.isfile(full):
            continue
        rooms.add(room_of(path))
        findings += check_file(path, open(full, encoding="utf-8", errors="replace").read(), exceptions, used)
    for room in sorted(filter(None, rooms)):
        if not os.path.isfile(os.path.join(root, "src", room, "README.md")):
            findings.append(f"src/{room}: room: no README.md")
    findings += [f"tests/tidy/exceptions.txt: no longer needed: {rule} {path}" for rule, path in sorted(set(exceptions) - used)]
    return findings


def self_test():
    cases = [
        ("src/base/a.c", '/* a */\n#include "chip/chip.h"\n', "lies below"),
        ("src/engine/a.c", '/* a */\n#include "chip/chip.h"\n', "may include only"),
        ("src/engine/a.c", '/* a */\n#include "fleet/local_executor.h"\n', "lies below"),
        ("src/base/a.c", "/* a */\nint f(void)\n{\n" + "    x();\n" * 71 + "}\n", "71 lines"),
        ("src/base/a.c", "/* a */\nint x = 0;\nvoid f(void)\n{\n    free(p);\n}\n", "mem_free"),
        ("src/base/a.c", "/* a */\nvoid f(void)\n{\n    exit(1);\n}\n", "only cli/"),
        ("src/base/a.c", "/* a */\n" + "int x;\n" * 1000, "1001 lines"),
        ("src/base/a.c", "/* a */\n/* " + "x" * 160 + " */\n", "columns"),
        ("src/base/a.c", "/* a */\nint x; /* TODO: more */\n", "unfinished"),
        ("src/base/a.c", "int x;\n", "opens with a comment"),
    ]
    clean = [
        ("src/cli/a.c", "/* a */\nvoid f(void)\n{\n    exit(1);\n}\n"),
        ("src/base/a.c", '/* free(x) */\nconst char *s = "malloc(3)";\nvoid f(void)\n{\n    arena_free(a);\n    v->free(a);\n}\n'),
        ("src/chip/a.c", '/* a */\n#include "tensor/type.h"\n'),
    ]
    for path, text, expected in cases:
        found = list(check_file(path, text, {}, set()))
        if not any(expected in line for line in found):
            print(f"tidy: self-test: expected '{expected}' in {found}")
            return 1
    for path, text in clean:
        found = list(check_file(path, text, {}, set()))
        if found:
            print(f"tidy: self-test: expected nothing, found {found}")
            return 1
    return 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    findings = check_repository(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    for line in findings:
        print(line)
    print(f"tidy: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
