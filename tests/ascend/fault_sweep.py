#!/usr/bin/env python3
"""Injects every kind of fault at every call of a short generation on the emulated Ascend device, one process each.

   fault_sweep.py FAULT_RUN MAKE_TINY [--sample N] [--seed N] [--jobs N] [--chip CHIP]

Each run must end by itself, without a signal, within a limit, and either with a clear error (exit code 3) or with the answers of an undisturbed run. A wrong bit in a
result is the one fault that nobody reports: its run may end with other answers; how many did is told. Without --sample every call is taken."""
import argparse
import collections
import concurrent.futures
import os
import random
import subprocess
import sys
import tempfile

KINDS = ["oom", "capture", "exception", "vector", "aicpu", "dma", "timeout", "ecc", "uce", "heartbeat", "link", "hang", "slow", "bit"]
LIMIT_S = 60  # for one run, on a busy machine; a hang of the device itself is ended by the chip's deadline below
SILENT = {"bit"}


def environment(fault):
    values = dict(os.environ, ASCEND_EMULATOR_SLOW_MS="20", ASCEND_EMULATOR_HANG_MS="120000", ASCEND_EMULATOR_LEAKS="fail")
    values.pop("ASCEND_EMULATOR_FAULT", None)
    if fault:
        values["ASCEND_EMULATOR_FAULT"] = fault
    return values


def run(arguments, fault):
    try:
        done = subprocess.run(arguments, env=environment(fault), capture_output=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return None, "", ""
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def tokens(output):
    return [line for line in output.splitlines() if line.startswith("tokens")]


def judge(kind, result, expected):
    """What came of a run: "same", "rebuilt", "error", "other answers"; or a sentence that says what is wrong."""
    code, output, errors = result
    if code is None:
        return f"did not end within {LIMIT_S} s"
    if code == 3:
        said = [line for line in output.splitlines() if line.startswith("error: ")]
        return "error" if said and len(said[0]) > 40 else f"an error that says nothing: {output!r}"
    if code != 0:
        return f"exit status {code}: {output[-300:]!r} {errors[-600:]!r}"
    if tokens(output) != expected:
        return "other answers" if kind in SILENT else f"other answers without an error: {output!r}"
    return "same" if "rebuilds 0 " in output else "rebuilt"


def choose(n_calls, sample, seed):
    faults = [(kind, call) for kind in KINDS for call in range(1, n_calls + 1)]
    if sample:
        # each kind, and calls spread over the whole run
        random.Random(seed).shuffle(faults)
        by_kind = {kind: [fault for fault in faults if fault[0] == kind] for kind in KINDS}
        faults = [by_kind[KINDS[i % len(KINDS)]][i // len(KINDS)] for i in range(sample)]
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runner")
    parser.add_argument("make_tiny")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--chip", default="ascend:910B4,rows=8,deadline=1500")
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "tiny.gguf")
        subprocess.run([options.make_tiny, "--layers", "2", "--heads", "2", "--kv-heads", "1", "--head-width", "32", "--hidden", "64", "--ffn", "64", model], check=True)
        arguments = [options.runner, model, options.chip]
        code, output, errors = run(arguments, "")
        if code != 0:
            sys.exit(f"the undisturbed run failed ({code}): {output} {errors}")
        expected, n_calls = tokens(output), int(output.split()[-1])
        faults = choose(n_calls, options.sample, options.seed)
        print(f"{n_calls} calls of the vendor's functions, {len(faults)} runs on {options.chip}")
        outcomes = collections.Counter()
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            results = pool.map(lambda fault: run(arguments, f"{fault[0]}@{fault[1]}"), faults)
            for (kind, call), result in zip(faults, results):
                outcome = judge(kind, result, expected)
                if outcome not in ("same", "rebuilt", "error", "other answers"):
                    bad += 1
                    print(f"FAILED {kind}@{call}: {outcome}")
                    outcome = "failed"
                outcomes[kind, outcome] += 1
        for kind in KINDS:
            print(f"{kind:<10}" + ", ".join(f" {n} {what}" for (of, what), n in sorted(outcomes.items()) if of == kind))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
