#!/usr/bin/env python3
"""Compares the JSON of `sampan score` with a golden. Python's standard library only. Exit 0: within the bounds, 1: not (says what and where), 2: usage.

    compare.py kl GOLDEN SCORE.json [--max-mean-kl X]     log-probabilities of the text
    compare.py greedy GOLDEN NAME SCORE.json [--margin X] greedy tokens of one prompt
    compare.py ids GOLDEN [NAME]                          prints the ids of the text, or of a prompt, for --ids
    compare.py names GOLDEN                               prints the names of the prompts

GOLDEN is the .json file; the .top64 beside it is described in make_goldens.py.

KL. For each position KL(reference || ours) in nats over a coarsened distribution: the reference's top 64 tokens, each by itself, and one bucket for all
the rest. The reference's bucket is stored; ours is 1 minus our probabilities of the 64, not below 1e-9. `sampan score` gives our top K
(K = 256 and more recommended): a token of the reference's 64 which is not among them has at most our K-th probability, and that bound is taken, which makes
the figure a lower one; so how many are absent is reported, and more than --max-absent (default 0.001 of all) fails. SCORE.json may hold fewer
positions than the golden, never more: the first ones are compared, at least --min-positions (default: all).

Greedy. Tokens must agree until the reference's margin between its two best logits falls below --margin for the first time."""
import argparse
import array
import json
import math
import pathlib
import sys

SMALLEST_REST = 1e-9


def fail(message):
    print(f"FAILED: {message}")
    sys.exit(1)


def load_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as problem:
        fail(f"reading {path}: {problem}")


def load_top(golden_path, golden):
    """[(ids, log-probabilities, log of the rest)] for each position of the golden's text."""
    top = golden["top"]
    data = pathlib.Path(golden_path).with_suffix(f".top{top}").read_bytes()
    row_bytes = top * 6 + 4
    if len(data) != row_bytes * len(golden["ids"]):
        fail(f"{golden_path}: {len(data)} bytes of log-probabilities for {len(golden['ids'])} positions of {row_bytes} bytes")
    rows = []
    for start in range(0, len(data), row_bytes):
        ids = array.array("H", data[start:start + top * 2])
        values = array.array("f", data[start + top * 2:start + row_bytes])
        if sys.byteorder == "big":
            ids.byteswap()
            values.byteswap()
        rows.append((ids, values[:top], values[top]))
    return rows


def position_kl(reference, ours):
    """KL in nats and the number of the reference's tokens that are not among our top K."""
    ids, values, rest = reference
    smallest = min(ours.values())
    kl, our_mass, absent = 0.0, 0.0, 0
    for token, reference_value in zip(ids, values):
        our_value = ours.get(token)
        if our_value is None:
            our_value = smallest
            absent += 1
        else:
            our_mass += math.exp(our_value)
        kl += math.exp(reference_value) * (reference_value - our_value)
    our_rest = math.log(max(1.0 - our_mass, SMALLEST_REST))
    kl += math.exp(rest) * (rest - our_rest)
    return kl, absent


def check_positions(score, golden, arguments):
    tokens, positions = score.get("tokens"), score.get("positions")
    if not isinstance(tokens, list) or not isinstance(positions, list) or len(tokens) != len(positions):
        fail("the score has no `tokens` and `positions` of one length")
    wanted = arguments.min_positions or len(golden["ids"])
    if not wanted <= len(tokens) <= len(golden["ids"]):
        fail(f"the score has {len(tokens)} positions, the golden {len(golden['ids'])}, at least {wanted} are wanted")
    if tokens != golden["ids"][:len(tokens)]:
        fail("the score's `tokens` are not the golden's ids")
    return positions


def read_position(position, index, least):
    """{id: log-probability} of our top K, checked: a distribution has finite values, descending, adding up to at most 1."""
    pairs = position.get("logprobs") if isinstance(position, dict) else None
    if not isinstance(pairs, list) or len(pairs) < least:
        fail(f"position {index} has no `logprobs` of at least {least} pairs")
    values = {}
    previous = 0.0
    for token, value in pairs:
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value > previous + 1e-6:
            fail(f"position {index}: log-probability {value} of token {token} after {previous}: not finite, or not in descending order from 0")
        values[token] = previous = value
    if len(values) != len(pairs):
        fail(f"position {index} names a token twice")
    if sum(math.exp(value) for value in values.values()) > 1 + 1e-4:
        fail(f"position {index}: the probabilities add up to more than 1")
    return values


def compare_kl(arguments):
    golden = load_json(arguments.golden)
    rows = load_top(arguments.golden, golden)
    positions = check_positions(load_json(arguments.score), golden, arguments)
    divergences, absent, first_agrees = [], 0, 0
    for index, position in enumerate(positions):
        ours = read_position(position, index, golden["top"])
        kl, missing = position_kl(rows[index], ours)
        divergences.append(kl)
        absent += missing
        first_agrees += max(ours, key=ours.get) == rows[index][0][0]
    mean, worst = sum(divergences) / len(divergences), max(divergences)
    share = absent / (len(positions) * golden["top"])
    print(f"{len(positions)} positions: mean KL {mean:.3e} (bound {arguments.max_mean_kl:g}), max {worst:.3e} at position {divergences.index(worst)}, "
          f"same best token at {first_agrees}, {absent} of the reference's top {golden['top']} outside ours ({share:.2%})")
    if not mean <= arguments.max_mean_kl:
        fail(f"mean KL {mean:.3e} exceeds {arguments.max_mean_kl:g} nats")
    if share > arguments.max_absent:
        fail(f"{absent} of the reference's tokens are not among ours: give `sampan score` a larger --top, or the model is not the golden's")


def compare_greedy(arguments):
    golden = load_json(arguments.golden)
    generation = find_generation(golden, arguments.name)
    score = load_json(arguments.score)
    ours, reference, margins = score.get("generated"), generation["generated"], generation["margins"]
    if score.get("tokens") != generation["prompt"]:
        fail("the score's `tokens` are not the prompt's ids")
    if not isinstance(ours, list):
        fail("the score has no `generated`")
    for index, (token, margin) in enumerate(zip(reference, margins)):
        if margin < arguments.margin:
            print(f"{arguments.name}: {index} greedy tokens agree, then the margin is {margin} (bound {arguments.margin:g})")
            return
        if index == len(ours) and token in golden["end_ids"]:
            print(f"{arguments.name}: all {index} greedy tokens agree, to the end of the answer")
            return
        if index >= len(ours):
            fail(f"{arguments.name}: only {len(ours)} tokens were generated; the golden's margin stays above {arguments.margin:g} for longer")
        if ours[index] != token:
            fail(f"{arguments.name}: token {index} is {ours[index]}, the reference's {token}, and its margin there is {margin}")
        if token in golden["end_ids"]:
            print(f"{arguments.name}: {index + 1} greedy tokens agree, to the end of the answer")
            return
    print(f"{arguments.name}: all {len(reference)} greedy tokens agree (smallest margin {min(margins)})")


def find_generation(golden, name):
    for generation in golden["generations"]:
        if generation["name"] == name:
            return generation
    fail(f"the golden has no prompt '{name}', it has {', '.join(generation['name'] for generation in golden['generations'])}")


def print_ids(arguments):
    golden = load_json(arguments.golden)
    ids = find_generation(golden, arguments.name)["prompt"] if arguments.name else golden["ids"]
    print(json.dumps(ids[:arguments.positions] if arguments.positions else ids))


def print_names(arguments):
    for generation in load_json(arguments.golden)["generations"]:
        print(generation["name"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    kl = commands.add_parser("kl")
    kl.add_argument("golden")
    kl.add_argument("score")
    kl.add_argument("--max-mean-kl", type=float, default=1e-5)
    kl.add_argument("--max-absent", type=float, default=0.001)
    kl.add_argument("--min-positions", type=int, default=0)
    kl.set_defaults(run=compare_kl)
    greedy = commands.add_parser("greedy")
    greedy.add_argument("golden")
    greedy.add_argument("name")
    greedy.add_argument("score")
    greedy.add_argument("--margin", type=float, default=0.001)
    greedy.set_defaults(run=compare_greedy)
    ids = commands.add_parser("ids")
    ids.add_argument("golden")
    ids.add_argument("name", nargs="?")
    ids.add_argument("--positions", type=int, default=0)
    ids.set_defaults(run=print_ids)
    names = commands.add_parser("names")
    names.add_argument("golden")
    names.set_defaults(run=print_names)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
