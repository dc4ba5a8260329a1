#!/usr/bin/env python3
"""Writes data/goldens.bin: inputs and expected results of the emulator's operators, computed with numpy from the documented formulae, independently of the
emulator's code. Usage: make_goldens.py (needs numpy; nothing in the build does)."""
import math

import numpy as np

from golden_writer import put, rounded, save, to_nz

RNG = np.random.default_rng(20260801)


def random(shape, kind, scale=1.0):
    return rounded(RNG.standard_normal(shape) * scale, kind)


def norms(kind):
    x, gamma = random((3, 96), kind, 2), random((96,), kind)
    eps = 1e-5
    rstd = 1 / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + eps)
    put(f"rms_{kind}.x", x, kind), put(f"rms_{kind}.gamma", gamma, kind)
    put(f"rms_{kind}.y", x * rstd * gamma, kind), put(f"rms_{kind}.rstd", rstd, "f32")
    other = random((3, 96), kind)
    total = x + other
    stored = rounded(total, kind)
    if kind == "f16":
        total = stored  # fp16 norms the rounded sum, bf16 the unrounded one
    rstd = np.float32(1 / np.sqrt((total.astype(np.float64) ** 2).mean(-1, keepdims=True) + eps))
    put(f"addrms_{kind}.x2", other, kind), put(f"addrms_{kind}.x", stored, kind)
    put(f"addrms_{kind}.y", rounded(total * rstd, kind) * gamma, kind), put(f"addrms_{kind}.rstd", rstd, "f32")


def products(kind):
    a, b = random((5, 80), kind), random((80, 33), kind)
    put(f"mm_{kind}.a", a, kind), put(f"mm_{kind}.b", b, kind), put(f"mm_{kind}.bt", b.T, kind)
    put(f"mm_{kind}.out", a.astype(np.float64) @ b.astype(np.float64), kind)
    if kind != "f32":
        put(f"mm_{kind}.nz", to_nz(b, 16), kind), put(f"mm_{kind}.nzt", to_nz(np.ascontiguousarray(b.T), 16), kind)
    c, d = random((2, 4, 16), kind), random((2, 16, 8), kind)
    put(f"bmm_{kind}.a", c, kind), put(f"bmm_{kind}.b", d, kind), put(f"bmm_{kind}.out", c.astype(np.float64) @ d, kind)


def quantised():
    x = random((4, 64), "bf16", 3)
    scale = np.abs(x).max(-1) / np.float32(127)
    q = np.clip(np.rint(x * (np.float32(127) / np.abs(x).max(-1, keepdims=True))), -128, 127)
    put("dq.x", x, "bf16"), put("dq.y", q, "i8"), put("dq.scale", scale, "f32")
    w = RNG.integers(-127, 128, (64, 40))
    w_scale, bias = np.float32(RNG.uniform(0.001, 0.02, 40)), random((40,), "f32")
    acc = q.astype(np.int64) @ w
    put("qmm.w", w, "i8"), put("qmm.wnzt", to_nz(np.ascontiguousarray(w.T.astype(np.int8)), 32), "i8")
    put("qmm.scale", w_scale, "f32"), put("qmm.bias", bias, "f32")
    put("qmm.out", acc * w_scale * scale[:, None] + bias, "bf16"), put("qmm.out32", acc, "i32")


def rotation(kind):
    x = random((3, 4, 64), kind)
    angle = RNG.uniform(0, 6, (3, 1, 32))
    cos, sin = rounded(np.cos(angle), kind), rounded(np.sin(angle), kind)
    half_c, half_s = np.concatenate([cos, cos], -1), np.concatenate([sin, sin], -1)
    half = x * half_c + np.concatenate([-x[..., 32:], x[..., :32]], -1) * half_s
    pair_c, pair_s = np.repeat(cos, 2, -1), np.repeat(sin, 2, -1)
    turned = np.stack([-x[..., 1::2], x[..., 0::2]], -1).reshape(x.shape)
    put(f"rope_{kind}.x", x, kind), put(f"rope_{kind}.cos", half_c, kind), put(f"rope_{kind}.sin", half_s, kind), put(f"rope_{kind}.half", half, kind)
    put(f"rope_{kind}.cos2", pair_c, kind), put(f"rope_{kind}.sin2", pair_s, kind), put(f"rope_{kind}.pairs", x * pair_c + turned * pair_s, kind)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attend(q, k, v, mask, scale):
    """q (heads, S, D), k and v (kv heads, T, D), mask (S, T) True where hidden."""
    groups = q.shape[0] // k.shape[0]
    k, v = np.repeat(k, groups, 0).astype(np.float64), np.repeat(v, groups, 0).astype(np.float64)
    scores = np.where(mask, -np.inf, q.astype(np.float64) @ k.transpose(0, 2, 1) * scale)
    return softmax(scores) @ v


def attention(kind):
    heads, kv_heads, width, block = 6, 2, 32, 16
    scale = width ** -0.5
    q, k, v = random((1, heads, 7, width), kind), random((1, kv_heads, 20, width), kind), random((1, kv_heads, 20, width), kind)
    causal = np.arange(20)[None] > np.arange(7)[:, None] + 13
    put(f"fia_{kind}.q", q, kind), put(f"fia_{kind}.k", k, kind), put(f"fia_{kind}.v", v, kind)
    put(f"fia_{kind}.out", attend(q[0], k[0], v[0], causal, scale)[None], kind)
    put(f"fia_{kind}.mask", causal, "bool")
    # three sequences, packed queries, a paged cache: a prefill chunk, a decode step, a whole prompt
    queries, keys = [5, 1, 9], [37, 50, 9]
    table = np.array([[9, 2, 5, 0], [1, 7, 3, 8], [4, 0, 0, 0]])
    cache_k, cache_v = random((10, block, kv_heads * width), kind), random((10, block, kv_heads * width), kind)
    q = random((sum(queries), heads, width), kind)
    out, at = np.zeros(q.shape), 0
    for b, (s, t) in enumerate(zip(queries, keys)):
        flat = lambda cache: cache[table[b]].reshape(-1, kv_heads, width)[:t].transpose(1, 0, 2)
        hidden = np.arange(t)[None] > np.arange(s)[:, None] + (t - s)
        out[at:at + s] = attend(q[at:at + s].transpose(1, 0, 2), flat(cache_k), flat(cache_v), hidden, scale).transpose(1, 0, 2)
        at += s
    put(f"paged_{kind}.q", q, kind), put(f"paged_{kind}.k", cache_k, kind), put(f"paged_{kind}.v", cache_v, kind)
    put(f"paged_{kind}.table", table, "i32"), put(f"paged_{kind}.out", out, kind)


def elementwise(kind):
    x, y, row = random((4, 24), kind, 2), random((4, 24), kind), random((24,), kind)
    sigmoid = 1 / (1 + np.exp(-x.astype(np.float64)))
    put(f"el_{kind}.x", x, kind), put(f"el_{kind}.y", y, kind), put(f"el_{kind}.row", row, kind)
    put(f"el_{kind}.add", x + np.float32(0.5) * y, kind), put(f"el_{kind}.mul", x * row, kind), put(f"el_{kind}.muls", x * np.float32(3), kind)
    put(f"el_{kind}.silu", x * sigmoid, kind), put(f"el_{kind}.softmax", softmax(x.astype(np.float64)), kind)
    gate, up = x[:, :12].astype(np.float64), x[:, 12:]
    put(f"el_{kind}.swiglu", gate / (1 + np.exp(-gate)) * up, kind)
    order = np.argsort(-x, axis=-1, kind="stable")
    put(f"el_{kind}.top", np.take_along_axis(x, order[:, :5], -1), kind), put(f"el_{kind}.topi", order[:, :5], "i64")
    put(f"el_{kind}.argmax", order[:, 0], "i64")
    ids = np.array([3, 0, 3, 1])
    put(f"el_{kind}.ids", ids, "i64"), put(f"el_{kind}.rows", x[ids], kind)


def conversions():
    x = np.float32([1.00390625, 1.01171875, -1.00390625, 65519.99, 65520.0, 3.7, -3.7, 6e-8, 2.98e-8, 0.0, 1e30, -65504, 127.5, 300, -300, 2.5])
    put("cast.f32", x, "f32"), put("cast.bf16", x, "bf16")
    with np.errstate(over="ignore"):
        put("cast.f16", x, "f16")
    small = np.clip(np.trunc(x), -1000, 1000)
    put("cast.small", np.clip(x, -1000, 1000), "f32"), put("cast.i32", small, "i32")


def erf(x):
    return np.vectorize(math.erf)(x)


def more(kind):
    x, y = random((2, 3, 20), kind, 2), random((2, 3, 20), kind)
    wide = x.astype(np.float64)
    put(f"mo_{kind}.x", x, kind), put(f"mo_{kind}.y", y, kind)
    put(f"mo_{kind}.sub", x - np.float32(0.5) * y, kind), put(f"mo_{kind}.div", x / y, kind), put(f"mo_{kind}.max", np.maximum(x, y), kind)
    put(f"mo_{kind}.square", wide ** 2, kind), put(f"mo_{kind}.clamp", np.clip(x, rounded(-0.5, kind), rounded(1.5, kind)), kind)
    put(f"mo_{kind}.gt", x > 0.5, "bool"), put(f"mo_{kind}.eq", x == x, "bool")
    put(f"mo_{kind}.erf", 0.5 * wide * (1 + erf(wide / np.sqrt(2))), kind)
    put(f"mo_{kind}.tanh", 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide ** 3))), kind)
    put(f"mo_{kind}.sigmoid", 1 / (1 + np.exp(-wide)), kind)
    put(f"mo_{kind}.logsoftmax", np.log(softmax(wide.transpose(0, 2, 1))).transpose(0, 2, 1), kind)
    put(f"mo_{kind}.permuted", x.transpose(2, 0, 1), kind), put(f"mo_{kind}.joined", np.concatenate([x, y, x], 1), kind)
    put(f"mo_{kind}.slice", x[:, :, 3:17:4], kind), put(f"mo_{kind}.picked", x[:, :, [19, 0, 0]], kind), put(f"mo_{kind}.ids", np.array([19, 0, 0]), "i32")
    put(f"mo_{kind}.sum", wide.sum((0, 2)), kind), put(f"mo_{kind}.mean", wide.mean(1, keepdims=True), kind), put(f"mo_{kind}.amax", x.max(-1), kind)
    weight, bias = random((20,), kind), random((20,), kind)
    mean, variance = wide.mean(-1, keepdims=True), wide.var(-1, keepdims=True)
    put(f"mo_{kind}.weight", weight, kind), put(f"mo_{kind}.bias", bias, kind)
    put(f"mo_{kind}.layer", (wide - mean) / np.sqrt(variance + 1e-5) * weight + bias, kind)
    # rotary with a table of positions: 5 tokens, 2 and 1 heads of 64, the first 32 of each rotated
    angle = RNG.uniform(0, 6, (50, 16))
    cos, sin = rounded(np.cos(angle), kind), rounded(np.sin(angle), kind)
    positions, q = np.array([0, 49, 7, 7, 20]), random((5, 2, 64), kind)
    c, s = cos[positions][:, None], sin[positions][:, None]
    neox, pairs = q.copy(), q.copy()
    neox[..., :16], neox[..., 16:32] = q[..., :16] * c - q[..., 16:32] * s, q[..., 16:32] * c + q[..., :16] * s
    even, odd = q[..., 0:32:2], q[..., 1:32:2]
    pairs[..., 0:32:2], pairs[..., 1:32:2] = even * c - odd * s, odd * c + even * s
    put(f"rc_{kind}.positions", positions, "i64"), put(f"rc_{kind}.q", q.reshape(5, 128), kind), put(f"rc_{kind}.k", q[:, 0].reshape(5, 64), kind)
    put(f"rc_{kind}.cache", np.concatenate([cos, sin], -1), kind), put(f"rc_{kind}.neox", neox.reshape(5, 128), kind)
    put(f"rc_{kind}.neoxk", neox[:, 0], kind), put(f"rc_{kind}.pairs", pairs.reshape(5, 128), kind), put(f"rc_{kind}.pairsk", pairs[:, 0], kind)


for one in ("f32", "f16", "bf16"):
    norms(one), products(one), rotation(one), elementwise(one)
    if one != "f32":
        attention(one)
quantised()
conversions()
for one in ("f32", "f16", "bf16"):
    more(one)
save("goldens.bin")
