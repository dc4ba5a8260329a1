#!/usr/bin/env python3
"""Whole models on the emulated Ascend device against the reference: mean KL(reference || ascend) in nats.

   score.py SAMPAN REPOSITORY default CHIP MAX_KL POSITIONS   the default model ($SAMPAN_TEST_MODEL) against the golden of transformers in fp32; 77: no such model
   score.py SAMPAN REPOSITORY tiny CHIP MAX_KL                every checkpoint of tests/model/data against the reference chip"""
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

TOP = 64


def score(sampan, model, chip, ids, top):
    done = subprocess.run([sampan, "score", str(model), "--chip", chip, "--ids", str(ids), "--top", str(top), "--json"], capture_output=True, check=False)
    if done.returncode and b"fused attention takes heads of a multiple of 16" in done.stderr:
        return None  # a checkpoint with narrower heads than any chip's operator takes
    if done.returncode:
        sys.exit(f"{model} on {chip}: {done.stderr.decode(errors='replace')}")
    return json.loads(done.stdout)


def divergence(expected, found):
    """Over the reference's best tokens and one bucket for the rest; a token that `found` does not list is as probable as its last one."""
    other, least, total, rest_p, rest_q = dict(map(tuple, found)), found[-1][1], 0.0, 1.0, 1.0
    for token, logprob in expected:
        p, log_q = math.exp(logprob), other.get(token, least)
        total += p * (logprob - log_q)
        rest_p -= p
        rest_q -= math.exp(log_q)
    return total + (rest_p * math.log(rest_p / max(rest_q, 1e-9)) if rest_p > 1e-9 else 0.0)


def score_tiny(sampan, repository, chip, bound, folder):
    ids = pathlib.Path(folder, "ids.json")
    ids.write_text(json.dumps([(7 * i * i + 3 * i + 11) % 90 for i in range(48)]), encoding="utf-8")
    worst, count = 0.0, 0
    for config in sorted((repository / "tests/model/data").glob("*/config.json")):
        if not list(config.parent.glob("*.safetensors")):
            continue
        wanted, found = (score(sampan, config.parent, one, ids, TOP) for one in ("reference", chip))
        if not found:
            print(f"{config.parent.name:<28} refused: heads too narrow")
            continue
        pairs = [divergence(a["logprobs"], b["logprobs"]) for a, b in zip(wanted["positions"], found["positions"])]
        mean = sum(pairs) / len(pairs)
        print(f"{config.parent.name:<28} mean KL {mean:.2e}")
        worst, count = max(worst, mean), count + 1
    if not count or not worst <= bound:
        sys.exit(f"FAILED: worst mean KL {worst:.2e} of {count} checkpoints, bound {bound:g}")


def score_default(sampan, repository, chip, bound, positions, folder):
    model = os.environ.get("SAMPAN_TEST_MODEL", "")
    if not os.path.exists(model):
        print("no default model in SAMPAN_TEST_MODEL")
        sys.exit(77)
    compare, golden = repository / "tests/score/compare.py", repository / "tests/score/data/smollm2.json"
    ids, found = pathlib.Path(folder, "ids.json"), pathlib.Path(folder, "score.json")
    ids.write_bytes(subprocess.run([sys.executable, "-B", compare, "ids", golden, "--positions", positions], capture_output=True, check=True).stdout)
    found.write_text(json.dumps(score(sampan, model, chip, ids, 256)), encoding="utf-8")
    sys.exit(subprocess.run([sys.executable, "-B", compare, "kl", golden, found, "--max-mean-kl", bound, "--min-positions", positions], check=False).returncode)


def main():
    sampan, repository, what, chip, bound = sys.argv[1:6]
    with tempfile.TemporaryDirectory() as folder:
        if what == "tiny":
            score_tiny(sampan, pathlib.Path(repository), chip, float(bound), folder)
        else:
            score_default(sampan, pathlib.Path(repository), chip, bound, sys.argv[6], folder)


if __name__ == "__main__":
    main()
