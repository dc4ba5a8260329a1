"""Makes tests/model/data/<name>/: tiny random checkpoints in bf16 as transformers writes them, and golden.bin, what transformers computes from them in
fp32 on a CPU:

    n_ids int32 | n_vocabulary int32 | ids int32[n_ids] | log-probabilities of the token after ids[0..i] float32[n_ids][n_vocabulary]

and of some of them model.gguf, the same weights as llama.cpp's converter lays them out: names, query and key rows permuted so that rotary pairs are
adjacent (Llama, SmolLM3), Llama 3's frequencies as a tensor of factors.

Weights are drawn so that the spread of a row's logits (standard deviation) lies between 2 and 4: flat rows would hide errors.
Run with torch, transformers, safetensors and gguf:  make_goldens.py [NAME ...]
"""
import json
import math
import os
import struct
import sys

import gguf
import numpy
import torch
import transformers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
VOCABULARY, POSITIONS = 128, 48
SIZES = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=None, rms_norm_eps=1e-5)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 500.0}
TIED, UNTIED = dict(tie_word_embeddings=True), dict(tie_word_embeddings=False)
# name: (family, options, what else)
CASES = {
    "llama_tied": ("Llama", TIED),
    "llama_biases": ("Llama", dict(UNTIED, attention_bias=True, mlp_bias=True, head_dim=16), "gguf"),
    "llama_rope_llama3": ("Llama", dict(TIED, rope_parameters={**LLAMA3, "rope_theta": 500.0}), "gguf", "old spelling"),
    "llama_rope_linear": ("Llama", dict(TIED, rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0})),
    "llama_rope_dynamic": ("Llama", dict(TIED, rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 100.0})),
    "llama_rope_yarn": ("Llama", dict(TIED, rope_parameters={**YARN, "beta_fast": 4.0, "beta_slow": 0.5}), "gguf"),
    "llama_rope_yarn_scaled": ("Llama", dict(TIED, rope_parameters={**YARN, "mscale": 1.5, "mscale_all_dim": 0.5, "truncate": False}), "old spelling"),
    "llama_shards": ("Llama", UNTIED, "shards"),
    "mistral_window": ("Mistral", dict(UNTIED, sliding_window=8)),
    "mistral_heads": ("Mistral", dict(UNTIED, sliding_window=None, head_dim=24)),
    "ministral_layers": ("Ministral", dict(UNTIED, head_dim=8, sliding_window=8, layer_types=["full_attention", "sliding_attention"])),
    "smollm3": ("SmolLM3", dict(TIED, num_hidden_layers=4, no_rope_layer_interval=4), "gguf"),
    "smollm3_window": ("SmolLM3", dict(UNTIED, num_hidden_layers=3, no_rope_layers=[1, 0, 1], use_sliding_window=True, sliding_window=8, attention_bias=True)),
    "qwen2": ("Qwen2", TIED, "gguf"),
    "qwen2_window": ("Qwen2", dict(UNTIED, num_hidden_layers=3, use_sliding_window=True, sliding_window=8, max_window_layers=1, rope_parameters=YARN)),
    "qwen3": ("Qwen3", dict(TIED, head_dim=16), "gguf"),
}


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
    """How older versions of transformers wrote the same: both spellings stay tested."""
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    scaling = config.pop("rope_parameters")
    config["rope_theta"] = int(scaling.pop("rope_theta"))
    config["rope_scaling"] = scaling
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)


# ---- GGUF

GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    stem, suffix = name.rsplit(".", 1)
    layer = ""
    if stem.startswith("model.layers."):
        number, stem = stem[len("model.layers."):].split(".", 1)
        layer = f"blk.{number}."
    return f"{layer}{GGUF_NAMES[stem]}.{suffix}"


def permute(rows, n_heads):
    """From halves of a head to adjacent pairs: row i of a head's first half goes to 2i, of its second half to 2i + 1."""
    return rows.reshape(n_heads, 2, -1, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)


def llama3_factors(rope, width):
    frequency = rope["rope_theta"] ** (-torch.arange(0, width, 2).double() / width)
    wavelength, original = 2 * math.pi / frequency, rope["original_max_position_embeddings"]
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    smooth = ((original / wavelength - low) / (high - low)).clamp(0, 1)
    return 1 / ((1 - smooth) / factor + smooth)


def write_gguf(model, name, path):
    config, architecture = model.config, CASES[name][0].lower()
    writer = gguf.GGUFWriter(path, architecture)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(width)
    writer.add_key_length(width)
    writer.add_value_length(width)
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    if rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(rope, width).float().numpy())
    for key, value in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if architecture in ("llama", "smollm3") and ("q_proj" in key or "k_proj" in key):
            value = permute(value, config.num_attention_heads if "q_proj" in key else config.num_key_value_heads)
        if value.dim() == 1:
            writer.add_tensor(gguf_name(key), value.float().numpy())
        else:
            bits = value.bfloat16().view(torch.int16).numpy().view(numpy.uint8)
            writer.add_tensor(gguf_name(key), bits, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ---- the whole

def make(name):
    family, options, *what = CASES[name]
    generator = torch.Generator().manual_seed(20)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **options}, attn_implementation="eager")
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    draw(model, generator)
    ids = torch.randint(3, VOCABULARY, (1, POSITIONS), generator=generator)
    with torch.no_grad():
        logits = model(ids).logits[0].double()
    spread = logits.std(-1).mean().item()
    assert 2 <= spread <= 4, (name, spread)
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    if "gguf" in what:
        write_gguf(model, name, os.path.join(folder, "model.gguf"))
    model.to(torch.bfloat16).save_pretrained(folder, **({"max_shard_size": "16KB"} if "shards" in what else {}))
    if "old spelling" in what:
        use_old_spelling(folder)
    rows = torch.log_softmax(logits, -1).float().contiguous()
    with open(os.path.join(folder, "golden.bin"), "wb") as file:
        file.write(struct.pack(f"<2i{POSITIONS}i", POSITIONS, VOCABULARY, *ids[0].tolist()))
        file.write(rows.numpy().tobytes())
    size = sum(os.path.getsize(os.path.join(folder, each)) for each in os.listdir(folder))
    print(f"{name}: spread {spread:.2f}, {size} bytes, {sorted(os.listdir(folder))}")


for chosen in sys.argv[1:] or CASES:
    make(chosen)
