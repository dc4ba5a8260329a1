#!/usr/bin/env python3
"""The binary interface of include/sampan.h as a committed list, and the test that holds it.

    abi.py --check      compares the headers with abi.txt; every difference is named a break or growth, and either fails
    abi.py --write      makes abi.txt anew; refused where a released interface (SAMPAN_ABI_VERSION above 0) would be broken without raising that version
    abi.py --self-test  checks that breaks and growth are told apart

The list holds each function with its types, each enumerator and constant with its value, each field of each public struct with offset, size and type (LP64:
64-bit Linux), as the C compiler sees them. What counts as a break is told in docs/API.md; the rules are in `compare` below."""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "abi.txt")


def strip(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def squeeze(text):
    return re.sub(r"\s*\*\s*", " *", re.sub(r"\s+", " ", text)).replace("* *", "**").strip()


def split_outside(text, mark):
    """Splits where the mark stands outside parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def type_of_parameter(text):
    """Without its name, which is not part of the interface."""
    text = squeeze(text)
    if re.search(r"\(\s*\*", text):
        inside = re.match(r"(.*)\(\s*\*\s*\w*\s*\)\((.*)\)$", text)
        return f"{inside.group(1).strip()} (*)({', '.join(type_of_parameter(part) for part in split_outside(inside.group(2), ','))})"
    without = re.sub(r"(?<=[\s*])\w+$", "", text).strip()
    return without if without and without not in ("const", "struct", "enum", "unsigned") else text


def fields_of(body):
    """[(name, type)]"""
    fields = []
    for declaration in split_outside(body, ";"):
        declaration = squeeze(declaration)
        pointer = re.match(r".*\(\s*\*\s*(\w+)\s*\)\(.*\)$", declaration)
        if pointer:
            fields.append((pointer.group(1), type_of_parameter(declaration)))
            continue
        first, *others = split_outside(declaration, ",")
        base, name = re.match(r"(.*?)(\w+(?:\[[^]]*\])?)$", first).groups()
        for each in [name] + others:
            stars = re.match(r"[*\s]*", each).group(0).replace(" ", "")
            fields.append((re.sub(r"\[.*", "", each.lstrip("* ")), squeeze((base.rstrip("* ") if each is not name else base) + " " + stars)))
    return fields


def read_headers(texts):
    functions, structs, constants = [], [], []
    for text in texts:
        text = strip(text)
        for match in re.finditer(r"SAMPAN_API\s+([^;{]*?)(\w+)\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)\s*;", text):
            parameters = [type_of_parameter(part) for part in split_outside(match.group(3), ",")]
            functions.append((match.group(2), f"{squeeze(match.group(1))} ({', '.join(parameters)})"))
        structs += [(match.group(1), fields_of(match.group(2))) for match in re.finditer(r"struct\s+(\w+)\s*\{(.*?)\n\}\s*;", text, re.S)]
        for match in re.finditer(r"enum\s+\w+\s*\{(.*?)\}\s*;", text, re.S):
            constants += [re.match(r"\w+", part.strip()).group(0) for part in match.group(1).split(",") if part.strip()]
        constants += re.findall(r"^#define\s+(SAMPAN_(?!API\b|H\b|ERRORS_H\b)\w+)\s+\S", text, re.M)
    return functions, structs, constants


def describe(header_paths, include):
    functions, structs, constants = read_headers([open(path, encoding="utf-8").read() for path in header_paths])
    lines = ["#include <stdio.h>", "#include <stddef.h>", "#include <sampan.h>", "int main(void) {"]
    for name in constants:
        lines.append(f'printf("constant {name} = %lld\\n", (long long)({name}));')
    for name, fields in structs:
        lines.append(f'printf("struct {name} size %zu\\n", sizeof(struct {name}));')
        for field, kind in fields:
            lines.append(f'printf("field {name}.{field} offset %zu size %zu type {kind}\\n", offsetof(struct {name}, {field}), '
                         f'sizeof ((struct {name} *)0)->{field});')
    lines += ["return 0; }"]
    with tempfile.TemporaryDirectory() as folder:
        source, program = os.path.join(folder, "abi.c"), os.path.join(folder, "abi")
        with open(source, "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
        subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-w", "-I", include, "-o", program, source], check=True)
        out = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return sorted(f"function {name} {kind}" for name, kind in functions) + out.strip().split("\n")


def abi_version():
    with open(os.path.join(ROOT, "packaging/CMakeLists.txt"), encoding="utf-8") as file:
        return int(re.search(r"set\(SAMPAN_ABI_VERSION (\d+)\)", file.read()).group(1))


def describe_repository():
    include = os.path.join(ROOT, "include")
    return [f"abi {abi_version()}"] + describe([os.path.join(include, name) for name in ("sampan.h", "sampan_errors.h")], include)


def keyed(lines):
    """{what: rest}"""
    found = {}
    for line in lines:
        words = line.split(" ", 2)
        found[" ".join(words[:2])] = words[2] if len(words) > 2 else ""
    return found


def compare(old_lines, new_lines):
    """[(is_break, message)]"""
    old, new, findings = keyed(old_lines), keyed(new_lines), []
    sizes = {key.split()[1]: int(rest.split()[1]) for key, rest in old.items() if key.startswith("struct ")}
    grows = {name for name in sizes if f"field {name}.size" in old}  # the others are fixed: callers make arrays of them
    for key, rest in old.items():
        kind, name = key.split(" ", 1)
        if kind == "abi" or new.get(key) == rest:
            continue
        if key not in new:
            findings.append((True, f"{key} is gone"))
        elif kind == "struct" and name in grows and int(new[key].split()[1]) > sizes[name]:
            findings.append((False, f"{key} grew: {rest}, now {new[key]}"))
        else:
            findings.append((True, f"{key} changed: {rest}, now {new[key]}"))
    for key, rest in new.items():
        kind, name = key.split(" ", 1)
        if kind == "abi" or key in old:
            continue
        owner = name.split(".")[0]
        if kind == "field" and owner in sizes and owner not in grows:
            findings.append((True, f"{key} is new, in a struct without a size"))
        elif kind == "field" and owner in sizes and int(rest.split()[1]) < sizes[owner]:
            findings.append((True, f"{key} is new and lies inside what older callers know (offset {rest.split()[1]} of {sizes[owner]} bytes): move it to the end, "
                                   "behind the padding"))
        else:
            findings.append((False, f"{key} is new"))
    return findings


def read_list():
    with open(LIST, encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]


def check():
    findings = compare(read_list(), describe_repository())
    for is_break, message in findings:
        print(f"{'a break' if is_break else 'growth'}: {message}")
    if findings:
        print("If this is meant, run tests/install/abi.py --write and commit abi.txt with the header; docs/API.md tells what a break is.")
    return 1 if findings else 0


def write():
    new = describe_repository()
    old = read_list() if os.path.exists(LIST) else new
    breaks = [message for is_break, message in compare(old, new) if is_break]
    for message in breaks:
        print(f"a break: {message}")
    if breaks and old[0] == new[0] and old[0] != "abi 0":
        print("refused: raise SAMPAN_ABI_VERSION in packaging/CMakeLists.txt, or mend the header")
        return 1
    with open(LIST, "w", encoding="utf-8") as file:
        file.write("# The binary interface of include/sampan.h on 64-bit Linux, made by abi.py --write.\n" + "\n".join(new) + "\n")
    return 0


SELF_BEFORE = """
enum sampan_e { SAMPAN_A = 1, SAMPAN_B };
#define SAMPAN_C (-1)
struct sampan_pair { int id; float x; };
struct sampan_grows { size_t size; const char *const *names, *name; int count; int (*call)(void *self, const struct sampan_pair *pair); char last; };
SAMPAN_API int sampan_f(const char *text, size_t length, int (*call)(void *self, int x), void *self);
"""
SELF_CASES = [  # change, is it a break (None: no difference at all)
    ("", "", None),
    ("const char *text", "const char *words", None),
    ("void *self, int x", "void *that, int y", None),
    ("size_t length", "int length", True),
    ("int sampan_f", "long sampan_f", True),
    ("int sampan_f(", "int sampan_g(", True),
    ("SAMPAN_B }", "SAMPAN_B, SAMPAN_D }", False),
    ("SAMPAN_A = 1", "SAMPAN_A = 2", True),
    ("(-1)", "(-2)", True),
    ("int id; float x;", "float x; int id;", True),
    ("float x; };", "float x; int more; };", True),
    ("int count;", "long count;", True),
    ("char last; };", "char last; char in_the_padding; };", True),
    ("char last; };", "char last; long behind; };", False),
    ("int count;", "", True),
    ("SAMPAN_API int", "SAMPAN_API int sampan_new(void);\nSAMPAN_API int", False),
]


def self_test():
    frame = "#include <stddef.h>\n#define SAMPAN_API\n%s\n"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sampan.h")

        def lines_of(text):
            text = text.replace("; };", ";\n};")
            with open(path, "w", encoding="utf-8") as file:
                file.write(frame % text)
            return describe([path], folder)

        before = lines_of(SELF_BEFORE)
        for old, new, expected in SELF_CASES:
            assert not old or old in SELF_BEFORE, old
            findings = compare(before, lines_of(SELF_BEFORE.replace(old, new)) if old else before)
            found = any(is_break for is_break, _ in findings) if findings else None
            if found != expected:
                print(f"abi: self-test: '{old}' -> '{new}': {findings}, expected {'a break' if expected else 'growth' if expected is False else 'nothing'}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit({"--check": check, "--write": write, "--self-test": self_test}[sys.argv[1]]())
