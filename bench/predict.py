#!/usr/bin/env python3
"""The bounds of `sampan check` beside what `sampan bench` reaches, on this machine's CPU: a bound below the measurement would be wrong.

Usage: predict.py SAMPAN MODEL [--runs N] [--chip CHIP]     exit code 1 when a measurement exceeds its bound.
Each bound is asked for at the positions that the measurement has on average, and bandwidth and peaks are measured again beside every run, because machines drift."""
import argparse
import json
import subprocess
import sys

# name in bench, name in check, positions behind each sequence (bench: prompt 512; prompt 16 and 96 tokens; prompt 16 and 48 tokens of 16 streams)
ROWS = (("prefill", "prompt", 512, 1), ("decode", "one_stream", 64, 1), ("batch_decode", "all_streams", 40, 16))


def ask(*words):
    return json.loads(subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sampan")
    parser.add_argument("model")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--chip", default="cpu")
    options = parser.parse_args()
    best = {name: 0.0 for name, *_ in ROWS}
    bounds = {name: 0.0 for name, *_ in ROWS}
    for _ in range(options.runs):
        for name, row, context, batch in ROWS:
            chip = ask(options.sampan, "check", options.model, "--chip", options.chip, "--context", context, "--batch", batch, "--json")["chips"][0]
            bounds[name] = max(bounds[name], chip["speeds"][row]["tokens_per_second"] or 0)
        report = ask(options.sampan, "bench", options.model, "--chip", options.chip, "--runs", 1, "--json")
        for name, *_ in ROWS:
            best[name] = max(best[name], report[name]["tokens_per_second"])
    print(f"{'':14} {'bound':>10} {'reached':>10} {'share':>7}   tokens/s")
    wrong = False
    for name, *_ in ROWS:
        share = best[name] / bounds[name] if bounds[name] else float("nan")
        wrong = wrong or share > 1
        print(f"{name:14} {bounds[name]:10.1f} {best[name]:10.1f} {share:7.0%}")
    if wrong:
        sys.exit("a measurement exceeds its bound")


if __name__ == "__main__":
    main()
