#!/usr/bin/env python3
"""Measures a peer, llama-cpp-python, as `sampan score` is measured: prints the JSON that compare.py reads. Not run by ./test.

    peer.py MODEL.gguf IDS.json [--top K] [--generate N] [--threads N] > SCORE.json

Needs llama-cpp-python and numpy. Its KV cache is f16 and its activations are quantised to 8 bits per block of 32, as they are by default."""
import argparse
import json

import llama_cpp
import numpy


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("ids")
    parser.add_argument("--top", type=int, default=256)
    parser.add_argument("--generate", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with open(arguments.ids, encoding="utf-8") as file:
        ids = json.load(file)
    llama = llama_cpp.Llama(arguments.model, n_ctx=len(ids) + arguments.generate + 8, logits_all=True, n_threads=arguments.threads, n_threads_batch=arguments.threads,
                            verbose=False)
    llama.eval(ids)
    positions = []
    for row in numpy.array(llama.scores[:len(ids)], dtype=numpy.float64):
        values = row - row.max()
        values -= numpy.log(numpy.exp(values).sum())
        best = numpy.argsort(-values, kind="stable")[:arguments.top]
        positions.append({"logprobs": [[int(i), float(values[i])] for i in best]})
    generated = []
    for _ in range(arguments.generate):
        generated.append(int(numpy.argmax(llama.scores[len(ids) + len(generated) - 1])))
        llama.eval(generated[-1:])
    print(json.dumps({"tokens": ids, "positions": positions, "generated": generated}))


if __name__ == "__main__":
    main()
