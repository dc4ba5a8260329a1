#!/usr/bin/env python3
"""Compares constrained output with the jsonschema library (PyPI): random schemas, random texts.

    compare_grammar.py build/release/tests/grammar_tool [--schemas 500] [--seed 1] [--write data/grammar_cases.jsonl --keep 60]

For each schema of the supported part: every text that the grammar makes at random validates; every text that it accepts of those made here validates; and of
the valid ones written as models write them (properties in order, compact) it accepts all. --write keeps some of the schemas with their texts and the
library's verdicts as goldens for test_grammar.c: {"schema", "valid": [...], "invalid": [...]}."""
import argparse, json, random, string, subprocess

import jsonschema

FORMATS = jsonschema.FormatChecker()
PATTERNS = ["^a+b?$", "[0-9]{2}", "^(x|yz)*$", "^[^a-c]{1,3}$", r"^\d+\.\d{2}$", "end$", r"^\w+@\w+$", "é|ü"]


def random_text(rng, longest=6):
    return "".join(rng.choice('abcxyz019 _"\\\n\té€𝄞') for _ in range(rng.randrange(longest + 1)))


def random_value(rng, depth=0):
    kind = rng.randrange(7 if depth < 2 else 5)
    if kind == 0:
        return None
    if kind == 1:
        return rng.random() < 0.5
    if kind == 2:
        return rng.randrange(-100, 100)
    if kind == 3:
        return round(rng.uniform(-50, 50), rng.randrange(1, 5))
    if kind == 4:
        return random_text(rng)
    if kind == 5:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {random_text(rng, 3): random_value(rng, depth + 1) for _ in range(rng.randrange(4))}


def string_schema(rng):
    schema = {"type": "string"}
    choice = rng.randrange(6)
    if choice == 0:
        schema["maxLength"] = rng.randrange(8)
        schema["minLength"] = rng.randrange(schema["maxLength"] + 1)
    elif choice == 1:
        schema["pattern"] = rng.choice(PATTERNS)
    elif choice == 2:
        schema["format"] = rng.choice(["date", "uuid", "email", "ipv4"])
    elif choice == 3:
        schema = {"enum": [random_text(rng) for _ in range(rng.randrange(1, 4))]}
    elif choice == 4:
        schema["pattern"] = rng.choice(PATTERNS)
        schema["maxLength"] = rng.randrange(4, 12)
    return schema


def number_schema(rng):
    schema = {"type": rng.choice(["integer", "number"])}
    if rng.random() < 0.7:
        low = rng.randrange(-120, 120) if rng.random() < 0.6 else round(rng.uniform(-9, 9), 3)
        schema[rng.choice(["minimum", "exclusiveMinimum"])] = low
        if rng.random() < 0.7:
            schema[rng.choice(["maximum", "exclusiveMaximum"])] = low + rng.choice([3, 10, 1000, 0.25 if schema["type"] == "number" else 4])
    elif rng.random() < 0.5:
        schema = {"type": "integer", "multipleOf": rng.randrange(2, 30)}
    return schema


def object_schema(rng, depth, refs):
    names = list(dict.fromkeys(random_text(rng, 4) for _ in range(rng.randrange(5))))
    schema = {"type": "object", "properties": {name: random_schema(rng, depth + 1, refs) for name in names}}
    schema["required"] = [name for name in names if rng.random() < 0.5]
    choice = rng.randrange(4)
    if choice < 2:
        schema["additionalProperties"] = False
    elif choice == 2:
        schema["additionalProperties"] = random_schema(rng, depth + 1, refs)
    if not names and rng.random() < 0.5:
        schema = {"type": "object", "additionalProperties": random_schema(rng, depth + 1, refs), "minProperties": 1, "maxProperties": 3}
    return schema


def array_schema(rng, depth, refs):
    schema = {"type": "array", "items": random_schema(rng, depth + 1, refs)}
    if rng.random() < 0.3:
        schema["prefixItems"] = [random_schema(rng, depth + 1, refs) for _ in range(rng.randrange(1, 3))]
    if rng.random() < 0.5:
        schema["minItems"] = rng.randrange(3)
    if rng.random() < 0.5:
        schema["maxItems"] = schema.get("minItems", 0) + rng.randrange(4)
    return schema


def random_schema(rng, depth=0, refs=()):
    kind = rng.randrange(11 if depth < 3 else 5)
    if kind == 0:
        return string_schema(rng)
    if kind == 1:
        return number_schema(rng)
    if kind == 2:
        return {"type": rng.choice(["null", "boolean", "integer", "number", "string"])}
    if kind == 3:
        return {"const": random_value(rng, 1)} if rng.random() < 0.5 else {"enum": [random_value(rng, 1) for _ in range(3)]}
    if kind == 4:
        return rng.choice([True, {}, {"type": ["integer", "null"]}, {"$ref": rng.choice(refs)} if refs else {"type": "string", "maxLength": 2}])
    if kind in (5, 6, 7):
        return object_schema(rng, depth, refs)
    if kind == 8:
        return array_schema(rng, depth, refs)
    if kind == 9:
        return {"anyOf": [random_schema(rng, depth + 1, refs) for _ in range(rng.randrange(1, 4))]}
    return {"allOf": [number_schema(rng), {"minimum": rng.randrange(-5, 5)}]} if rng.random() < 0.5 else {
        "oneOf": [
            {"type": "object", "properties": {"kind": {"const": "a"}, "x": random_schema(rng, depth + 1, refs)}, "required": ["kind"], "additionalProperties": False},
            {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"], "additionalProperties": False},
            {"type": "integer"},
        ]
    }


def whole_schema(rng):
    if rng.random() < 0.7:
        return random_schema(rng)
    refs = ["#/$defs/leaf", "#/$defs/tree"]
    return {
        "$defs": {
            "leaf": string_schema(rng),
            "tree": {"type": "object", "properties": {"value": {"$ref": "#/$defs/leaf"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["value"], "additionalProperties": False},
        },
        "anyOf": [random_schema(rng, 1, refs), {"$ref": rng.choice(refs)}],
    }


def mutate(rng, text):
    if not text:
        return rng.choice("{}[]0x")
    at = rng.randrange(len(text))
    choice = rng.randrange(4)
    if choice == 0:
        return text[:at] + text[at + 1 :]
    if choice == 1:
        return text[:at] + rng.choice('0123456789abx"{}[],:.-') + text[at:]
    if choice == 2:
        return text[:at] + rng.choice('0123456789abx"{}[],:.-') + text[at + 1 :]
    return text + rng.choice(["", " ", "}", "0"])


def is_valid(validator, text):
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return validator.is_valid(value)


def ask(tool, requests):
    done = subprocess.run([tool], input="".join(json.dumps(r) + "\n" for r in requests), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool")
    parser.add_argument("--schemas", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write")
    parser.add_argument("--keep", type=int, default=60)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    schemas = []
    while len(schemas) < arguments.schemas:
        schema = whole_schema(rng)
        if isinstance(schema, dict):
            schemas.append(schema)
    first = ask(arguments.tool, [{"kind": 1, "source": json.dumps(s), "samples": 20, "seed": i} for i, s in enumerate(schemas)])
    counts = dict(refused=0, unsatisfiable=0, samples=0, invalid_samples=0, texts=0, accepted=0, wrongly_accepted=0, valid=0, unfinished=0, own_refused=0)
    second, validators, kept = [], [], []
    for schema, answer in zip(schemas, first):
        validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
        validators.append(validator)
        texts = []
        if "error" in answer:
            counts["unsatisfiable" if "no text can satisfy" in answer["error"] else "refused"] += 1
            if "no text can satisfy" not in answer["error"]:
                print("refused:", answer["error"], json.dumps(schema)[:300])
        for sample in answer.get("samples", []):
            if sample is None:
                counts["unfinished"] += 1
                continue
            counts["samples"] += 1
            if not is_valid(validator, sample):
                counts["invalid_samples"] += 1
                print("INVALID SAMPLE", json.dumps(schema), "->", sample)
            texts += [json.dumps(json.loads(sample), ensure_ascii=False, separators=(",", ":"))] if len(sample) < 2000 else []
            texts += [mutate(rng, sample) for _ in range(3)]
        texts += [json.dumps(random_value(rng), ensure_ascii=False) for _ in range(10)]
        second.append({"kind": 1, "source": json.dumps(schema), "texts": texts})
    for schema, validator, request, answer in zip(schemas, validators, second, ask(arguments.tool, second)):
        valid, invalid = [], []
        for text, verdict in zip(request["texts"], answer.get("verdicts", [])):
            truth = is_valid(validator, text)
            counts["texts"] += 1
            counts["accepted"] += verdict
            counts["valid"] += truth
            if verdict and not truth:
                counts["wrongly_accepted"] += 1
                print("WRONGLY ACCEPTED", json.dumps(schema), "->", text)
            if len(text) < 200:
                (valid if verdict else invalid if not truth else []).append(text)
        if valid and len(json.dumps(schema)) < 1500:
            kept.append({"schema": schema, "valid": valid[:6], "invalid": invalid[:8]})
    print(counts)
    if arguments.write:
        with open(arguments.write, "w") as out:
            for row in kept[: arguments.keep]:
                out.write(json.dumps(row, ensure_ascii=True) + "\n")
    return counts["invalid_samples"] or counts["wrongly_accepted"]


if __name__ == "__main__":
    raise SystemExit(1 if main() else 0)
