#!/usr/bin/env python3
"""Makes tests/tensor/data/*.bin: blocks and floats as the Python package `gguf` (ggml's reference in numpy) converts them.

    pip install gguf numpy;  python3 tests/tensor/make_goldens.py

to_<type>.bin:   uint32 n_blocks, the blocks' bytes, then n_blocks * block floats as dequantised.
from_<type>.bin: uint32 n_blocks, n_blocks * block floats, then the blocks' bytes as quantised.
Everything is little endian. Made with gguf 0.19 and a fixed seed; no test needs this script or its packages.
"""
import pathlib
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, quants

OUT = pathlib.Path(__file__).parent / "data"
LARGE = [Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K]
SMALL = [Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1]
PLAIN = [Type.F16, Type.BF16]

# Where the binary16 fields of a block lie.
HALF_FIELDS = {
    Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}
# 0, -0, smallest subnormals, largest subnormal, smallest normal, 1, -1, largest, -largest, infinity, a third, -a third
HALVES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x7C00, 0x3555, 0xB555]


def make_blocks(kind, random):
    block_bytes = GGML_QUANT_SIZES[kind][1]
    blocks = []
    for pattern in (0x00, 0xFF, 0x0F, 0xF0, 0x55, 0xAA):  # extremes of quants under a moderate scale
        block = np.full(block_bytes, pattern, np.uint8)
        for field in HALF_FIELDS[kind]:
            block[field:field + 2] = np.frombuffer(np.uint16(0x3555).tobytes(), np.uint8)
        blocks.append(block)
    for half in HALVES:  # extremes of scales over random quants
        block = random.integers(0, 256, block_bytes, np.uint8)
        for field in HALF_FIELDS[kind]:
            block[field:field + 2] = np.frombuffer(np.uint16(half).tobytes(), np.uint8)
        blocks.append(block)
    blocks += [random.integers(0, 256, block_bytes, np.uint8) for _ in range(24)]  # wholly random bytes, NaN scales included
    return np.stack(blocks)


def make_rows(kind, random):
    """Floats to quantise: finite, and no block whose scale has an infinite reciprocal (undefined in the reference)."""
    n = GGML_QUANT_SIZES[kind][0]
    rows = [np.zeros(n), np.full(n, 1.0), np.full(n, -2.5), np.linspace(-1, 1, n), np.linspace(3, 4, n), np.linspace(-9, -8, n)]
    for scale in (1e-30, 1e-7, 1e-5, 1e-3, 1, 60, 1e4, 3e5, 1e8):
        rows += [random.normal(0, scale, n) for _ in range(5)]
    rows += [np.round(random.normal(0, 4, n)) for _ in range(10)]  # ties in rounding and in the extreme
    rows += [np.round(random.normal(0, 8, n)) / 2 for _ in range(10)]
    for extreme in (-8, 8, -16, 16, -127, 127):  # scales that are whole, so that halves are exact ties
        row = np.round(random.uniform(-2, 2, n) * abs(extreme)) / 2
        row[5] = extreme
        rows.append(row)
    return np.stack(rows).astype(np.float32)


def write(name, *arrays):
    with open(OUT / name, "wb") as out:
        out.write(np.uint32(len(arrays[0])).tobytes())
        for array in arrays:
            out.write(np.ascontiguousarray(array).tobytes())


def main():
    np.seterr(all="ignore")
    random = np.random.default_rng(20240229)
    OUT.mkdir(exist_ok=True)
    for kind in SMALL + LARGE:
        blocks = make_blocks(kind, random)
        write(f"to_{kind.name.lower()}.bin", blocks, quants.dequantize(blocks, kind).astype(np.float32))
    for kind in SMALL:
        rows = make_rows(kind, random)
        write(f"from_{kind.name.lower()}.bin", rows, quants.quantize(rows, kind))
    for kind in PLAIN:
        halves = random.integers(0, 65536, 2000, np.uint16)
        write(f"to_{kind.name.lower()}.bin", halves, quants.dequantize(halves if kind == Type.F16 else halves.view(np.uint8), kind).astype(np.float32))
        floats = np.concatenate([random.integers(0, 1 << 32, 2000, np.uint32).view(np.float32), random.normal(0, 1, 1000).astype(np.float32),
                                 random.normal(0, 3e-6, 1000).astype(np.float32)])
        floats = floats[~np.isnan(floats)]
        bits = quants.quantize(floats.reshape(-1, 1), kind)
        write(f"from_{kind.name.lower()}.bin", floats, bits)


if __name__ == "__main__":
    sys.exit(main())
