"""Makes the seeds of tests/fuzz/fuzz_safetensors.c: small good files of each kind, behind the byte that says which file of the folder they are.

    make_folder_seeds.py [FOLDER]      (default: tests/fuzz/corpus/safetensors)
"""
import json
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "fuzz", "corpus", "safetensors")


def safetensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


LLAMA = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "eos_token_id": [1, 2],
         "rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "head_dim": None}
SEEDS = {
    "0_tensors": safetensors({"__metadata__": {"format": "pt"}, "a": tensor("BF16", [2, 3], 0, 12), "b": tensor("F32", [1], 12, 16)}, bytes(16)),
    "0_none": safetensors({}),
    "0_dtypes": safetensors({"a": tensor("I32", [1], 0, 4), "b": tensor("F8_E4M3", [2], 4, 6)}, bytes(6)),
    "1_config": json.dumps(LLAMA).encode(),
    "1_python": b'{"architectures": ["X"], "a": NaN, "b": [-Infinity, 1], "c": 123456789012345678901234, "d": [{"e": [[1], "x"]}], "f": {"__float__": "NaN"}}',
    "2_generation": json.dumps({"eos_token_id": [1, 2], "temperature": 0.6, "do_sample": True}).encode(),
    "3_index": json.dumps({"metadata": {"total_size": 4}, "weight_map": {"a": "one.safetensors"}}).encode(),
    "3_traversal": json.dumps({"weight_map": {"a": "../one.safetensors"}}).encode(),
}

os.makedirs(FOLDER, exist_ok=True)
for name, content in SEEDS.items():
    with open(os.path.join(FOLDER, name), "wb") as file:
        file.write(name[0].encode() + content)
print(f"{len(SEEDS)} seeds in {FOLDER}")
