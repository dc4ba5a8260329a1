#!/usr/bin/env python3
"""Makes reference_goldens.h: what single operations give, computed by numpy in float64 from the formulas of chip/program.h, independently of the C code.

    python make_reference_goldens.py > reference_goldens.h

Inputs are not stored: both sides compute them with input_values(seed, n), whose values are exact in fp32. Needs numpy; no test needs this script.
"""
import numpy as np


def input_values(seed, n):
    """n numbers in [-1, 1), multiples of 2^-23; test_reference_ops.c has the same."""
    h = (np.arange(n, dtype=np.uint64) + np.uint64(seed * 0x9E3779B1 & 0xFFFFFFFF)) * np.uint64(2654435761) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(15)
    h = h * np.uint64(0x85EBCA6B) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(13)
    return (h >> np.uint64(8)).astype(np.float64) / 2**23 - 1


def emit(name, values):
    values = np.asarray(values).ravel()
    lines = [", ".join(f"{v:.9g}f" if "." in f"{v:.9g}" or "e" in f"{v:.9g}" else f"{v:.9g}.0f" for v in values[i : i + 8]) for i in range(0, len(values), 8)]
    print(f"static const float {name}[{len(values)}] = {{\n    " + ",\n    ".join(lines) + ",\n};\n")


def rms(x, weight, epsilon):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + epsilon) * weight


def norm():
    x = input_values(1, 3 * 7).reshape(3, 7) + input_values(2, 3 * 7).reshape(3, 7)
    emit("golden_norm_x", x)
    emit("golden_norm", rms(x, input_values(3, 7), 1e-2))


def linear():
    x = input_values(4, 5 * 24).reshape(5, 24)
    w = input_values(5, 6 * 24).reshape(6, 24)
    emit("golden_linear", x @ w.T + input_values(6, 6))


def rotate(x, positions, frequencies, halves):
    """x: [rows, heads, width]; complex multiplication of the pairs."""
    n = len(frequencies)
    angle = np.exp(1j * positions[:, None, None] * frequencies[None, None, :])
    out = x.copy()
    a, b = (slice(0, n), slice(n, 2 * n)) if halves else (slice(0, 2 * n, 2), slice(1, 2 * n, 2))
    turned = (x[..., a] + 1j * x[..., b]) * angle
    out[..., a], out[..., b] = turned.real, turned.imag
    return out


def rope():
    frequencies = np.array([1.0, 0.125])
    positions = np.array([1000, 1001])
    query = input_values(7, 2 * 4 * 6).reshape(2, 4, 6)
    key = input_values(8, 2 * 2 * 6).reshape(2, 2, 6)
    for halves in (False, True):
        name = "halves" if halves else "adjacent"
        emit(f"golden_query_{name}", rotate(rms(query, input_values(9, 6), 1e-3), positions, frequencies, halves))
        emit(f"golden_key_{name}", rotate(rms(key, input_values(10, 6), 1e-3), positions, frequencies, halves))


def attention():
    """600 positions of one sequence, 4 heads over 2 of width 3 (keys) and 5 (values)."""
    n = 600
    query = 4 * input_values(11, n * 4 * 3).reshape(n, 4, 3)
    key = 4 * input_values(12, n * 2 * 3).reshape(n, 2, 3)
    value = input_values(13, n * 2 * 5).reshape(n, 2, 5)
    rows = [0, 1, 255, 256, 257, 511, 512, 599]
    for window in (0, 300):
        out = np.zeros((len(rows), 4, 5))
        for i, r in enumerate(rows):
            first = max(0, r - window + 1) if window else 0
            for h in range(4):
                s = key[first : r + 1, h // 2] @ query[r, h] * 0.5
                p = np.exp(s - s.max())
                out[i, h] = p @ value[first : r + 1, h // 2] / p.sum()
        emit(f"golden_attention_{window}", out)


def gated():
    gate, up = 20 * input_values(14, 12), input_values(15, 12)
    emit("golden_gated", gate / (1 + np.exp(-gate)) * up)


print("/* Made by make_reference_goldens.py: do not edit. */\n")
for write in (norm, linear, rope, attention, gated):
    write()
