#!/usr/bin/env python3
"""sampan check as a stranger uses it: one chip, all chips, JSON, refusals, models far larger than this machine, broken ones.

Usage: test_check.py SAMPAN MAKE_TINY [unittest arguments]     Python's standard library only."""
import json
import os
import struct
import unittest

import test_cli as cli

LLAMA_70B = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 8192, "intermediate_size": 28672,
             "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
             "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16"}


def llama_tensors(config):
    hidden, feed = config["hidden_size"], config["intermediate_size"]
    kv = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", [config["vocab_size"], hidden]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        for name, shape in (("self_attn.q_proj", [hidden, hidden]), ("self_attn.k_proj", [kv, hidden]), ("self_attn.v_proj", [kv, hidden]),
                            ("self_attn.o_proj", [hidden, hidden]), ("mlp.gate_proj", [feed, hidden]), ("mlp.up_proj", [feed, hidden]),
                            ("mlp.down_proj", [hidden, feed]), ("input_layernorm", [hidden]), ("post_attention_layernorm", [hidden])):
            yield f"{layer}{name}.weight", shape
    yield "model.norm.weight", [hidden]
    yield "lm_head.weight", [config["vocab_size"], hidden]


def make_sparse_folder(name, config):
    """A folder whose safetensors file has the header of a whole model and holes for weights."""
    folder = cli.path_of(name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="ascii") as file:
        json.dump(config, file)
    header, offset = {}, 0
    for tensor, shape in llama_tensors(config):
        size = 2
        for extent in shape:
            size *= extent
        header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    return folder, offset


class Check(cli.Case):
    def answer(self, *arguments, code=0):
        got, out, err = cli.call("check", *arguments, "--json")
        self.assertEqual(got, code, err)
        return json.loads(out), err

    def test_one_chip_in_detail_shows_every_figure_with_its_source(self):
        text = self.ok("check", cli.TINY, "--chip", "cpu", "--price", "2")
        for words in ("runs             yes", "weights", "step buffers", "keys and values", "fits", "bandwidth", "measured now", "one stream", "16 streams",
                      "prompts", "per million tokens generated", "2 per hour"):
            self.assertIn(words, text)

    def test_numbers_agree_with_each_other(self):
        report, _ = self.answer(cli.TINY, "--chip", "cpu", "--context", "100", "--batch", "3", "--price", "2")
        chip = report["chips"][0]
        self.assertEqual((chip["runs"], chip["verdict"], chip["refused"], chip["context"], chip["streams"]), (True, "runs", [], 100, 3))
        self.assertEqual(sum(form["bytes"] for form in chip["held_as"]), chip["weight_bytes"])
        # f16, two layers, two heads of 16 + 16: 256 bytes a token; blocks of 64 tokens
        self.assertEqual((chip["cache_bytes_per_token"], chip["cache_bytes_per_sequence"], chip["cache_bytes"]), (256, 32768, 3 * 32768))
        bandwidth = chip["figures"]["bandwidth_bytes_per_second"]
        for name in ("one_stream", "all_streams", "one_stream_start"):
            speed = chip["speeds"][name]
            self.assertAlmostEqual(speed["memory_seconds"] * bandwidth / speed["bytes_per_step"], 1, 6)
            if speed["bound_by"] == "memory":
                self.assertAlmostEqual(speed["tokens_per_second"] * speed["memory_seconds"] / speed["streams"], 1, 6)
        self.assertAlmostEqual(chip["cost_per_million_generated"], 2 / 3600 * 1e6 / chip["speeds"]["all_streams"]["tokens_per_second"], 6)

    def test_without_a_chip_each_gets_a_row(self):
        report, _ = self.answer(cli.TINY)
        names = [chip["chip"] for chip in report["chips"]]
        for name in ("cpu:avx512", "cpu:avx2", "cpu:portable", "reference"):
            self.assertIn(name, names)
        text = self.ok("check", cli.TINY, "--no-measure")
        for name in names:
            self.assertIn(f"\n{name} ", text)

    def test_without_measuring_speeds_stay_unknown_and_memory_known(self):
        report, _ = self.answer(cli.TINY, "--chip", "cpu", "--no-measure")
        chip = report["chips"][0]
        self.assertIsNone(chip["figures"]["bandwidth_bytes_per_second"])
        self.assertIsNone(chip["speeds"]["one_stream"]["tokens_per_second"])
        self.assertGreater(chip["weight_bytes"], 0)
        self.assertIn("not known", self.ok("check", cli.TINY, "--chip", "cpu", "--no-measure"))

    def test_unknown_names_list_what_there_is(self):
        self.fails(1, "check", cli.TINY, "--chip", "abacus", saying=["abacus", "cpu", "reference"])
        self.fails(1, "check", cli.TINY, "--chip", "cpu:z80", saying=["z80", "avx512", "portable"])
        self.fails(2, "check", cli.TINY, "--chip", "cpu,threads=2", saying="threads=2")
        self.fails(2, "check", cli.TINY, "--batch", "0", saying="--batch")
        self.fails(2, "check", cli.TINY, "--price", "-1", saying="--price")
        self.fails(2, "check", cli.TINY, "--ops", saying="--ops")
        self.fails(2, "check", cli.TINY, "--chip", "cpu", "--cache-type", "f17", saying="f17")

    def test_what_is_refused_is_told_with_its_reason_and_exit_code_1(self):
        report, err = self.answer(cli.TINY, "--chip", "cpu", "--cache-type", "q8_0", code=1)
        chip = report["chips"][0]
        self.assertEqual((chip["runs"], chip["verdict"]), (False, "refused"))
        self.assertEqual([(row["operation"], row["operations"], row["where"]) for row in chip["refused"]],
                         [("rope_cache", 2, "layers 0-1"), ("attention", 2, "layers 0-1")])
        self.assertIn("q8_0", chip["problem"])
        self.assertTrue(err.startswith("sampan: ") and err.count("\n") == 1 and "does not run on cpu:" in err, err)
        code, out, _ = cli.call("check", cli.TINY, "--chip", "cpu", "--cache-type", "q8_0")
        self.assertEqual(code, 1)
        self.assertIn("runs             no: ", out.decode())
        self.assertIn("layers 0-1", out.decode())

    def test_a_context_beyond_the_models_does_not_run(self):
        report, err = self.answer(cli.TINY, "--chip", "cpu", "--context", "513", code=1)
        self.assertEqual(report["chips"][0]["verdict"], "context too long")
        self.assertIn("use 512 or less", err)

    def test_a_model_far_larger_than_this_machine_is_answered_from_its_header(self):
        try:
            folder, weight_bytes = make_sparse_folder("llama70b", LLAMA_70B)
        except OSError as error:
            self.skipTest(f"no sparse files of 141 GB here: {error}")
        report, _ = self.answer(folder, "--context", "8192", "--batch", "4", "--no-measure")
        self.assertEqual((report["parameters"], report["weight_bytes"]), (70553706496, weight_bytes))
        verdicts = {chip["chip"]: chip["verdict"] for chip in report["chips"]}
        self.assertEqual(verdicts["ascend:910B4"], "weights too large")
        self.assertEqual(verdicts["ascend:910C-9392+w8a8"], "weights too large")
        for chip in report["chips"]:
            if chip["chip"].startswith("cpu:"):
                # 80 layers, 8 heads of 128 + 128, f16
                self.assertEqual((chip["cache_bytes_per_token"], chip["cache_bytes"]), (327680, 4 * 8192 * 327680))
                self.assertIn(chip["verdict"], ("weights too large", "runs"))  # the second on a machine without known memory

    def test_unknown_families_and_broken_models_are_clear_errors(self):
        folder, _ = make_sparse_folder("mamba", {**LLAMA_70B, "architectures": ["MambaForCausalLM"], "num_hidden_layers": 1, "hidden_size": 64,
                                                 "intermediate_size": 64, "vocab_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2})
        self.fails(1, "check", folder, saying=["MambaForCausalLM", "llama"])
        self.fails(1, "check", cli.path_of("nothing.gguf"), saying="nothing.gguf")
        self.fails(1, "check", cli.path_of("noise.gguf", b"GGUF" + os.urandom(200)), saying="noise.gguf")

    def test_broken_configurations_name_what_is_wrong(self):
        """Hostile values of every size the program is written from: a sentence, never a crash or a wrong answer."""
        small = {**LLAMA_70B, "num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 128, "vocab_size": 64, "num_attention_heads": 4,
                 "num_key_value_heads": 2, "max_position_embeddings": 128}
        folder, _ = make_sparse_folder("small", small)
        self.ok("check", folder, "--chip", "cpu", "--no-measure")
        for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size",
                    "max_position_embeddings", "rms_norm_eps", "rope_theta", "hidden_act"):
            for value in (0, -1, 3, 2**31 - 1, 2**63, 1e308, "64", None, []):
                with open(os.path.join(folder, "config.json"), "w", encoding="ascii") as file:
                    json.dump({**small, key: value}, file)
                code, out, err = cli.call("check", folder, "--chip", "cpu", "--no-measure")
                self.assertIn(code, (0, 1), f"{key}={value!r}: {err}")
                if code:
                    self.assertTrue(err.startswith("sampan: ") and err.count("\n") == 1, f"{key}={value!r}: {err!r}")
                else:
                    self.assertIn("runs             yes", out.decode(), f"{key}={value!r}")

    def test_the_table_of_operations_is_the_document(self):
        self.assertEqual(self.ok("check", "--ops"), (cli.ROOT / "docs/OPS.md").read_text(encoding="utf-8"))


class InspectMemory(cli.Case):
    """sampan inspect --context --batch."""

    def test_memory_is_reckoned_for_conversations(self):
        text = self.ok("inspect", cli.TINY, "--context", "100", "--batch", "3")
        self.assertIn("all positions, 2 layers, 256 bytes per token", text)
        self.assertRegex(text, r"\nmemory +3 of 100 tokens: .* of weights and 75\.0 KiB of cache, ")
        self.assertNotIn("\nmemory ", self.ok("inspect", cli.TINY))
        report = json.loads(self.ok("inspect", cli.TINY, "--context", "100", "--batch", "3", "--json"))
        self.assertEqual([(group["kind"], group["layers"], group["bytes_per_token_f16"]) for group in report["cache_groups"]], [("all positions", 2, 256)])
        self.assertEqual(report["memory"], {"context": 100, "conversations": 3, "weight_bytes": report["weight_bytes"], "cache_bytes_f16": 3 * 100 * 256})
        self.fails(1, "inspect", cli.TINY, "--context", "513", saying="512")

    def test_a_window_keeps_no_more_than_its_width(self):
        config = {**LLAMA_70B, "architectures": ["MistralForCausalLM"], "model_type": "mistral", "num_hidden_layers": 2, "hidden_size": 64,
                  "intermediate_size": 128, "vocab_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
                  "sliding_window": 128}
        folder, _ = make_sparse_folder("window", config)
        report = json.loads(self.ok("inspect", folder, "--context", "1000", "--json"))
        self.assertEqual([(group["kind"], group["window"]) for group in report["cache_groups"]], [("a window", 128)])
        self.assertEqual(report["memory"]["cache_bytes_f16"], 128 * 256)
        chip = json.loads(self.ok("check", folder, "--chip", "cpu", "--context", "4000", "--no-measure", "--json"))["chips"][0]
        # the window, the 512 rows of a step, one block of 64 that both only touch: 11 blocks
        self.assertEqual(chip["cache_bytes_per_sequence"], 11 * 64 * 256)
        self.assertEqual(chip["speeds"]["one_stream"]["bytes_per_step"] - chip["speeds"]["one_stream_start"]["bytes_per_step"], 128 * 256)


if __name__ == "__main__":
    cli.main()
