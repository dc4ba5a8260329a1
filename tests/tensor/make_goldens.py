#!/usr/bin/env python3
"""Makes tests/tensor/data/*.bin: blocks and floats as the Python package `gguf` (ggml's reference in numpy) converts them.

    pip install gguf numpy llama-cpp-python;  python3 tests/tensor/make_goldens.py

to_<type>.bin:   uint32 n_blocks, the blocks' bytes, then n_blocks * block floats as dequantised.
from_<type>.bin: uint32 n_blocks, n_blocks * block floats, then the blocks' bytes as quantised.
quantizer_errors.txt: type, kind of numbers (draw), relative root-mean-square error of llama.cpp's quantiser; written where llama-cpp-python is installed.
Everything is little endian. Made with gguf 0.19 and a fixed seed; no test needs this script or its packages.
"""
import ctypes
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


def draw(kind, n):
    """The numbers of test_quantize.c: every operation is exact or one rounding."""
    state, sums = 1, np.empty(n, np.int64)
    for i in range(n):
        total = -(1 << 21)
        for _ in range(4):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
            total += state >> 12
        sums[i] = total
    x, index = sums.astype(np.float32) * np.float32(2.0 ** -21), np.arange(n)
    return [x, x * x * x, np.where(index % 97 == 0, x * np.float32(8), x), np.abs(x), x + np.float32(0.5),
            np.where(index % 512 < 256, x * np.float32(2.0 ** -12), x * np.float32(2.0 ** 6))][kind].astype(np.float32)


def write_quantizer_errors():
    try:
        import llama_cpp
    except ImportError:
        return
    library = ctypes.CDLL(sorted((pathlib.Path(llama_cpp.__file__).parent / "lib").glob("libggml-base*.so"))[0])
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    with open(OUT / "quantizer_errors.txt", "w", encoding="utf-8") as out:
        for kind in range(6):
            x = draw(kind, 64 * 256)
            for type_ in SMALL + LARGE:
                elements, bytes_ = GGML_QUANT_SIZES[type_]
                blocks = np.zeros((len(x) // elements, bytes_), np.uint8)
                library.ggml_quantize_chunk(int(type_), x.ctypes.data, blocks.ctypes.data, 0, len(x) // 256, 256, None)
                difference = x.astype(np.float64) - quants.dequantize(blocks, type_).reshape(-1)
                out.write(f"{type_.name.lower()} {kind} {np.sqrt((difference ** 2).sum() / (x.astype(np.float64) ** 2).sum()):.9f}\n")


def main():
    np.seterr(all="ignore")
    random = np.random.default_rng(20240229)
    OUT.mkdir(exist_ok=True)
    write_quantizer_errors()
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
