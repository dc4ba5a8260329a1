#!/usr/bin/env python3
"""Makes data/sampler.txt: what the sampler must choose, by the logits processors of the `transformers` package (the oracle of what temperature, top-k, top-p, min-p, typical-p, the
repetition penalty, biases and banned sequences keep) and by Philox4x32-10 and an inverse CDF written here once more.

Usage: make_sampler_goldens.py > data/sampler.txt       (needs torch, transformers, numpy; made with transformers 5.23.0 and torch 2.15.0)

Each line: vocabulary, logit seed, temperature, top_k, top_p, min_p, typical_p, repetition, presence, frequency, penalty window, sampling seed, choice, n_prompt, n_tokens, the
tokens, number of biases, each as id and bias, number of banned sequences, each as its length and ids, then the token to be chosen at that position. Draws that fall within 1e-5 of a boundary are left out: transformers computes in fp32, we in double."""
import random

import numpy as np
import torch
from transformers import (MinPLogitsWarper, NoBadWordsLogitsProcessor, RepetitionPenaltyLogitsProcessor, SequenceBiasLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper,
                          TopPLogitsWarper, TypicalLogitsWarper)

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
    window = tokens[-case["window"]:] if case["window"] else tokens
    output = window[max(0, len(window) - (len(tokens) - n_prompt)):]
    if case["biases"]:
        scores = SequenceBiasLogitsProcessor([[[token], bias] for token, bias in case["biases"]])(ids, scores)
    if case["banned"]:
        scores = NoBadWordsLogitsProcessor(case["banned"])(ids, scores)
    if case["repetition"]:
        scores = RepetitionPenaltyLogitsProcessor(case["repetition"])(torch.tensor([window], dtype=torch.int64), scores)
    scores = scores.clone()
    for token in set(output):  # the definition of OpenAI's API
        scores[0, token] -= case["presence"] + case["frequency"] * output.count(token)
    if case["temperature"] == 0:
        return int(torch.argmax(scores[0]))
    scores = TemperatureLogitsWarper(case["temperature"])(ids, scores)
    if case["top_k"]:
        scores = TopKLogitsWarper(case["top_k"])(ids, scores)
    if case["top_p"]:
        scores = TopPLogitsWarper(case["top_p"])(ids, scores)
    if case["min_p"]:
        scores = MinPLogitsWarper(case["min_p"])(ids, scores)
    if case["typical_p"]:
        exact = torch.log_softmax(scores[0].double(), 0).numpy()
        mass = np.exp(exact)
        entropy = -np.sum(np.where(mass > 0, mass * np.where(mass > 0, exact, 0), 0))
        shares = np.cumsum(mass[np.argsort(np.abs(-exact - entropy), kind="stable")])
        if np.min(np.abs(shares - case["typical_p"])) < 1e-5 * (1 if case["n"] < 5000 else 1e-2):
            return None
        scores = TypicalLogitsWarper(case["typical_p"])(ids, scores)
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


def random_biases(chance, case, best):
    ids = chance.sample([int(i) for i in best], 3) + [chance.randrange(case["n"])]
    return [(token, chance.choice([-100.0, -2.5, 1.5, 6.0, float("-inf")])) for token in dict.fromkeys(ids)]


def random_banned(chance, case, best, tokens):
    last = int(chance.choice(best))
    return [[last], tokens[-2:] + [int(chance.choice(best))], [chance.randrange(case["n"]), last]] if len(tokens) > 2 else [[last]]


def print_case(case, tokens, n_prompt, token):
    biases = [x for pair in case["biases"] for x in pair]
    banned = [x for sequence in case["banned"] for x in [len(sequence), *sequence]]
    print(case["n"], case["logit_seed"], repr(case["temperature"]), case["top_k"], repr(case["top_p"]), repr(case["min_p"]), repr(case["typical_p"]), repr(case["repetition"]),
          repr(case["presence"]), repr(case["frequency"]), case["window"], case["seed"], case["choice"], n_prompt, len(tokens), *tokens, len(case["biases"]), *biases,
          len(case["banned"]), *banned, token)


def main():
    chance = random.Random(20260101)
    for number in range(120):
        more = number >= 60  # the first half: without what came later
        case = {"n": chance.choice([50, 300, 2000, 20000]), "logit_seed": number + 1, "temperature": chance.choice([0.3, 0.7, 1.0, 1.0, 1.7]) if number % 6 else 0.0,
                "top_k": chance.choice([0, 0, 1, 5, 40, 1500]), "top_p": chance.choice([0, 0, 0.1, 0.5, 0.9, 0.95, 0.999]), "min_p": chance.choice([0, 0, 0.02, 0.1, 0.5]),
                "repetition": chance.choice([0, 0, 1.2, 0.8]), "presence": chance.choice([0, 0, 0.9]), "frequency": chance.choice([0, 0, 0.4, -0.5]),
                "seed": chance.getrandbits(64), "choice": chance.randrange(3)}
        case["typical_p"] = chance.choice([0, 0.2, 0.5, 0.9, 0.95]) if more else 0
        case["window"] = chance.choice([0, 0, 5]) if more else 0
        if more and number % 3:
            case["top_p"] = case["min_p"] = 0
        best = np.argsort(-logits_of(case["n"], case["logit_seed"]))[:8]
        for _ in range(25 if case["temperature"] else 3):
            n_tokens = chance.randrange(1, 30)
            n_prompt = chance.randrange(1, n_tokens + 1)
            tokens = [int(chance.choice(best)) if chance.random() < 0.7 else chance.randrange(case["n"]) for _ in range(n_tokens)]
            case["biases"] = random_biases(chance, case, best) if more and chance.random() < 0.5 else []
            case["banned"] = random_banned(chance, case, best, tokens) if more and chance.random() < 0.5 else []
            token = choose(case, tokens, n_prompt)
            if token is not None:
                print_case(case, tokens, n_prompt, token)


main()
