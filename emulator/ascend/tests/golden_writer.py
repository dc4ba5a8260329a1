"""What the make_*.py scripts share: rounding to element types and the file of goldens.

File: for each tensor  u32 length of the name, name, i32 aclDataType, u32 dimensions, i64 each, u64 bytes, data. Little endian."""
import os
import struct

import numpy as np

TYPES = {"f32": 0, "f16": 1, "i8": 2, "i32": 3, "u8": 4, "i64": 9, "u64": 10, "bool": 12, "bf16": 27}
records = []


def bf16_bits(x):
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def rounded(x, kind):
    """float32 values as they are after a store of that type."""
    x = np.asarray(x, dtype=np.float32)
    if kind == "f16":
        return x.astype(np.float16).astype(np.float32)
    if kind == "bf16":
        return (bf16_bits(x).astype(np.uint32) << 16).view(np.float32)
    return x


def put(name, x, kind):
    data = {"f32": lambda: np.float32(x), "f16": lambda: np.float32(x).astype(np.float16), "bf16": lambda: bf16_bits(x), "i8": lambda: np.int8(x),
            "i32": lambda: np.int32(x), "i64": lambda: np.int64(x), "bool": lambda: np.uint8(x), "u8": lambda: np.uint8(x),
            "u64": lambda: np.uint64(x)}[kind]()
    raw = np.ascontiguousarray(data).tobytes()
    shape = np.shape(x)
    records.append(struct.pack("<I", len(name)) + name.encode() + struct.pack("<iI", TYPES[kind], len(shape)) + struct.pack(f"<{len(shape)}q", *shape)
                   + struct.pack("<Q", len(raw)) + raw)


def pattern(shape, kind, salt, scale=1.0):
    """Inputs that need not be stored: the tests make the same ones (golden.h, pattern_value)."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    bits = (i * 2654435761 + np.uint64(salt * 40503 + 12345)) & 0xFFFFFFFF
    bits = (bits ^ (bits >> 15)) * 2246822519 & 0xFFFFFFFF
    if kind[0] in "iu":
        return np.trunc((np.float32(bits >> 8) / np.float32(1 << 23) - np.float32(1)) * np.float32(scale)).astype(np.int64).reshape(shape)
    return rounded((np.float32(bits >> 8) / np.float32(1 << 23) - np.float32(1)) * np.float32(scale), kind).reshape(shape)


def to_nz(w, c0):
    """rows x columns -> FRACTAL_NZ (columns/c0, rows/16, 16, c0)."""
    rows, columns = w.shape
    r1, c1 = -(-rows // 16), -(-columns // c0)
    padded = np.zeros((r1 * 16, c1 * c0), w.dtype)
    padded[:rows, :columns] = w
    return padded.reshape(r1, 16, c1, c0).transpose(2, 0, 1, 3).copy()


def pack_int4(w):
    """Pairs along the last axis into bytes, the lower half first."""
    w = w.astype(np.int64) & 15
    return (w[..., 0::2] | w[..., 1::2] << 4).astype(np.uint8)


def save(name):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", name)
    with open(path, "wb") as file:
        file.write(b"".join(records))
    print(len(records), "tensors,", os.path.getsize(path), "bytes in", name)
