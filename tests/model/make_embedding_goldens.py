"""Makes tests/model/data/embeddings.bin and, with MODEL.gguf, tests/model/data/embeddings_smollm2.bin: what transformers computes in fp32 on a CPU as
`last_hidden_state` (behind the final norm) of the last token, and its mean over all tokens (added in double). A file holds cases one behind the other:

    n_ids int32 | width int32 | ids int32[n_ids] | last float32[width] | mean float32[width]

embeddings.bin: the folders that make_llama_goldens.py made, in the order of FOLDERS, on their own ids and on the first one alone. embeddings_smollm2.bin:
SmolLM2 with gguf's dequantised weights (loaded by tests/score/make_goldens.py), on the beginnings of that test's text.
Run with torch, transformers, safetensors and gguf:  make_embedding_goldens.py [MODEL.gguf]
"""
import importlib.util
import json
import os
import struct
import sys

import torch
from transformers import AutoModel

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "data")
FOLDERS = ["llama_tied", "llama_biases", "llama_rope_llama3", "llama_rope_linear", "mistral_window", "llama_shards"]
LENGTHS = [1, 7, 64, 300, 601]


def case(model, ids):
    with torch.no_grad():
        hidden = model(torch.tensor([ids])).last_hidden_state[0]
    assert hidden.dtype == torch.float32
    width = hidden.shape[1]
    mean = hidden.double().mean(0).float()
    return struct.pack(f"<2i{len(ids)}i", len(ids), width, *ids) + hidden[-1].numpy().tobytes() + mean.numpy().tobytes()


def make_tiny():
    with open(os.path.join(DATA, "embeddings.bin"), "wb") as out:
        for name in FOLDERS:
            folder = os.path.join(DATA, name)
            with open(os.path.join(folder, "golden.bin"), "rb") as file:
                n_ids, _ = struct.unpack("<2i", file.read(8))
                ids = list(struct.unpack(f"<{n_ids}i", file.read(4 * n_ids)))
            model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
            out.write(case(model, ids) + case(model, ids[:1]))


def make_smollm2(path):
    spec = importlib.util.spec_from_file_location("make_goldens", os.path.join(HERE, "..", "score", "make_goldens.py"))
    score = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(score)
    model = score.load_model(*score.read_fields(path)).model
    with open(os.path.join(HERE, "..", "score", "data", "smollm2.json"), encoding="utf-8") as file:
        ids = json.load(file)["ids"]
    with open(os.path.join(DATA, "embeddings_smollm2.bin"), "wb") as out:
        for n in LENGTHS:
            out.write(case(model, ids[:n]))


torch.set_num_threads(1)
make_tiny()
if len(sys.argv) > 1:
    make_smollm2(sys.argv[1])
