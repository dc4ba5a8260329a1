#!/usr/bin/env python3
"""sampan beside llama.cpp, interleaved in one run: a table of prompts, decoding and 16 streams for each model file, with the ratio and the machine's limit.

Machines are shared and drift, so only ratios of the same run mean something; the memory bandwidth and the peaks measured in the run stand beside them. The peer
comes from PyPI:

    python3 -m venv peer && peer/bin/pip install llama-cpp-python
    peer/bin/python bench/versus.py build/release/sampan MODEL.gguf [MODEL.gguf ...] [--rounds 5] [--long 4096] [--threads 2] [--json]

Both read the same files with as many threads, prompts of 512 tokens, contexts of the same size; the peer runs with its defaults (8-bit activations). --long adds, for
the first model, a prompt of so many tokens and decoding behind it. Start is from the process's first instruction to the first token of a 32-token prompt,
the file in the page cache; the peer's without Python's own start. Figures are medians of the rounds, in tokens/s; the limit of decoding is bandwidth over
bytes read per token, that of prompts is the int8 (bf16 for bf16 weights) peak over the operations of the linears."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PREFILL, DECODE, STREAMS, BATCH_DECODE, START_PROMPT = 512, 64, 16, 32, 32


def cpu_model():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


class Peer:
    """llama.cpp through its C interface, so that Python costs nothing per token of a batch."""

    def __init__(self, model, threads, context_tokens=STREAMS * 1024, streams=STREAMS):
        import llama_cpp
        self.api = llama_cpp
        self.version = llama_cpp.__version__
        self.silent = llama_cpp.llama_log_callback(lambda level, text, user: None)
        llama_cpp.llama_log_set(self.silent, None)
        llama_cpp.llama_backend_init()
        self.started = time.perf_counter()
        parameters = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(model.encode(), parameters)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = context_tokens
        context.n_batch = context.n_ubatch = PREFILL
        context.n_seq_max = streams
        context.n_threads = context.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, context)
        self.batch = llama_cpp.llama_batch_init(PREFILL, 0, 1)

    def close(self):
        self.api.llama_batch_free(self.batch)
        self.api.llama_free(self.context)
        self.api.llama_model_free(self.model)

    def clear(self):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)

    def step(self, rows):
        """rows: (token, position, sequence, wants logits)"""
        self.batch.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            self.batch.token[i] = token
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = sequence
            self.batch.logits[i] = wanted
        if self.api.llama_decode(self.context, self.batch):
            raise SystemExit("versus: the peer refused a batch")

    def prompt(self, n):
        """Tokens/s of a prompt, in batches of PREFILL."""
        self.clear()
        batches = [[(100 + 37 * i % 40000, i, 0, i == n - 1) for i in range(first, min(first + PREFILL, n))] for first in range(0, n, PREFILL)]
        started = time.perf_counter()
        for rows in batches:
            self.step(rows)
        return n / (time.perf_counter() - started)

    def decode(self, first):
        """Tokens/s of one stream behind `first` positions."""
        started = time.perf_counter()
        for i in range(DECODE):
            self.step([(200 + i, first + i, 0, True)])
        return DECODE / (time.perf_counter() - started)

    def decode_streams(self):
        self.clear()
        for s in range(STREAMS):
            self.step([(100 + i + s, i, s, i == 31) for i in range(32)])
        started = time.perf_counter()
        for i in range(BATCH_DECODE):
            self.step([(200 + i + s, 32 + i, s, True) for s in range(STREAMS)])
        return STREAMS * BATCH_DECODE / (time.perf_counter() - started)

    def measure(self):
        figures = {"prefill": self.prompt(PREFILL)}
        self.prompt(32)
        figures["decode"] = self.decode(32)
        figures["batch_decode"] = self.decode_streams()
        return figures


class Sampan:
    def __init__(self, program, threads, chip):
        self.program, self.threads, self.chip = program, threads, chip

    def call(self, *arguments):
        command = [self.program, *arguments] + (["--chip", self.chip] if self.chip else [])
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"versus: {' '.join(command)} failed: {done.stderr.strip()}")
        return done.stdout

    def bench(self, model, *arguments):
        return json.loads(self.call("bench", model, "--json", "--runs", "1", "--threads", str(self.threads), *arguments))

    def start(self, model, prompt):
        started = time.perf_counter()
        self.call("run", model, "--raw", "--prompt", prompt, "--max-tokens", "1", "--threads", str(self.threads))
        return time.perf_counter() - started

    def machine(self):
        """Peaks in operations/s and bandwidth in bytes/s, of the moment."""
        rows = json.loads(subprocess.run([self.program, "doctor", "--json"], capture_output=True, text=True, check=False).stdout)["rows"]
        return {row["name"]: row["number"] for row in rows if row["section"] == "chip cpu" and "number" in row}


def median(rows, name):
    return statistics.median(row[name] for row in rows)


def compare_model(sampan, model, options):
    """Rows of the table: name, ours, theirs, limit."""
    peer = Peer(model, options.threads)
    ours, theirs, found = [], [], None
    for _ in range(options.rounds):
        theirs.append(peer.measure())
        found = sampan.bench(model)
        ours.append({name: found[name]["tokens_per_second"] for name in ("prefill", "decode", "batch_decode")} | {"bandwidth": found["bandwidth_bytes_per_second"]})
    version = peer.version
    peer.close()
    limit = median(ours, "bandwidth") / found["bytes_per_token"]
    rows = [("prompt of 512", "prefill", found["operations_per_token"]), ("one stream", "decode", None), ("16 streams", "batch_decode", None)]
    table = [{"measured": label, "sampan": median(ours, name), "peer": median(theirs, name), "operations": operations,
              "limit": limit if name == "decode" else None} for label, name, operations in rows]
    return table, found, median(ours, "bandwidth"), version


def compare_long(sampan, model, options):
    n = options.long
    peer = Peer(model, options.threads, n + DECODE + 8, 1)
    ours, theirs = [], []
    for _ in range(max(1, options.rounds // 2)):
        theirs.append({"prefill": peer.prompt(n), "decode": peer.decode(n)})
        size = ("--prompt-tokens", str(n), "--context", str(n + 256))
        found = {name: sampan.bench(model, "--measure", name, *size) for name in ("prefill", "decode")}
        bandwidth = found["decode"]["bandwidth_bytes_per_second"] / found["decode"]["bytes_per_token"]
        ours.append({name: found[name][name]["tokens_per_second"] for name in found} | {"limit": bandwidth})
    peer.close()
    return [{"measured": f"prompt of {n}", "sampan": median(ours, "prefill"), "peer": median(theirs, "prefill"), "limit": None},
            {"measured": f"one stream behind {n}", "sampan": median(ours, "decode"), "peer": median(theirs, "decode"), "limit": median(ours, "limit")}]


def compare_start(sampan, model, options):
    """Seconds to the first token; the peer in a process of its own."""
    text = "one two three four " * (START_PROMPT // 4)
    script = ("import sys; sys.path.insert(0, sys.argv[1]); import time, versus; import llama_cpp; t = time.perf_counter(); "
              "p = versus.Peer(sys.argv[2], int(sys.argv[3]), 2048, 1); p.prompt(versus.START_PROMPT); print(time.perf_counter() - t)")
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(sampan.start(model, text))
        theirs.append(float(subprocess.run([sys.executable, "-B", "-c", script, os.path.dirname(os.path.abspath(__file__)), model, str(options.threads)],
                                           capture_output=True, text=True, check=True).stdout))
    return {"measured": "seconds to the first token", "sampan": statistics.median(ours), "peer": statistics.median(theirs), "limit": None}


def print_row(name, row, operations_limit):
    limit = row["limit"] or operations_limit
    share = f"{limit:8.0f} {100 * row['sampan'] / limit:4.0f}%" if limit else ""
    seconds = row["measured"].startswith("seconds")
    figures = f"{row['sampan']:9.3f} {row['peer']:9.3f} {row['peer'] / row['sampan']:6.2f}" if seconds else f"{row['sampan']:9.1f} {row['peer']:9.1f} {row['sampan'] / row['peer']:6.2f}"
    print(f"{name:34} {row['measured']:26} {figures}  {share}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sampan")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long", type=int, default=0, help="also a prompt of so many tokens, with the first model")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--chip", default="")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sampan = Sampan(options.sampan, options.threads, options.chip)
    machine = sampan.machine()
    report = {"cpu": cpu_model(), "threads": options.threads, "rounds": options.rounds, "machine": machine, "models": []}
    if not options.json:
        print(f"{report['cpu']}, {options.threads} threads, median of {options.rounds} rounds; peaks and bandwidth: {machine}")
        print(f"{'model':34} {'':26} {'sampan':>9} {'peer':>9} {'ratio':>6}  {'limit':>8} reached")
    for i, model in enumerate(options.models):
        table, found, bandwidth, version = compare_model(sampan, model, options)
        if i == 0 and options.long:
            table += compare_long(sampan, model, options)
        if i == 0:
            table.append(compare_start(sampan, model, options))
        peak = next((machine[name] for name in machine if ("bf16" if "weights=bf16" in found["system_fingerprint"] else "int8") in name), None)
        report["models"].append({"model": os.path.basename(model), "peer": f"llama-cpp-python {version}", "system_fingerprint": found["system_fingerprint"],
                                 "bandwidth_GB_per_s": round(bandwidth / 1e9, 1), "bytes_per_token": found["bytes_per_token"], "rows": table})
        for row in table:
            operations = row.pop("operations", None)
            if not options.json:
                print_row(os.path.basename(model), row, peak / operations if peak and operations else None)
        if not options.json:
            print(f"{'':34} {found['system_fingerprint']}; memory gave {bandwidth / 1e9:.1f} GB/s; peer llama-cpp-python {version}", flush=True)
    if options.json:
        print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
