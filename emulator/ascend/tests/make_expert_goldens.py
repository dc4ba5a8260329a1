#!/usr/bin/env python3
"""Writes data/experts.bin: gating, routing, grouped products, joining, fused norm and quantisation, top-k top-p. Results in fp64 (fp32 where the quantisers
round) from the documented formulae; inputs are patterns that the test makes itself. Usage: make_expert_goldens.py (needs numpy)."""
import numpy as np

from golden_writer import pack_int4, pattern, put, rounded, save, to_nz

F = np.float32


def gating(kind):
    x, bias = pattern((5, 64), kind, 1, 3).astype(float), pattern((64,), kind, 2, 0.2).astype(float)
    for name, sigmoid, mode in (("soft", False, 0), ("sig", True, 1)):
        p = 1 / (1 + np.exp(-x)) if sigmoid else np.exp(x - x.max(-1, keepdims=True))
        p = p if sigmoid else p / p.sum(-1, keepdims=True)
        choice = p + bias
        groups = choice.reshape(5, 8, 8)
        score = groups.max(-1) if mode == 0 else np.sort(groups, -1)[..., -2:].sum(-1)
        best = np.argsort(-score, -1, kind="stable")[:, :3]
        allowed = np.zeros((5, 8), bool)
        np.put_along_axis(allowed, best, True, -1)
        choice = np.where(np.repeat(allowed, 8, -1), choice, -np.inf)
        ids = np.argsort(-choice, -1, kind="stable")[:, :6]
        y = np.take_along_axis(p, ids, -1)
        y = y / (y.sum(-1, keepdims=True) + 1e-20) if sigmoid else y
        put(f"gate_{kind}.{name}", y * 2.5, kind), put(f"gate_{kind}.{name}ids", ids, "i32"), put(f"gate_{kind}.{name}all", p, "f32")
    p = np.exp(x - x.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    ids = np.argsort(-p, -1, kind="stable")[:, :4]
    y = np.take_along_axis(p, ids, -1)
    put(f"gate_{kind}.top", y, kind), put(f"gate_{kind}.topids", ids, "i32"), put(f"gate_{kind}.renormed", y / y.sum(-1, keepdims=True), kind)
    finished = ids.copy()
    finished[2] = 64
    put(f"gate_{kind}.finished", finished, "i32"), put(f"gate_{kind}.toprows", np.arange(4)[None] * 5 + np.arange(5)[:, None], "i32")


def routing(kind):
    rows, k, width, experts = 6, 2, 16, 4
    x = pattern((rows, width), kind, 11)
    ids = np.array([[3, 0], [1, 3], [0, 1], [3, 1], [0, 3], [3, 2]])
    flat = ids.reshape(-1)
    order = np.argsort(flat, kind="stable")
    where = np.empty(rows * k, np.int64)
    where[order] = np.arange(rows * k)
    counts = np.bincount(flat, minlength=experts)
    put(f"route_{kind}.ids", ids, "i32"), put(f"route_{kind}.x", x[order // k], kind), put(f"route_{kind}.where", where, "i32")
    put(f"route_{kind}.counts", counts, "i32"), put(f"route_{kind}.sums", np.cumsum(counts), "i32"), put(f"route_{kind}.counts64", counts, "i64")
    capacity, padded, places, seen = 3, np.zeros((experts, 3, width)), np.empty(rows * k, np.int64), [0] * experts
    for at in range(rows * k):
        e = flat[at]
        places[at] = e * capacity + seen[e] if seen[e] < capacity else -1
        if seen[e] < capacity:
            padded[e, seen[e]] = x[at // k]
        seen[e] += 1
    put(f"route_{kind}.padded", padded, kind), put(f"route_{kind}.places", places, "i32")
    # experts 1 and 2 are local; smooth scales for each; dynamic int8
    local = [at for at in order if flat[at] in (1, 2)]
    smooth = np.abs(pattern((2, width), "f32", 12)) + F(0.5)
    scaled = F(x[[at // k for at in local]]) * smooth[[flat[at] - 1 for at in local]]
    top = np.abs(scaled).max(-1, keepdims=True)
    place = np.full(rows * k, -1)
    place[local] = np.arange(len(local))
    put(f"route_{kind}.smooth", smooth, "f32"), put(f"route_{kind}.q", np.rint(scaled * (F(127) / top)), "i8"), put(f"route_{kind}.qscale", top[:, 0] / F(127), "f32")
    put(f"route_{kind}.place", place, "i32"), put(f"route_{kind}.pairs", np.stack([[1, 2], counts[1:3]], -1), "i64")
    put(f"route_{kind}.static", np.clip(np.rint(F(x[order // k]) * F(20) + F(3)), -128, 127), "i8")
    # joining: rows as they came from the experts, scales, bias, two residuals
    y, scales, bias = pattern((rows * k, width), kind, 13), pattern((rows, k), kind, 14), pattern((experts, width), kind, 15)
    x1, x2 = pattern((rows, width), kind, 16), pattern((rows, width), kind, 17)
    out = x1.astype(float) + x2
    plain = np.zeros((rows, width))
    for t in range(rows):
        for j in range(k):
            out[t] += scales[t, j].astype(float) * (y[where[t * k + j]].astype(float) + bias[ids[t, j]])
            plain[t] += scales[t, j].astype(float) * y[where[t * k + j]]
    put(f"route_{kind}.joined", out, kind), put(f"route_{kind}.unpermuted", plain, kind)
    dropped = x1.astype(float).copy()
    for t in range(rows):
        for j in range(k):
            if places[t * k + j] >= 0:
                dropped[t] += scales[t, j].astype(float) * padded.reshape(-1, width)[places[t * k + j]]
    put(f"route_{kind}.dropped", dropped, kind)


def grouped():
    counts = [3, 0, 4, 2]
    rows = np.cumsum([0] + counts)
    for kind, bias_kind in (("f16", "f16"), ("bf16", "f32"), ("f32", "f32")):
        x, w, bias = pattern((10, 48), kind, 21), pattern((4, 48, 32), kind, 22), pattern((4, 32), bias_kind, 23)
        out = np.full((10, 32), 7.0)  # the last row belongs to nobody and stays
        for e in range(4):
            out[rows[e]:rows[e + 1]] = x[rows[e]:rows[e + 1]].astype(float) @ w[e] + bias[e]
        put(f"gmm_{kind}.out", out, kind)
        c0 = 8 if kind == "f32" else 16
        put(f"gmm_{kind}.nz", np.stack([to_nz(one, c0) for one in w]), kind)
        silu = out / (1 + np.exp(-out))
        silu[9] = 7
        put(f"gmm_{kind}.silu", silu, kind)
        if kind == "f32":
            continue
        w8, scale, offset = pattern((4, 48, 32), "i8", 24, 127), np.abs(pattern((4, 32), kind, 25, 0.01)), np.rint(pattern((4, 32), kind, 26, 9))
        w4, parts = pattern((4, 48, 32), "i8", 27, 8), np.abs(pattern((4, 3, 32), kind, 28, 0.1))
        wide, four = np.full((10, 32), 7.0), np.full((10, 32), 7.0)
        for e in range(4):
            own = x[rows[e]:rows[e + 1]].astype(float)
            wide[rows[e]:rows[e + 1]] = own @ rounded(F(w8[e] + offset[e]) * scale[e], kind)
            four[rows[e]:rows[e + 1]] = own @ rounded(F(w4[e]) * np.repeat(parts[e], 16, 0), kind)
        put(f"gmm_{kind}.scale", scale, kind), put(f"gmm_{kind}.offset", offset, kind), put(f"gmm_{kind}.wide", wide, kind)
        put(f"gmm_{kind}.w4", pack_int4(w4), "u8"), put(f"gmm_{kind}.parts", parts, kind), put(f"gmm_{kind}.four", four, kind)
    x, w, bias = pattern((10, 48), "i8", 31, 127), pattern((4, 48, 32), "i8", 32, 127), pattern((4, 32), "i32", 33, 5000)
    scale, token = np.abs(pattern((4, 32), "f32", 34, 0.001)) + F(0.0001), np.abs(pattern((10,), "f32", 35)) + F(0.1)
    scale16 = rounded(scale, "bf16")
    put("gq.scale", scale, "f32"), put("gq.scale16", scale16, "bf16"), put("gq.token", token, "f32")
    sums, half, brain = np.full((10, 32), 7), np.full((10, 32), 7.0), np.full((10, 32), 7.0)
    for e in range(4):
        own = slice(rows[e], rows[e + 1])
        sums[own] = x[own] @ w[e] + bias[e]
        half[own], brain[own] = F(sums[own]) * scale[e] * token[own, None], F(sums[own]) * scale16[e] * token[own, None]
    put("gq.i32", sums, "i32"), put("gq.f16", half, "f16"), put("gq.bf16", brain, "bf16")
    # lists: three products of their own shapes
    for e, (m, k, n) in enumerate(((3, 16, 8), (1, 32, 24), (5, 16, 16))):
        put(f"gl.out{e}", pattern((m, k), "f16", 41 + e).astype(float) @ pattern((k, n), "f16", 44 + e), "f16")


def fused(kind):
    x1, x2, gamma = pattern((3, 64), kind, 51, 2), pattern((3, 64), kind, 52), pattern((64,), kind, 53)
    total = F(x1) + F(x2)
    stored = rounded(total, kind)
    total = stored if kind == "f16" else total
    rstd = F(1 / np.sqrt((total.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-5))
    y = rounded(rounded(total * rstd, kind) * gamma, kind)
    factor = "f32" if kind == "f16" else kind
    scales, zeros = rounded(np.abs(pattern((64,), factor, 54, 0.02)) + 0.01, factor), np.rint(pattern((64,), "f32", 55, 9))
    put(f"nq_{kind}.x", stored, kind), put(f"nq_{kind}.scales", scales, factor), put(f"nq_{kind}.zeros", zeros, "i32" if kind == "f16" else "bf16")
    put(f"nq_{kind}.q", np.clip(np.rint(y / scales + F(zeros)), -128, 127), "i8"), put(f"nq_{kind}.plain", np.clip(np.rint(y / scales), -128, 127), "i8")
    smooth = rounded(np.abs(pattern((64,), kind, 56)) + 0.5, kind)
    put(f"nq_{kind}.smooth", smooth, kind)
    for name, value in (("d", y), ("s", y * smooth)):
        top = np.abs(value).max(-1, keepdims=True)
        put(f"nq_{kind}.{name}q", np.rint(value * (F(127) / top)), "i8"), put(f"nq_{kind}.{name}scale", top[:, 0] / F(127), "f32")


def sampling():
    logits = pattern((4, 40), "f32", 61, 5)
    k, p = np.array([5, 0, 40, 12]), np.float32([1.0, 0.6, 0.9, 0.3])
    out = logits.copy()
    for r in range(4):
        order = np.argsort(logits[r], kind="stable")
        cut = np.zeros(40, bool)
        if 0 < k[r] < 40:
            cut |= logits[r] < logits[r][order[-k[r]]]
        kept = np.where(cut, -np.inf, logits[r].astype(float))
        probabilities = np.exp(kept - kept.max())
        probabilities /= probabilities.sum()
        sums = np.cumsum(probabilities[order])
        if p[r] < 1:
            cut[order[:-1][sums[:-1] <= 1 - float(p[r])]] = True
        out[r][cut] = -np.inf
    put("sample.k", k, "i32"), put("sample.p", p, "f32"), put("sample.kept", np.isfinite(out), "bool")


def latent():
    """The prologue of latent attention, rounded to bf16 between its stages."""
    bf = lambda v: rounded(v, "bf16").astype(np.float64)
    x, dq, uq = pattern((3, 32), "bf16", 71), pattern((32, 48), "bf16", 72, 0.3), pattern((48, 2 * (16 + 16)), "bf16", 73, 0.3)
    uk, dkv = pattern((2, 16, 32), "bf16", 74, 0.3), pattern((32, 32 + 16), "bf16", 75, 0.3)
    gq, gkv = pattern((48,), "bf16", 76), pattern((32,), "bf16", 77)
    angle = np.abs(pattern((3, 8), "f32", 78, 6))
    cos, sin = bf(np.concatenate([np.cos(angle)] * 2, -1)), bf(np.concatenate([np.sin(angle)] * 2, -1))
    norm = lambda v, g: bf(v / np.sqrt((v ** 2).mean(-1, keepdims=True) + 1e-5) * g)
    def rope(v, c, s):
        apart = np.concatenate([v[..., 0::2], v[..., 1::2]], -1)
        return apart * c + np.concatenate([-apart[..., 8:], apart[..., :8]], -1) * s
    heads = bf(norm(bf(x.astype(float) @ dq), gq) @ uq).reshape(3, 2, 32)
    kv = bf(x.astype(float) @ dkv)
    for name, w in (("dq", dq), ("uq", uq), ("dkv", dkv)):
        put(f"mla.{name}", to_nz(w, 16), "bf16")
    put("mla.cos", cos, "bf16"), put("mla.sin", sin, "bf16")
    put("mla.query", np.einsum("thd,hdc->thc", heads[..., :16], uk.astype(float)), "bf16")
    put("mla.rope", rope(heads[..., 16:], cos[:, None], sin[:, None]), "bf16")
    slots, ckv, kr = [17, 3, 30], norm(kv[:, :32], gkv), rope(kv[:, 32:], cos, sin)
    put("mla.slots", np.array(slots), "i64")
    plain, plain_r = np.full((32, 32), -1.0), np.full((32, 16), -1.0)
    plain[slots], plain_r[slots] = ckv, kr
    put("mla.kv", plain.reshape(2, 16, 1, 32), "bf16"), put("mla.kr", plain_r.reshape(2, 16, 1, 16), "bf16")
    fractal = plain.reshape(2, 16, 2, 16).transpose(0, 2, 1, 3)
    put("mla.kvnz", fractal, "bf16"), put("mla.krnz", plain_r.reshape(2, 16, 1, 16).transpose(0, 2, 1, 3), "bf16")


for one in ("f32", "f16", "bf16"):
    gating(one), routing(one)
    if one != "f32":
        fused(one)
grouped()
sampling()
latent()
save("experts.bin")
