"""Makes tests/model/data/<name>/: tiny random Llama-like checkpoints in bf16 as transformers writes them, and golden.bin, what transformers computes from
them in fp32 on a CPU:

    n_ids int32 | n_vocabulary int32 | ids int32[n_ids] | log-probabilities of the token after ids[0..i] float32[n_ids][n_vocabulary]

Weights are drawn so that the spread of a row's logits (standard deviation) lies between 2 and 4: flat rows would hide errors.
Run with torch, transformers and safetensors:  make_llama_goldens.py [NAME ...]
"""
import json
import os
import struct
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
VOCABULARY, POSITIONS = 128, 48
SIZES = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=128, bos_token_id=1, eos_token_id=2, rms_norm_eps=1e-5)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
CASES = {
    "llama_tied": (LlamaConfig, LlamaForCausalLM, dict(tie_word_embeddings=True), None),
    "llama_biases": (LlamaConfig, LlamaForCausalLM, dict(tie_word_embeddings=False, attention_bias=True, mlp_bias=True, head_dim=16), None),
    "llama_rope_llama3": (LlamaConfig, LlamaForCausalLM, dict(tie_word_embeddings=True, rope_parameters={**LLAMA3, "rope_theta": 500.0}), None),
    "llama_rope_linear": (LlamaConfig, LlamaForCausalLM,
                          dict(tie_word_embeddings=True, rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}), None),
    "mistral_window": (MistralConfig, MistralForCausalLM, dict(tie_word_embeddings=False, sliding_window=8), None),
    "llama_shards": (LlamaConfig, LlamaForCausalLM, dict(tie_word_embeddings=False), "16KB"),
}
# How older versions of transformers wrote the same: both spellings stay tested.
OLD_SPELLING = {"llama_rope_llama3"}


def draw(model, generator):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif "q_proj" in name or "k_proj" in name:
                parameter.copy_(noise * 2.5 / parameter.shape[-1] ** 0.5)  # attention that looks somewhere
            elif "embed" in name or "lm_head" in name:
                parameter.copy_(noise * 3 / parameter.shape[-1] ** 0.5)
            else:
                parameter.copy_(noise / parameter.shape[-1] ** 0.5)
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().float())


def use_old_spelling(folder):
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    scaling = config.pop("rope_parameters")
    config["rope_theta"] = int(scaling.pop("rope_theta"))
    config["rope_scaling"] = scaling
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)


def make(name):
    configuration, family, options, shard_size = CASES[name]
    generator = torch.Generator().manual_seed(20)
    model = family(configuration(**SIZES, **options, attn_implementation="eager")).eval()
    draw(model, generator)
    ids = torch.randint(3, VOCABULARY, (1, POSITIONS), generator=generator)
    with torch.no_grad():
        logits = model(ids).logits[0].double()
    spread = logits.std(-1).mean().item()
    assert 2 <= spread <= 4, (name, spread)
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder, **({"max_shard_size": shard_size} if shard_size else {}))
    if name in OLD_SPELLING:
        use_old_spelling(folder)
    rows = torch.log_softmax(logits, -1).float().contiguous()
    with open(os.path.join(folder, "golden.bin"), "wb") as file:
        file.write(struct.pack(f"<2i{POSITIONS}i", POSITIONS, VOCABULARY, *ids[0].tolist()))
        file.write(rows.numpy().tobytes())
    size = sum(os.path.getsize(os.path.join(folder, each)) for each in os.listdir(folder))
    print(f"{name}: spread {spread:.2f}, {size} bytes, {sorted(os.listdir(folder))}")


for chosen in sys.argv[1:] or CASES:
    make(chosen)
