#!/usr/bin/env python3
"""sampan beside llama.cpp, interleaved in one run: prefill, decode of one stream, decode of 16 streams; median of several rounds and the ratio.

Machines are shared and drift, so only ratios of the same run mean something; the measured memory bandwidth stands beside them. The peer comes from PyPI:

    python3 -m venv peer && peer/bin/pip install llama-cpp-python
    peer/bin/python bench/versus.py build/release/sampan models/SmolLM2-135M-Instruct.Q4_1.gguf [--rounds 5] [--threads 2] [--json]

Both read the same file with as many threads, prompt of 512 tokens, contexts of the same size; the peer runs with its defaults (8-bit activations)."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PREFILL, DECODE, STREAMS, BATCH_DECODE = 512, 64, 16, 32


def cpu_model():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


class Peer:
    """llama.cpp through its C interface, so that Python costs nothing per token of a batch."""

    def __init__(self, model, threads):
        import llama_cpp
        self.api = llama_cpp
        self.version = llama_cpp.__version__
        self.silent = llama_cpp.llama_log_callback(lambda level, text, user: None)
        llama_cpp.llama_log_set(self.silent, None)
        llama_cpp.llama_backend_init()
        parameters = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(model.encode(), parameters)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = STREAMS * 1024
        context.n_batch = context.n_ubatch = PREFILL
        context.n_seq_max = STREAMS
        context.n_threads = context.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, context)
        self.batch = llama_cpp.llama_batch_init(PREFILL, 0, 1)

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

    def measure(self):
        self.clear()
        prompt = [(100 + 37 * i % 40000, i, 0, i == PREFILL - 1) for i in range(PREFILL)]
        started = time.perf_counter()
        self.step(prompt)
        prefill = PREFILL / (time.perf_counter() - started)
        self.clear()
        self.step([(100 + i, i, 0, i == 31) for i in range(32)])
        started = time.perf_counter()
        for i in range(DECODE):
            self.step([(200 + i, 32 + i, 0, True)])
        decode = DECODE / (time.perf_counter() - started)
        self.clear()
        for s in range(STREAMS):
            self.step([(100 + i + s, i, s, i == 31) for i in range(32)])
        started = time.perf_counter()
        for i in range(BATCH_DECODE):
            self.step([(200 + i + s, 32 + i, s, True) for s in range(STREAMS)])
        batch = STREAMS * BATCH_DECODE / (time.perf_counter() - started)
        return {"prefill": prefill, "decode": decode, "batch_decode": batch}


def measure_sampan(sampan, model, threads, chip):
    command = [sampan, "bench", model, "--json", "--runs", "1", "--threads", str(threads)] + (["--chip", chip] if chip else [])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"versus: {' '.join(command)} failed: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    figures = {name: found[name]["tokens_per_second"] for name in ("prefill", "decode", "batch_decode")}
    return figures, found["bandwidth_bytes_per_second"], found["bytes_per_token"], found["system_fingerprint"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sampan")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--chip", default="")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    peer = Peer(options.model, options.threads)
    ours, theirs, bandwidths = [], [], []
    for _ in range(options.rounds):
        theirs.append(peer.measure())
        figures, bandwidth, bytes_per_token, fingerprint = measure_sampan(options.sampan, options.model, options.threads, options.chip)
        ours.append(figures)
        bandwidths.append(bandwidth)
    bandwidth = statistics.median(bandwidths)
    rows = {}
    for name in ("prefill", "decode", "batch_decode"):
        mine, other = statistics.median(f[name] for f in ours), statistics.median(f[name] for f in theirs)
        rows[name] = {"sampan": round(mine, 1), "peer": round(other, 1), "ratio": round(mine / other, 2)}
    limit = bandwidth / bytes_per_token
    report = {"cpu": cpu_model(), "threads": options.threads, "rounds": options.rounds, "model": os.path.basename(options.model), "peer": f"llama-cpp-python {peer.version}",
              "system_fingerprint": fingerprint, "bandwidth_GB_per_s": round(bandwidth / 1e9, 1), "bytes_per_token": bytes_per_token,
              "decode_limit": round(limit, 1), "decode_share_of_limit": round(rows["decode"]["sampan"] / limit, 2), "tokens_per_second": rows}
    if options.json:
        print(json.dumps(report))
        return 0
    print(f"{report['cpu']}, {options.threads} threads, {report['model']}, median of {options.rounds} rounds; sampan {fingerprint}; peer {report['peer']}")
    for name, row in rows.items():
        print(f"{name:14} sampan {row['sampan']:8.1f} tok/s   peer {row['peer']:8.1f} tok/s   ratio {row['ratio']:.2f}")
    print(f"memory gives {report['bandwidth_GB_per_s']} GB/s: at most {report['decode_limit']} tok/s of one stream; {100 * report['decode_share_of_limit']:.0f}% reached")
    return 0


if __name__ == "__main__":
    sys.exit(main())
