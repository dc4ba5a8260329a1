#!/usr/bin/env python3
"""Writes data/attention.bin: results of FusedInferAttentionScore in its layouts, caches and masks, from the documented formula in fp64. The inputs are
patterns that the test makes itself. Usage: make_attention_goldens.py (needs numpy)."""
import numpy as np

from golden_writer import pattern, put, rounded, save


def softmax_rows(scores):
    top = scores.max(-1, keepdims=True)
    e = np.exp(scores - top)
    return e / e.sum(-1, keepdims=True), (top + np.log(e.sum(-1, keepdims=True)))


def attend(q, k, v, hidden, scale, bias=None):
    """q (heads, S, D), k and v (kv heads, T, ...), hidden (S, T). Returns the result and log-sum-exp."""
    group = q.shape[0] // k.shape[0]
    k, v = np.repeat(k, group, 0).astype(np.float64), np.repeat(v, group, 0).astype(np.float64)
    scores = q.astype(np.float64) @ k.transpose(0, 2, 1) * scale + (0 if bias is None else bias)
    probabilities, lse = softmax_rows(np.where(hidden, -np.inf, scores))
    return probabilities @ v, lse


def causal(s, t):
    return np.arange(t)[None] > np.arange(s)[:, None] + t - s


NOTHING = np.zeros((1, 1), bool)


def paged_prefill():
    """BSND queries, cache (blocks, 128, N*D), right-down causal; queries 8 and 5 of 8, keys 100 and 140."""
    q, k, v = pattern((2, 8, 4, 64), "f16", 1), pattern((5, 128, 128), "f16", 2, 2), pattern((5, 128, 128), "f16", 3)
    table, queries, keys = [[4, 0], [1, 3]], [8, 5], [100, 140]
    for b in range(2):
        flat = lambda cache: cache[table[b]].reshape(-1, 2, 64)[:keys[b]].transpose(1, 0, 2)
        out, _ = attend(q[b, :queries[b]].transpose(1, 0, 2), flat(k), flat(v), causal(queries[b], keys[b]), 0.125)
        put(f"prefill.out{b}", out.transpose(1, 0, 2), "f16")


def paged_decode():
    """BNSD, one query each; the true lengths (37, 50) only in a mask (B, KV_S); cache (blocks, N, 16, D)."""
    q, k, v = pattern((2, 6, 1, 64), "bf16", 4), pattern((9, 2, 16, 64), "bf16", 5, 2), pattern((9, 2, 16, 64), "bf16", 6)
    table, out = [[8, 1, 5, 0], [2, 7, 3, 6]], []
    for b, length in enumerate((37, 50)):
        flat = lambda cache: cache[table[b]].transpose(1, 0, 2, 3).reshape(2, 64, 64)
        out.append(attend(q[b], flat(k), flat(v), np.arange(64)[None] >= length, 0.125)[0])
    put("decode.out", np.stack(out), "bf16")


def nz_decode():
    """BSND, one query each, the cache in NZ (blocks, N, D/16, 16, 16)."""
    q, k, v = pattern((2, 1, 4, 64), "f16", 7), pattern((4, 2, 4, 16, 16), "f16", 8, 2), pattern((4, 2, 4, 16, 16), "f16", 9)
    table, out = [[3, 1], [0, 2]], []
    for b, length in enumerate((20, 32)):
        flat = lambda cache: cache[table[b]].transpose(1, 0, 3, 2, 4).reshape(2, 32, 64)[:, :length]
        out.append(attend(q[b].transpose(1, 0, 2), flat(k), flat(v), NOTHING, 0.125)[0].transpose(1, 0, 2))
    put("nz.out", np.stack(out), "f16")


def latent():
    """Heads of 512 + 64 over one latent KV head, BSND, block 16."""
    q, qr = pattern((2, 1, 4, 512), "bf16", 10), pattern((2, 1, 4, 64), "bf16", 11)
    kv, kr = pattern((3, 16, 512), "bf16", 12), pattern((3, 16, 64), "bf16", 13)
    table, out = [[2, 0], [1, 0]], []
    for b, length in enumerate((20, 9)):
        k = np.concatenate([kv[table[b]].reshape(1, 32, 512), kr[table[b]].reshape(1, 32, 64)], -1)[:, :length]
        full = np.concatenate([q[b], qr[b]], -1).transpose(1, 0, 2)
        out.append(attend(full, k, kv[table[b]].reshape(1, 32, 512)[:, :length], NOTHING, 0.07)[0].transpose(1, 0, 2))
    put("latent.out", np.stack(out), "bf16")


def biased():
    """BNSD in, BSND out, pseShift, a full mask whose second row hides everything: the mean of the values, or zeros when corrected."""
    q, k, v = pattern((1, 2, 3, 32), "f16", 14), pattern((1, 2, 20, 32), "f16", 15), pattern((1, 2, 20, 32), "f16", 16)
    bias = pattern((1, 2, 3, 20), "f16", 17, 4)
    hidden = np.arange(20)[None] % 3 == np.arange(3)[:, None]
    out, lse = attend(q[0], k[0], v[0], hidden, 0.2, bias[0].astype(np.float64))
    put("biased.lse", lse[None], "f32")
    out[:, 1] = v[0].astype(np.float64).mean(1)
    put("biased.out", out.transpose(1, 0, 2)[None], "f16")
    out[:, 1] = 0
    put("biased.corrected", out.transpose(1, 0, 2)[None], "f16")


def listed():
    """BSND, one query each, keys in a list of tensors of different lengths."""
    q, out = pattern((2, 1, 2, 32), "f16", 18), []
    for b, length in enumerate((11, 7)):
        k, v = pattern((1, length, 1, 32), "f16", 19 + 2 * b), pattern((1, length, 1, 32), "f16", 20 + 2 * b)
        out.append(attend(q[b].transpose(1, 0, 2), k[0].transpose(1, 0, 2), v[0].transpose(1, 0, 2), NOTHING, 0.2)[0].transpose(1, 0, 2))
    put("listed.out", np.stack(out), "f16")


def band():
    """TND, not paged, band of 4 before and 1 after the diagonal; with log-sum-exp; the result also as NTD."""
    q, k, v = pattern((9, 4, 128), "bf16", 23), pattern((30, 2, 128), "bf16", 24), pattern((30, 2, 128), "bf16", 25)
    out, lse = np.zeros((9, 4, 128)), np.zeros((9, 4, 1))
    for first, last, first_key, last_key in ((0, 4, 0, 10), (4, 9, 10, 30)):
        s, t = last - first, last_key - first_key
        ahead = np.arange(t)[None] - np.arange(s)[:, None] - (t - s)
        part, log = attend(q[first:last].transpose(1, 0, 2), k[first_key:last_key].transpose(1, 0, 2), v[first_key:last_key].transpose(1, 0, 2),
                           (ahead > 1) | (ahead < -4), 0.09)
        out[first:last], lse[first:last] = part.transpose(1, 0, 2), log.transpose(1, 0, 2)
    put("band.out", out, "bf16"), put("band.lse", lse, "f32"), put("band.ntd", out.transpose(1, 0, 2), "bf16")


def quantised():
    """int8 cache (blocks, N, 32, D), one query each, lengths 40 and 64: scales by channel with offsets, by token, and by token and head of a block."""
    q = pattern((2, 1, 4, 64), "f16", 31)
    k, v = pattern((5, 2, 32, 64), "i8", 32, 127), pattern((5, 2, 32, 64), "i8", 33, 127)
    table, lengths = [[4, 1], [0, 3]], [40, 64]
    flat = lambda cache, b: np.asarray(cache)[table[b]].transpose(1, 0, 2, 3).reshape(2, 64, -1)
    def run(name, key, value):
        out = []
        for b in range(2):
            out.append(attend(q[b].transpose(1, 0, 2), rounded(key(b), "f16")[:, :lengths[b]], rounded(value(b), "f16")[:, :lengths[b]], NOTHING, 0.125)[0])
        put(f"quant.{name}", np.stack(out), "f16")
    scale, offset = np.abs(pattern((2, 64), "f16", 34, 0.02)), np.rint(pattern((2, 64), "f16", 35, 9))
    put("quant.scale", scale.reshape(1, 2, 1, 64), "f16"), put("quant.offset", offset.reshape(1, 2, 1, 64), "f16")
    channel = lambda cache: lambda b: np.float32(flat(cache, b) + offset[:, None]) * scale[:, None]
    run("channel", channel(k), channel(v))
    tokens = np.abs(pattern((1, 2, 64), "f32", 36, 0.02))
    put("quant.tokens", tokens, "f32")
    run("token", lambda b: np.float32(flat(k, b)) * tokens[0, b][None, :, None], lambda b: np.float32(flat(v, b)) * tokens[0, b][None, :, None])
    blocks = np.abs(pattern((5, 2, 32), "f32", 37, 0.02))
    put("quant.blocks", blocks, "f32")
    by_block = lambda cache: lambda b: np.float32(flat(cache, b)) * flat(blocks[..., None], b)
    run("block", by_block(k), by_block(v))


for case in (quantised, paged_prefill, paged_decode, nz_decode, latent, biased, listed, band):
    case()
save("attention.bin")
