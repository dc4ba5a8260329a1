#!/usr/bin/env python3
"""Makes data/sampler.txt: what the sampler must choose, by the logits processors of the `transformers` package (the oracle of what temperature, top-k, top-p, min-p and the
repetition penalty keep) and by Philox4x32-10 and an inverse CDF written here once more.

Usage: make_sampler_goldens.py > data/sampler.txt       (needs torch, transformers, numpy; made with transformers 5.23.0 and torch 2.15.0)

Each line: vocabulary, logit seed, temperature, top_k, top_p, min_p, repetition, presence, frequency, sampling seed, choice, n_prompt, n_tokens, the tokens, then the token to be
chosen at that position. Draws that fall within 1e-5 of a boundary are left out: transformers computes in fp32, we in double."""
import random

import numpy as np
import torch
from transformers import (MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)

MASK = 0xFFFFFFFF


def logits_of(n, seed):
    i = np.arange(n, dtype=np.uint64)
    h = (i * 2654435761 + seed * 2246822519) & MASK
    h ^= h >> 15
    h = (h * 2246822519) & MASK
    h ^= h >> 13
    h = (h * 3266489917) & MASK
    h ^= h >> 16
    t = h.astype(np.float64) / 2147483648.0 - 1.0
    return (12.0 * t * t * t).astype(np.float32)


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def uniform(seed, choice, position):
    r = philox([position, choice, 0, 0], [seed & MASK, seed >> 32])
    return ((r[1] << 32 | r[0]) >> 11) * 2.0**-53


def choose(case, tokens, n_prompt):
    scores = torch.from_numpy(logits_of(case["n"], case["logit_seed"]))[None]
    ids = torch.tensor([tokens], dtype=torch.int64)
    if case["repetition"]:
        scores = RepetitionPenaltyLogitsProcessor(case["repetition"])(ids, scores)
    scores = scores.clone()
    for token in set(tokens[n_prompt:]):  # the definition of OpenAI's API
        scores[0, token] -= case["presence"] + case["frequency"] * tokens[n_prompt:].count(token)
    if case["temperature"] == 0:
        return int(torch.argmax(scores[0]))
    scores = TemperatureLogitsWarper(case["temperature"])(ids, scores)
    if case["top_k"]:
        scores = TopKLogitsWarper(case["top_k"])(ids, scores)
    if case["top_p"]:
        scores = TopPLogitsWarper(case["top_p"])(ids, scores)
    if case["min_p"]:
        scores = MinPLogitsWarper(case["min_p"])(ids, scores)
    row = scores[0].double().numpy()
    order = [i for i in np.argsort(-row, kind="stable") if row[i] > -np.inf]
    weights = np.exp(row[order] - row[order[0]])
    cumulative = np.cumsum(weights) / weights.sum()
    u = uniform(case["seed"], case["choice"], len(tokens))
    if np.min(np.abs(cumulative[:-1] - u), initial=1.0) < 1e-5 and len(order) < 5000:
        return None
    if len(order) >= 5000 and np.min(np.abs(cumulative[:-1] - u)) < 1e-8:
        return None
    return int(order[int(np.searchsorted(cumulative, u, side="right"))])


def main():
    chance = random.Random(20260101)
    for number in range(60):
        case = {"n": chance.choice([50, 300, 2000, 20000]), "logit_seed": number + 1, "temperature": chance.choice([0.3, 0.7, 1.0, 1.0, 1.7]) if number % 6 else 0.0,
                "top_k": chance.choice([0, 0, 1, 5, 40, 1500]), "top_p": chance.choice([0, 0, 0.1, 0.5, 0.9, 0.95, 0.999]), "min_p": chance.choice([0, 0, 0.02, 0.1, 0.5]),
                "repetition": chance.choice([0, 0, 1.2, 0.8]), "presence": chance.choice([0, 0, 0.9]), "frequency": chance.choice([0, 0, 0.4, -0.5]),
                "seed": chance.getrandbits(64), "choice": chance.randrange(3)}
        for _ in range(25 if case["temperature"] else 3):
            n_tokens = chance.randrange(1, 30)
            n_prompt = chance.randrange(1, n_tokens + 1)
            best = np.argsort(-logits_of(case["n"], case["logit_seed"]))[:8]
            tokens = [int(chance.choice(best)) if chance.random() < 0.7 else chance.randrange(case["n"]) for _ in range(n_tokens)]
            token = choose(case, tokens, n_prompt)
            if token is None:
                continue
            print(case["n"], case["logit_seed"], repr(case["temperature"]), case["top_k"], repr(case["top_p"]), repr(case["min_p"]), repr(case["repetition"]), repr(case["presence"]),
                  repr(case["frequency"]), case["seed"], case["choice"], n_prompt, n_tokens, *tokens, token)


main()
