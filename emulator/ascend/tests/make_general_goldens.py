#!/usr/bin/env python3
"""Writes data/general.bin: activations, selections, rearrangements, reductions, sorting, norms, convolution, pooling, solving. Results in fp64 from the
documented formulae; inputs are patterns that the test makes itself. Usage: make_general_goldens.py (needs numpy)."""
import math

import numpy as np

from golden_writer import pattern, put, rounded, save


def activations(kind):
    x, y = pattern((3, 20), kind, 1, 6).astype(float), pattern((3, 20), kind, 2, 2)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    erf = np.vectorize(math.erf)
    gelu = lambda v: 0.5 * v * (1 + erf(v / np.sqrt(2)))
    put(f"ac_{kind}.leaky", np.where(x > 0, x, x * 0.125), kind), put(f"ac_{kind}.elu", np.where(x > 0, x * 0.5, 0.5 * 1.5 * (np.exp(0.75 * x) - 1)), kind)
    put(f"ac_{kind}.hardsigmoid", np.clip(x / 6 + 0.5, 0, 1), kind), put(f"ac_{kind}.hardswish", x * np.clip(x + 3, 0, 6) / 6, kind)
    put(f"ac_{kind}.softplus", np.where(2 * x > 8, x, np.log1p(np.exp(2 * x)) / 2), kind), put(f"ac_{kind}.threshold", np.where(x > 0.25, x, -3), kind)
    put(f"ac_{kind}.swish", x * sigmoid(1.5 * x), kind), put(f"ac_{kind}.fastgelu", x / (1 + np.exp(-1.702 * abs(x))) * np.exp(0.851 * (x - abs(x))), kind)
    put(f"ac_{kind}.not", pattern((3, 20), "i32", 3, 2) == 0, "bool")
    put(f"ac_{kind}.gelu", gelu(x[:, :10]), kind), put(f"ac_{kind}.geglu", rounded(gelu(x[:, :10]), "f32") * x[:, 10:], kind)
    mask = pattern((20,), "i32", 4, 2) != 0
    put(f"ac_{kind}.mask", mask, "bool"), put(f"ac_{kind}.where", np.where(mask, x, y), kind), put(f"ac_{kind}.filled", np.where(mask, 0.5, x), kind)
    put(f"ac_{kind}.pow", np.abs(x) ** y, kind), put(f"ac_{kind}.scalarpow", 1.5 ** x, kind)
    put(f"ac_{kind}.abs", abs(x), kind)


def rearranged(kind):
    x = pattern((2, 3, 5), kind, 11)
    put(f"re_{kind}.repeat", np.tile(x, (2, 1, 2, 3)), kind), put(f"re_{kind}.interleave", np.repeat(x, 3, 1), kind)
    put(f"re_{kind}.expand", np.broadcast_to(pattern((3, 1), kind, 12), (2, 3, 4)), kind)
    put(f"re_{kind}.roll", np.roll(x, (1, -2), (0, 2)), kind), put(f"re_{kind}.rollflat", np.roll(x, 4), kind)
    put(f"re_{kind}.pad", np.pad(x, ((0, 0), (1, 0), (2, 1)), constant_values=0.5), kind)
    put(f"re_{kind}.reflect", np.pad(x, ((0, 0), (0, 0), (3, 2)), mode="reflect"), kind)
    put(f"re_{kind}.tril", np.tril(x, 1), kind), put(f"re_{kind}.triu", np.triu(x, -1), kind)
    image = pattern((1, 2, 3, 4), kind, 13)
    put(f"re_{kind}.nearest", image[:, :, np.arange(7) * 3 // 7][:, :, :, np.arange(6) * 4 // 6], kind)
    index = np.array([[[2, 0, 1, 1, 2]], [[0, 0, 2, 1, 0]]])
    put(f"re_{kind}.index", index, "i64"), put(f"re_{kind}.gather", np.take_along_axis(x, index, 1), kind)
    put(f"re_{kind}.stack", np.stack([x, x + 0], 1), kind)
    put(f"re_{kind}.first", x[:, :, :2], kind), put(f"re_{kind}.second", x[:, :, 2:], kind)
    filled = x.copy()
    filled[:, :, [1, 4]] = 7
    put(f"re_{kind}.indexfill", filled, kind)
    put(f"re_{kind}.onehot", np.eye(4)[np.array([2, 0, 3])] * 2 - 1, kind)


def reduced(kind):
    x = pattern((2, 4, 30), kind, 21, 3).astype(float)
    put(f"rd_{kind}.norm2", np.sqrt((x ** 2).sum((0, 2))), kind), put(f"rd_{kind}.norm1", abs(x).sum(-1, keepdims=True), kind)
    put(f"rd_{kind}.norminf", abs(x).max(1), kind), put(f"rd_{kind}.lse", np.log(np.exp(x).sum(-1)), kind), put(f"rd_{kind}.max", x.max(), kind)
    put(f"rd_{kind}.maxdim", x.max(1), kind), put(f"rd_{kind}.maxat", x.argmax(1), "i64")
    order = np.argsort(x, axis=1, kind="stable")
    put(f"rd_{kind}.sorted", np.take_along_axis(x, order, 1), kind), put(f"rd_{kind}.order", order, "i64")
    put(f"rd_{kind}.down", np.argsort(-x, axis=2, kind="stable"), "i64"), put(f"rd_{kind}.cumsum", np.cumsum(x, 2), "f32")
    g, b, y = pattern((4,), kind, 22), pattern((4,), kind, 23), pattern((2, 4, 30), kind, 21, 3).astype(float)
    groups = y.reshape(2, 2, 60)
    mean, rstd = groups.mean(-1, keepdims=True), 1 / np.sqrt(groups.var(-1, keepdims=True) + 1e-3)
    put(f"rd_{kind}.group", ((groups - mean) * rstd).reshape(2, 4, 30) * g[:, None] + b[:, None], kind)
    put(f"rd_{kind}.mean", mean[..., 0], kind), put(f"rd_{kind}.rstd", rstd[..., 0], kind)
    gamma = pattern((30,), kind, 24)
    rstd = 1 / np.sqrt((x ** 2).mean(-1, keepdims=True) + 1e-5)
    put(f"rd_{kind}.gemma", x * rstd * (1 + gamma.astype(float)), kind), put(f"rd_{kind}.grstd", rstd, "f32")


def convolve(x, w, bias, stride, pad, dilation, groups):
    n, c, h, width = x.shape
    out_c, each, kh, kw = w.shape
    x = np.pad(x, ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
    oh, ow = (x.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1, (x.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((n, out_c, oh, ow))
    for o in range(out_c):
        group = x[:, o // (out_c // groups) * each:][:, :each]
        for i in range(oh):
            for j in range(ow):
                y0, x0 = i * stride[0], j * stride[1]
                part = group[:, :, y0:y0 + dilation[0] * (kh - 1) + 1:dilation[0], x0:x0 + dilation[1] * (kw - 1) + 1:dilation[1]]
                out[:, o, i, j] = (part * w[o]).sum((1, 2, 3)) + (0 if bias is None else bias[o])
    return out


def images(kind):
    x, w, b = pattern((2, 4, 7, 6), kind, 31).astype(float), pattern((6, 2, 3, 2), kind, 32).astype(float), pattern((6,), kind, 33).astype(float)
    put(f"im_{kind}.conv", convolve(x, w, b, (2, 1), (1, 0), (1, 2), 2), kind)
    line, lw = pattern((1, 3, 9), kind, 34).astype(float), pattern((2, 3, 3), kind, 35).astype(float)
    put(f"im_{kind}.line", convolve(line[:, :, None], lw[:, :, None], None, (1, 2), (0, 1), (1, 1), 1)[:, :, 0], kind)
    tw = pattern((3, 2, 3), kind, 36).astype(float)  # transposed, stride 2, padding 1: scatter, then cut
    full = np.zeros((1, 2, 19))
    for i in range(9):
        for k in range(3):
            full[:, :, 2 * i + k] += np.einsum("nc,co->no", line[:, :, i], tw[:, :, k])
    put(f"im_{kind}.transposed", full[:, :, 1:18], kind)
    image = pattern((1, 2, 5, 6), kind, 37).astype(float)
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = lambda p, f: np.stack([np.stack([f(p[:, :, 2 * i:2 * i + 3, 2 * j:2 * j + 2]) for j in range(4)], -1) for i in range(3)], -2)
    put(f"im_{kind}.avg", windows(padded, lambda p: p.mean((2, 3))), kind)
    holes = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    put(f"im_{kind}.max", windows(holes, lambda p: p.max((2, 3))), kind)
    patches = np.stack([padded[:, :, i:i + 5:2, j:j + 7:2][:, :, :3, :4] for i in range(3) for j in range(2)], 2)
    put(f"im_{kind}.patches", patches.reshape(1, 12, 12), kind)


def solved():
    a, b = pattern((2, 4, 4), "f32", 41).astype(float) + 3 * np.eye(4), pattern((2, 4, 3), "f32", 42).astype(float)
    put("so.a", a, "f32")
    put("so.upper", np.linalg.solve(np.triu(a), b), "f32"), put("so.lower", np.linalg.solve(np.tril(a), b), "f32")
    put("so.upper_t", np.linalg.solve(np.triu(a).transpose(0, 2, 1), b), "f32")
    unit = np.tril(a, -1) + np.eye(4)
    put("so.unit", np.linalg.solve(unit, b), "f32")
    x, labels = pattern((3, 8), "f32", 43, 3).astype(float), np.abs(pattern((3, 8), "f32", 44)).astype(float)
    log = x - x.max(-1, keepdims=True) - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True))
    put("so.labels", labels, "f32"), put("so.loss", -(labels * log).sum(-1), "f32"), put("so.gradient", np.exp(log) - labels, "f32")


def scattered():
    """Rows into caches and slices; -1 marks what must stay untouched."""
    k = pattern((3, 2, 32), "f16", 51)
    slots = np.array([47, 17, 0])
    norm, fractal = np.full((3, 16, 2, 32), -1.0), np.full((3, 4, 16, 16), -1.0)
    for t, slot in enumerate(slots):
        norm[slot // 16, slot % 16] = k[t]
        fractal[slot // 16, :, slot % 16] = k[t].reshape(4, 16)
    put("sc.norm", norm, "f16"), put("sc.fractal", fractal, "f16"), put("sc.slots", slots, "i32")
    nd = np.full((4, 3, 5), -1.0)
    nd[[3, 0], [2, 1]] = pattern((2, 5), "f16", 52)
    put("sc.nd", nd, "f16")
    update = np.full((2, 2, 6, 3), -1.0)
    update[0, :, 1:3], update[1, :, 4:6] = pattern((2, 2, 2, 3), "f16", 53)
    put("sc.update", update, "f16")
    for kind in ("f16", "bf16"):
        x = pattern((2, 3, 5, 64), kind, 54)
        angle = np.abs(pattern((2, 1, 5, 32), "f32", 55, 6))
        cos, sin = rounded(np.cos(angle), kind), rounded(np.sin(angle), kind)
        cos, sin = np.concatenate([cos, cos], -1), np.concatenate([sin, sin], -1)
        apart = np.concatenate([x[..., 0::2], x[..., 1::2]], -1)
        out = apart * cos + np.concatenate([-apart[..., 32:], apart[..., :32]], -1) * sin
        put(f"sc.cos_{kind}", cos, kind), put(f"sc.sin_{kind}", sin, kind), put(f"sc.rope_{kind}", out, kind)


for one in ("f32", "f16", "bf16"):
    activations(one), rearranged(one), reduced(one), images(one)
solved()
scattered()
save("general.bin")
