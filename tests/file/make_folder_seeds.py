"""Makes the seeds of tests/fuzz/fuzz_safetensors.c and fuzz_configuration.c: small files of each kind, good and broken, behind the byte that says which file of
the folder they are.

    make_folder_seeds.py [FOLDER]      (default: tests/fuzz/corpus)
"""
import json
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "fuzz", "corpus")


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

# ---- configurations, over the weights of one layer that fuzz_configuration.c makes

SIZES = {"num_hidden_layers": 1, "max_position_embeddings": 64, "hidden_size": 4, "intermediate_size": 4, "num_attention_heads": 2, "vocab_size": 8,
         "tie_word_embeddings": True}


def config(architecture="LlamaForCausalLM", **changes):
    return json.dumps({"architectures": [architecture], **SIZES, **changes}).encode()


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "mscale": 1.0, "mscale_all_dim": 0.5, "truncate": False}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
CONFIGURATIONS = {
    "0_llama": config(rope_scaling=LLAMA3, rope_theta=500000, attention_bias=False, mlp_bias=False, hidden_act="silu", head_dim=None),
    "0_yarn": config(rope_parameters=YARN),
    "0_mistral": config("MistralForCausalLM", sliding_window=8),
    "0_ministral": config("MinistralForCausalLM", sliding_window=8, layer_types=["sliding_attention"]),
    "0_smollm3": config("SmolLM3ForCausalLM", no_rope_layers=[0], no_rope_layer_interval=4),
    "0_qwen2": config("Qwen2ForCausalLM", use_sliding_window=True, sliding_window=4, max_window_layers=0),
    "0_qwen3": config("Qwen3ForCausalLM", head_dim=2, attention_bias=False),
    "0_huge": config(num_hidden_layers=10 ** 30, hidden_size=-1, head_dim=2 ** 31, rope_theta=float("inf")),
    "0_twice": b'{"architectures": ["LlamaForCausalLM"], "hidden_size": 4, "hidden_size": 8}',
    "0_deep": b'{"a": ' + b"[" * 600 + b"]" * 600 + b"}",
    "1_generation": json.dumps({"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [0, 1, -1, 2 ** 40]}).encode(),
    "1_wrong": b'{"temperature": "hot", "top_k": -5, "eos_token_id": {"a": 1}}',
    "2_template": json.dumps({"bos_token": {"content": "a"}, "eos_token": "b", "add_bos_token": True, "chat_template": [
        {"name": "default", "template": "{{ bos_token }}"}, {"name": "tool_use", "template": "{{ tools | length }}"}]}).encode(),
    "2_wrong": b'{"chat_template": [{"name": 1}], "bos_token": []}',
    "3_map": json.dumps({"bos_token": "a", "eos_token": {"content": "b", "lstrip": False}, "pad_token": None}).encode(),
    "4_template": json.dumps({"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}).encode(),
    "4_loop": json.dumps({"chat_template": "{% for i in range(999999999) %}x{% endfor %}"}).encode(),
}


def write(name, seeds):
    folder = os.path.join(FOLDER, name)
    os.makedirs(folder, exist_ok=True)
    for seed, content in seeds.items():
        with open(os.path.join(folder, seed), "wb") as file:
            file.write(seed[0].encode() + content)
    print(f"{len(seeds)} seeds in {folder}")


write("safetensors", SEEDS)
write("configuration", CONFIGURATIONS)
