#!/usr/bin/env python3
"""Writes data/quantised.bin: quantisers, quantised and weight-only products, from the documented formulae. Inputs are patterns that the test makes itself,
unless they are stored. Usage: make_quantised_goldens.py (needs numpy)."""
import numpy as np

from golden_writer import pack_int4, pattern, put, rounded, save, to_nz

F = np.float32


def products():
    x, w = pattern((5, 64), "i8", 1, 127), pattern((64, 32), "i8", 2, 127)
    scale, token = np.abs(pattern((32,), "f32", 3, 0.001)) + F(0.0002), np.abs(pattern((5,), "f32", 4)) + F(0.1)
    bias, offset = pattern((32,), "i32", 5, 5000), np.rint(pattern((32,), "f32", 6, 40))
    acc = x @ w
    packed = (scale.astype(F).view(np.uint32) & 0xFFFFE000).astype(np.uint64) | 1 << 46
    cut = (packed & 0xFFFFFFFF).astype(np.uint32).view(F)
    with_offset = (packed & 0x4000FFFFFFFF) | (offset.astype(np.int64) & 0x1FF).astype(np.uint64) << np.uint64(37)
    put("param.plain", packed, "u64"), put("param.offset", with_offset, "u64"), put("param.scale", scale, "f32"), put("param.shift", offset, "f32")
    put("qm.f16", F(acc + bias) * cut, "f16")
    put("qm.i8", np.clip(np.rint(F(acc) * cut + F(offset)), -128, 127), "i8")
    put("qm.token", token, "f32"), put("qm.bf16", F(acc + bias) * scale * token[:, None], "bf16")
    put("qm.i32", acc + bias, "i32")
    x4, w4 = pattern((5, 64), "i8", 7, 8), pattern((64, 32), "i8", 8, 8)
    put("qm.x4", pack_int4(x4), "u8"), put("qm.w4", pack_int4(w4), "u8"), put("qm.out4", F(x4 @ w4) * scale * token[:, None], "f16")
    batch = pattern((2, 3, 32), "i8", 9, 127), pattern((2, 32, 16), "i8", 10, 127)
    put("qm.batch", F(batch[0] @ batch[1]) * F(0.001), "bf16")
    x, w = pattern((3, 512), "i8", 11, 127), pattern((256, 512), "i8", 12, 127)  # scales of 1 x 128 and 128 x 128
    s1, s2 = np.abs(pattern((3, 4), "f32", 13, 0.01)), np.abs(pattern((2, 4), "f32", 14, 0.01))
    total = np.zeros((3, 256))
    for g in range(4):
        part = x[:, g * 128:(g + 1) * 128] @ w[:, g * 128:(g + 1) * 128].T
        total += part * s1[:, g:g + 1].astype(float) * np.repeat(s2[:, g], 128)[None]
    put("block.s1", s1, "f32"), put("block.s2", s2, "f32"), put("block.out", total, "bf16")


def weight_only():
    for kind, bias_kind in (("f16", "f16"), ("bf16", "f32")):
        x, w = pattern((4, 96), kind, 21), pattern((96, 48), "i8", 22, 127)
        scale, offset, bias = np.abs(pattern((48,), kind, 23, 0.01)), np.rint(pattern((48,), kind, 24, 20)), pattern((48,), bias_kind, 25)
        wide = rounded(F(w + offset) * scale, kind)
        y = x.astype(float) @ wide + bias
        put(f"wq_{kind}.scale", scale, kind), put(f"wq_{kind}.offset", offset, kind), put(f"wq_{kind}.y", y, kind)
        put(f"wq_{kind}.nz", to_nz(w.astype(np.int8), 32), "i8")
        w4 = pattern((96, 48), "i8", 26, 8)
        groups = np.abs(pattern((3, 48), kind, 27, 0.1))
        put(f"wq_{kind}.w4", pack_int4(w4), "u8"), put(f"wq_{kind}.groups", groups, kind)
        put(f"wq_{kind}.y4", x.astype(float) @ rounded(F(w4) * np.repeat(groups, 32, 0), kind), kind)
    x, w = pattern((4, 96), "f16", 21), pattern((96, 48), "i8", 22, 127)
    y = x.astype(float) @ rounded(F(w) * F(0.01), "f16")
    put("wq_f16.y8", np.clip(np.rint(y * 3), -128, 127), "i8")
    v = pattern((32, 64), "i32", 28, 8)
    put("pack.bytes", pack_int4(v), "u8"), put("pack.nz", pack_int4(to_nz(v, 64)), "u8")


def quantisers():
    for kind in ("f16", "bf16"):
        x = pattern((6, 64), kind, 31, 3)
        smooth = np.abs(pattern((2, 64), kind, 32)) + rounded(0.25, kind)
        smooth = rounded(smooth, kind)
        put(f"dyn_{kind}.smooth", smooth, kind)
        scaled = F(x) * np.repeat(smooth, 3, 0)[:6]  # the first three rows are expert 0's
        top = np.abs(scaled).max(-1, keepdims=True)
        put(f"dyn_{kind}.grouped", np.rint(scaled * (F(127) / top)), "i8"), put(f"dyn_{kind}.gscale", top[:, 0] / F(127), "f32")
        low, high = F(x).min(-1, keepdims=True), F(x).max(-1, keepdims=True)
        scale = (high - low) / F(255)
        shift = F(127) - high / scale
        put(f"dyn_{kind}.uneven", np.clip(np.rint(F(x) / scale + shift), -128, 127), "i8")
        put(f"dyn_{kind}.uscale", scale[:, 0], "f32"), put(f"dyn_{kind}.ushift", shift[:, 0], "f32")
        top = np.abs(F(x)).max(-1, keepdims=True)
        put(f"dyn_{kind}.four", pack_int4(np.rint(F(x) * (F(7) / top))), "u8")
        scale, shift = rounded(np.abs(pattern((64,), kind, 33, 20)) + 1, kind), rounded(np.rint(pattern((64,), kind, 34, 9)), kind)
        put(f"giv_{kind}.scale", scale, kind), put(f"giv_{kind}.shift", shift, kind)
        for name, way in (("round", np.rint), ("floor", np.floor), ("ceil", np.ceil), ("trunc", np.trunc)):
            put(f"giv_{kind}.{name}", np.clip(way(F(x) * scale + shift), -128, 127), "i8")
        rows = rounded(np.abs(pattern((6,), kind, 35, 20)) + 1, kind)
        put(f"giv_{kind}.rows", rows, kind), put(f"giv_{kind}.byrow", np.clip(np.rint(F(x) * rows[:, None]), -128, 127), "i8")
        q = pattern((6, 64), "i8", 36, 127)
        put(f"giv_{kind}.back", (F(q) + shift) * scale, kind)


def matrices():
    for kind in ("f16", "bf16", "f32"):
        a, b = pattern((3, 40), kind, 41), pattern((40, 20), kind, 42)
        row, vector = pattern((1, 20), kind, 43), pattern((40,), kind, 44)
        put(f"mat_{kind}.add", 0.5 * row + 2.0 * (a.astype(float) @ b), kind), put(f"mat_{kind}.mv", a.astype(float) @ vector, kind)
        c0 = 8 if kind == "f32" else 16
        put(f"mat_{kind}.nz", to_nz(b, c0), kind)
        x, w = pattern((2, 3, 40), kind, 45), pattern((2, 40, 20), kind, 46)
        put(f"mat_{kind}.bnz", np.stack([to_nz(w[0], c0), to_nz(w[1], c0)]), kind), put(f"mat_{kind}.bmm", x.astype(float) @ w, kind)


for part in (products, weight_only, quantisers, matrices):
    part()
save("quantised.bin")
