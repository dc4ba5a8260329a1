#!/usr/bin/env python3
"""Makes the goldens of `sampan score`: what the default model says when computed by transformers in fp32 on the dequantised weights.

    python make_goldens.py MODEL.gguf            writes data/smollm2.json and data/smollm2.top64

The oracle. LlamaForCausalLM with eager attention in fp32; every tensor comes from gguf.dequantize, and the row permutation of the query and key weights
is undone (GGUF stores them for rotary pairs (2i, 2i + 1), transformers rotates (i, i + half)). Logits are fp32; log-probabilities are taken in double
and rounded once to fp32.

Files. smollm2.json: the ids of data/text.txt, the greedy continuations with the margin between the two best logits at each generated token, versions and
hashes. smollm2.top64, little-endian, for each position of the text in order: 64 x uint16 ids (descending probability), 64 x float32 log-probabilities,
1 x float32 log of the probability of everything else.

Needs: torch, transformers, gguf, tokenizers, jinja2, numpy. No test needs any of these: tests read the two files with Python's standard library.
"""
import hashlib
import json
import pathlib
import struct
import sys

import gguf
import jinja2
import jinja2.sandbox
import numpy
import tokenizers
import torch
import transformers

HERE = pathlib.Path(__file__).parent
TOP = 64
GENERATE = 64

PLAIN_PROMPTS = {
    "prose": "The old clockmaker opened the letter, read it slowly, and",
    "code": "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
    "list": "The days of the week are: Monday, Tuesday,",
}
CHAT_PROMPTS = {
    "chat_two_plus_two": [{"role": "user", "content": "What is 2+2?"}],
    "chat_water": [{"role": "user", "content": "Why does ice float on water? Answer in one sentence."}],
    "chat_history": [
        {"role": "system", "content": "You answer briefly."},
        {"role": "user", "content": "Name a colour."},
        {"role": "assistant", "content": "Blue."},
        {"role": "user", "content": "Name another one."},
    ],
}


def read_fields(path):
    reader = gguf.GGUFReader(path)
    return reader, {name: field.contents() for name, field in reader.fields.items()}


def make_tokenizer(fields):
    """SmolLM2's tokenizer from the file's own vocabulary: digits one by one, then GPT-2's byte-level pattern, then ranked merges."""
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.Digits(individual_digits=True), tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, fields["tokenizer.ggml.token_type"]) if kind == 3]
    tokenizer.add_special_tokens(control)
    return tokenizer


PARTS = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def load_model(reader, fields):
    config = transformers.LlamaConfig(
        vocab_size=fields["llama.vocab_size"],
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=fields["llama.attention.head_count"],
        num_key_value_heads=fields["llama.attention.head_count_kv"],
        max_position_embeddings=fields["llama.context_length"],
        rms_norm_eps=fields["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    state = {}
    for tensor in reader.tensors:
        weight = torch.from_numpy(numpy.array(gguf.dequantize(tensor.data, tensor.tensor_type), dtype=numpy.float32))
        if tensor.name == "token_embd.weight":
            state["model.embed_tokens.weight"] = state["lm_head.weight"] = weight
        elif tensor.name == "output_norm.weight":
            state["model.norm.weight"] = weight
        else:
            _, layer, part, _ = tensor.name.split(".")
            if part in ("attn_q", "attn_k"):
                heads = config.num_attention_heads if part == "attn_q" else config.num_key_value_heads
                weight = weight.reshape(heads, weight.shape[0] // heads // 2, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
            state[f"model.layers.{layer}.{PARTS[part]}.weight"] = weight.contiguous()
    model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(state, strict=True)
    model.eval()
    assert abs(model.model.rotary_emb.inv_freq[1].item() - fields["llama.rope.freq_base"] ** (-2 / 64)) < 1e-6
    return model


def score(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    assert logits.dtype == torch.float32
    return logits


def write_top(path, logits):
    probabilities = torch.log_softmax(logits.double(), dim=-1)
    values, ids = torch.topk(probabilities, TOP, dim=-1)
    with open(path, "wb") as out:
        for row in range(logits.shape[0]):
            rest = probabilities[row].clone()
            rest[ids[row]] = -float("inf")
            out.write(struct.pack(f"<{TOP}H", *ids[row].tolist()))
            out.write(struct.pack(f"<{TOP}f", *values[row].tolist()))
            out.write(struct.pack("<f", torch.logsumexp(rest, 0).item()))


def generate(model, prompt):
    """Greedy, recomputed from the start at every token: slow, and free of any cache. Ends after GENERATE tokens, end-of-text included or not."""
    ids, margins = [], []
    for _ in range(GENERATE):
        best = torch.topk(score(model, prompt + ids)[-1], 2)
        ids.append(best.indices[0].item())
        margins.append(round((best.values[0] - best.values[1]).item(), 6))
    return ids, margins


def main():
    path = pathlib.Path(sys.argv[1]).resolve()
    torch.set_num_threads(2)
    reader, fields = read_fields(path)
    tokenizer = make_tokenizer(fields)
    model = load_model(reader, fields)
    text = (HERE / "data/text.txt").read_text(encoding="utf-8")
    ids = tokenizer.encode(text).ids
    logits = score(model, ids)
    write_top(HERE / "data/smollm2.top64", logits)
    nll = torch.nn.functional.cross_entropy(logits[:-1].double(), torch.tensor(ids[1:])).item()
    print(f"{len(ids)} tokens, perplexity {numpy.exp(nll):.3f}")

    # As transformers renders chat templates: sandboxed, blocks trimmed.
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(fields["tokenizer.chat_template"])
    prompts = dict(PLAIN_PROMPTS)
    for name, messages in CHAT_PROMPTS.items():
        prompts[name] = template.render(messages=messages, add_generation_prompt=True)
    generations = []
    for name, prompt in prompts.items():
        prompt_ids = tokenizer.encode(prompt).ids
        generated, margins = generate(model, prompt_ids)
        generations.append({"name": name, "text": prompt, "prompt": prompt_ids, "generated": generated, "margins": margins,
                            "generated_text": tokenizer.decode(generated, skip_special_tokens=False)})
        print(f"{name}: smallest margin {min(margins)}: {generations[-1]['generated_text']!r}")

    golden = {
        "how": f"tests/score/make_goldens.py: transformers {transformers.__version__}, torch {torch.__version__}, gguf's dequantised weights, fp32",
        "model": path.name,
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "text": "text.txt",
        "top": TOP,
        "perplexity": round(float(numpy.exp(nll)), 4),
        "end_ids": [0, fields["tokenizer.ggml.eos_token_id"]],
        "ids": ids,
        "generations": generations,
    }
    with open(HERE / "data/smollm2.json", "w", encoding="utf-8") as out:
        json.dump(golden, out, ensure_ascii=True, indent=None, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
