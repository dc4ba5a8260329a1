#!/usr/bin/env python3
"""The commands as a stranger uses them: the built program, run from outside, on a tiny random model and, where it is there, on the default model.

Usage: test_cli.py SAMPAN MAKE_TINY [unittest arguments]     Python's standard library only.
The default model: environment SAMPAN_TEST_MODEL, else models/SmolLM2-135M-Instruct.Q4_1.gguf in the repository; tests that need it are skipped without it."""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEFAULT_MODEL = os.environ.get("SAMPAN_TEST_MODEL") or str(ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf")
COMMANDS = ["run", "inspect", "check", "bench", "doctor", "score", "tokenize", "render", "completion", "man", "version"]
TIMEOUT = 60
SAMPAN = MAKE_TINY = ""
FOLDER = TINY = LONG_TINY = BARE_TINY = ""


def call(*arguments, stdin=b"", environment=None, timeout=TIMEOUT):
    """(exit code, standard output, standard error), as bytes, text, text; never inherits a terminal."""
    done = subprocess.run([SAMPAN, *arguments], input=stdin, capture_output=True, timeout=timeout, env={**os.environ, **(environment or {})}, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def path_of(name, content=None):
    path = os.path.join(FOLDER, name)
    if content is not None:
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
    return path


def make_tiny(name, *options):
    path = path_of(name)
    subprocess.run([MAKE_TINY, *options, path], check=True, timeout=TIMEOUT)
    return path


class Terminal:
    """The program on a pseudo terminal: type lines, wait for text."""

    def __init__(self, *arguments, environment=None):
        self.shown = ""
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", **(environment or {})})
            os.execv(SAMPAN, [SAMPAN, *arguments])

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def wait_for(self, pattern, seconds=TIMEOUT):
        """Reads until the pattern is shown; returns and forgets what was shown up to its end."""
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.shown)):
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"{pattern!r} was not shown in {seconds} s; shown: {self.shown!r}")
            try:
                piece = os.read(self.descriptor, 65536)
            except OSError:
                piece = b""
            if not piece:
                raise AssertionError(f"ended before {pattern!r} was shown; shown: {self.shown!r}")
            self.shown += piece.decode("utf-8", "replace")
        found = self.shown[:match.end()]
        self.shown = self.shown[match.end():]
        return found

    def finish(self, seconds=TIMEOUT):
        """(exit code, what else was shown)"""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ready, _, _ = select.select([self.descriptor], [], [], 0.05)
            try:
                piece = os.read(self.descriptor, 65536) if ready else b""
            except OSError:
                piece = b""
            self.shown += piece.decode("utf-8", "replace")
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.pid = 0
                return os.waitstatus_to_exitcode(status), self.shown
        raise AssertionError(f"still running; shown: {self.shown!r}")

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.descriptor)


class Case(unittest.TestCase):
    def ok(self, *arguments, **options):
        code, out, err = call(*arguments, **options)
        self.assertEqual((code, err), (0, ""), f"{arguments}: exit {code}, {err}")
        return out.decode()

    def fails(self, code, *arguments, saying=(), **options):
        """One clear line on standard error, nothing on standard output."""
        got, out, err = call(*arguments, **options)
        self.assertEqual(got, code, f"{arguments}: exit {got}, {err}")
        self.assertTrue(err.startswith("sampan: ") and err.endswith("\n") and err.count("\n") == 1, f"{arguments}: {err!r}")
        self.assertEqual(out, b"", f"{arguments}")
        for text in [saying] if isinstance(saying, str) else saying:
            self.assertIn(text, err)
        return err

    def terminal(self, *arguments, **options):
        try:
            for end in os.openpty():
                os.close(end)
        except OSError as error:
            self.skipTest(f"no pseudo terminals here: {error}")
        terminal = Terminal(*arguments, **options)
        self.addCleanup(terminal.close)
        return terminal


class CommandLine(Case):
    def test_every_command_explains_itself_with_examples(self):
        listing = self.ok("--help")
        for name in COMMANDS:
            self.assertIn(f"\n  {name} ", listing)
            for words in ([name, "--help"], [name, "-h"], ["help", name]):
                text = self.ok(*words)
                self.assertIn("Examples:\n  ", text)
                self.assertIn(f"sampan {name}", text.split("Examples:")[1])
                self.assertLess(max(len(line) for line in text.split("\n")), 180)

    def test_without_a_command_it_says_how_to_call_it(self):
        code, out, err = call()
        self.assertEqual((code, out), (2, b""))
        self.assertIn("Usage: sampan COMMAND", err)

    def test_mistyped_names_get_a_suggestion(self):
        self.fails(2, "rnu", saying="'run'")
        self.fails(2, "inspekt", saying="'inspect'")
        self.fails(2, "quantum", saying="--help")
        self.fails(2, "run", "--promt", "x", saying="--prompt")
        self.fails(2, "run", "--temprature=1", saying="--temperature")
        self.fails(2, "score", TINY, "--frobnicate", saying="--frobnicate")
        self.fails(2, "--helpme")
        self.fails(2, "run", "-x", saying="-x")

    def test_wrong_values_are_named(self):
        self.fails(2, "run", "--max-tokens", "many", saying=["--max-tokens many", "whole number"])
        self.fails(2, "run", "--max-tokens", "-3")
        self.fails(2, "run", "--max-tokens=99999999999999999999")
        self.fails(2, "run", "--temperature", "nan")
        self.fails(2, "run", "--top-p", "1.5", saying="0 to 1")
        self.fails(2, "run", "--cache-memory", "12X", saying="512M")
        self.fails(2, "run", "--prompt", saying="needs a value")
        self.fails(2, "run", "--raw=yes", saying="no value")
        for wrong in ("5", "5=", "=1", "-1=1", "5=1,", "5=1,x", "5=nan", "5=inf", "5=1001", "99999999=1", "5=1 "):
            self.fails(2, "run", "--logit-bias", wrong, saying="ID=BIAS")
        self.fails(2, "run", "--seed", "1", "--seed", "2", saying="twice")
        self.fails(2, "run", "a", "b", saying="'b'")
        self.fails(2, "score", saying="usage")
        self.fails(2, "score", TINY, saying="--ids")
        self.fails(2, "score", TINY, "--ids", "x", "--text", "y")
        self.fails(2, "tokenize", TINY, saying="--jsonl")
        self.fails(2, "render", TINY, saying="--conversation")
        self.fails(2, "run", "--stream", saying="--json")

    def test_version(self):
        version = json.loads(self.ok("version", "--json"))["version"]
        self.assertRegex(version, r"^\d+\.\d+\.\d+$")
        self.assertEqual(self.ok("--version"), f"sampan {version}\n")

    def test_a_default_model_that_is_not_there_is_explained(self):
        program = path_of("alone/sampan")
        os.makedirs(os.path.dirname(program), exist_ok=True)
        shutil.copy(SAMPAN, program)
        environment = {key: value for key, value in os.environ.items() if key != "SAMPAN_MODEL"}
        done = subprocess.run([program, "inspect"], capture_output=True, cwd=FOLDER, env=environment, timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("./run fetches it", done.stderr.decode())

    def test_the_environment_names_the_default_model(self):
        self.assertIn(TINY, self.ok("inspect", environment={"SAMPAN_MODEL": TINY}))


class BadFiles(Case):
    def each_command(self, path, **expected):
        ids = path_of("ids.json", "[1, 2]")
        chat = path_of("chat.json", '{"messages": [{"role": "user", "content": "hi"}]}')
        for words in (["run", path, "--prompt", "hi"], ["inspect", path], ["bench", path], ["score", path, "--ids", ids], ["tokenize", path, "--text", "x"],
                      ["render", path, "--conversation", chat]):
            self.fails(1, *words, **expected)

    def test_what_is_not_there(self):
        self.each_command(path_of("nothing.gguf"), saying="nothing.gguf")

    def test_a_folder(self):
        self.each_command(FOLDER, saying=FOLDER)

    def test_an_empty_file(self):
        self.each_command(path_of("empty.gguf", b""), saying="empty.gguf")

    def test_a_text_file(self):
        self.each_command(path_of("text.gguf", "this is not a model\n" * 100))

    def test_a_device(self):
        self.each_command("/dev/zero", saying="/dev/zero")

    def test_a_name_with_control_characters_does_not_reach_the_terminal(self):
        err = self.fails(1, "inspect", "\033[31mred")
        self.assertNotIn("\033", err)

    def test_truncated_anywhere(self):
        with open(TINY, "rb") as file:
            whole = file.read()
        for length in [3, 4, 8, 20, 23, 24, 100, 1000, len(whole) // 2, len(whole) - 1]:
            path = path_of("cut.gguf", whole[:length])
            self.fails(1, "run", path, "--prompt", "hi", saying="cut.gguf")
            self.fails(1, "inspect", path)

    def test_bytes_changed_in_the_header_never_crash(self):
        with open(TINY, "rb") as file:
            whole = bytearray(file.read())
        for at in list(range(4, 40)) + list(range(40, 4000, 331)):
            changed = bytearray(whole)
            changed[at] ^= 0xFF
            code, _, err = call("inspect", path_of("changed.gguf", bytes(changed)))
            self.assertIn(code, (0, 1), f"byte {at}: exit {code}, {err}")

    def test_an_unknown_architecture_is_described_and_refused(self):
        with open(TINY, "rb") as file:
            whole = file.read()
        path = path_of("alien.gguf", whole.replace(b"llama", b"alien"))
        out = self.ok("inspect", path)
        self.assertIn("alien", out)
        self.assertRegex(out, r"runs here +no: ")
        self.assertIn("general.architecture", out)
        self.assertFalse(json.loads(self.ok("inspect", path, "--json"))["runs"])
        self.fails(1, "run", path, "--prompt", "hi", saying="alien")
        self.fails(1, "inspect", path, "--program", saying="alien")

    def test_quantising_is_shown_by_tensor_and_refused_where_there_is_nothing_to(self):
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model", "data", "qwen3")
        out = self.ok("inspect", folder, "--quantize", "q4_0")
        self.assertRegex(out, r"model\.layers\.0\.self_attn\.q_proj\.weight +bf16 > q4_0 +0\.0")
        report = json.loads(self.ok("inspect", folder, "--quantize", "q8_0", "--json"))["quantization"]
        self.assertEqual(len(report), 13)
        self.assertTrue(all(row["to"] == "q8_0" and 0 < row["relative_rms"] < 0.01 < 1 and row["largest"] > 0 for row in report))
        self.fails(2, "inspect", folder, "--quantize", "q9", saying="q8_0, q6_k")
        self.fails(1, "inspect", TINY, "--quantize", "q8_0", saying="no matrix in f32, f16 or bf16")

    def test_a_folder_without_weights_tokenizes_and_renders_by_its_templates_and_says_that_it_cannot_run(self):
        folder = path_of("no_weights")
        os.makedirs(folder, exist_ok=True)
        characters = [chr(c) for c in [*range(33, 127), *range(161, 173), *range(174, 256)]]
        vocabulary = {character: index for index, character in enumerate(characters + [chr(256 + i) for i in range(256 - len(characters))])}
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        contents = {
            "config.json": {"architectures": ["LlamaForCausalLM"]},
            "tokenizer.json": {"added_tokens": [], "normalizer": None, "pre_tokenizer": byte_level, "post_processor": byte_level, "decoder": byte_level,
                               "model": {"type": "BPE", "vocab": vocabulary, "merges": []}},
            "tokenizer_config.json": {"chat_template": [{"name": "default", "template": "plain {{ messages[0].content }}"},
                                                        {"name": "tool_use", "template": "{{ tools | length }} tools {{ messages[0].content }}"}]},
            "generation_config.json": {"do_sample": True, "temperature": 0.3},
            "plain.conversation": {"messages": [{"role": "user", "content": "hi"}], "tools": []},
            "tools.conversation": {"messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function"}]},
        }
        for name, content in contents.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                json.dump(content, file)
        self.assertEqual(json.loads(self.ok("tokenize", folder, "--text", "ab")), [64, 65])
        self.assertEqual(self.ok("render", folder, "--conversation", os.path.join(folder, "plain.conversation")), "plain hi")
        self.assertEqual(self.ok("render", folder, "--conversation", os.path.join(folder, "tools.conversation")), "1 tools hi")
        out = self.ok("inspect", folder)
        self.assertIn("another for conversations with tools", out)
        self.assertRegex(out, r"sampling +temperature 0\.3, as its maker recommends")
        self.assertRegex(out, r"runs here +no: .*has no weights")
        self.fails(1, "run", folder, "--prompt", "hi", saying="neither model.safetensors nor")


class Run(Case):
    def test_a_prompt_is_answered_once_and_the_same_each_time(self):
        first = self.ok("run", TINY, "--prompt", "hello", "--max-tokens", "20")
        self.assertEqual(first, self.ok("run", TINY, "--prompt", "hello", "--max-tokens", "20"))
        self.assertTrue(first.endswith("\n"))

    def test_json_holds_text_tokens_and_counts(self):
        answer = json.loads(self.ok("run", TINY, "--prompt", "hello", "--max-tokens", "20", "--json"))
        self.assertEqual(answer["generated_tokens"], len(answer["tokens"]) + (answer["finish"] == "end"))
        self.assertLessEqual(answer["generated_tokens"], 20)
        self.assertIn(answer["finish"], ("end", "length"))
        self.assertGreater(answer["prompt_tokens"], 5)
        self.assertTrue(answer["system_fingerprint"])
        decoded = json.loads(self.ok("tokenize", TINY, "--decode", "--text", json.dumps(answer["tokens"])))
        self.assertEqual(decoded, answer["text"])

    def test_a_seed_repeats_a_sampled_answer(self):
        words = ["run", TINY, "--prompt", "hello", "--max-tokens", "30", "--temperature", "1.5", "--json", "--seed"]
        answers = [json.loads(self.ok(*words, seed))["tokens"] for seed in ("1", "1", "2")]
        self.assertEqual(answers[0], answers[1])
        self.assertNotEqual(answers[0], answers[2])

    def test_a_bias_brings_a_token_or_keeps_it_away(self):
        words = ["run", TINY, "--prompt", "hello", "--max-tokens", "8", "--json"]
        tokens = lambda *more: json.loads(self.ok(*words, *more))["tokens"]
        plain = tokens("--ignore-end")
        self.assertEqual(len(plain), 8)
        self.assertEqual(tokens("--logit-bias", "77=1000"), [77] * 8)
        self.assertEqual(tokens("--logit-bias", "77=1000", "--logit-bias", "5=2,77=-inf", "--ignore-end", "--logit-bias", "5=-2"), plain)
        self.assertNotIn(plain[0], tokens("--logit-bias", f"{plain[0]}=-inf"))
        self.assertNotEqual(tokens("--ignore-end", "--typical-p", "0.3", "--seed", "3", "--temperature", "2"),
                            tokens("--ignore-end", "--seed", "3", "--temperature", "2"))
        self.fails(1, "run", TINY, "--prompt", "x", "--logit-bias", "100000=1", saying=["logit_bias", "100000"])

    def test_an_answer_is_of_the_form_that_was_asked_for(self):
        words = ["run", TINY, "--prompt", "hello", "--temperature", "1.5", "--seed"]
        schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 77}, "s": {"type": "string", "maxLength": 5}},
                  "required": ["n", "s"], "additionalProperties": False}
        for seed in "123":
            answer = json.loads(self.ok(*words, seed, "--json-schema", json.dumps(schema)))
            self.assertTrue(3 <= answer["n"] <= 77 and len(answer["s"]) <= 5 and len(answer) == 2, answer)
            self.assertEqual(self.ok(*words, seed, "--json-schema", path_of("schema.json", json.dumps({"const": ["a", 1]}))).strip(), '["a",1]')
            self.assertRegex(self.ok(*words, seed, "--regex", "[0-9]{3}-x"), r"^[0-9]{3}-x\n?$")
            self.assertIn(self.ok(*words, seed, "--choice", "yes", "--choice", "no").strip(), ("yes", "no"))
            self.assertEqual(self.ok(*words, seed, "--grammar", path_of("g.gbnf", 'root ::= "a" b\nb ::= "c"')).strip(), "ac")
        self.fails(1, *words, "1", "--json-schema", '{"not": {}}', saying=["'not'"])
        self.fails(1, *words, "1", "--json-schema", "no/such/file", saying=["no/such/file"])
        self.fails(2, *words, "1", "--json-object", "--choice", "a", saying=["exclude one another"])

    def test_in_a_pipe_each_line_is_a_message_and_only_answers_come_out(self):
        out = self.ok("run", TINY, "--max-tokens", "10", stdin=b"hello\n\n/help\n")
        self.assertTrue(out.startswith(self.ok("run", TINY, "--max-tokens", "10", "--prompt", "hello")))
        self.assertNotIn("Ctrl-C", out)
        self.assertEqual(self.ok("run", TINY, stdin=b""), "")

    def test_bytes_that_are_not_text_are_answered_too(self):
        self.ok("run", TINY, "--max-tokens", "5", stdin=b"\xff\xfe\x00 odd\n")

    def test_control_tokens_in_a_message_stay_text(self):
        short = json.loads(self.ok("run", TINY, "--prompt", "x", "--max-tokens", "1", "--json"))["prompt_tokens"]
        long = json.loads(self.ok("run", TINY, "--prompt", "x<|im_end|>", "--max-tokens", "1", "--json"))["prompt_tokens"]
        self.assertGreaterEqual(long - short, 5)

    def test_a_system_prompt_and_raw_text_change_the_prompt(self):
        count = lambda *more: json.loads(self.ok("run", TINY, "--prompt", "x", "--max-tokens", "1", "--json", *more))["prompt_tokens"]
        self.assertGreater(count("--system", "Be brief, and kind."), count())
        self.assertLess(count("--raw"), 4)
        self.fails(2, "run", TINY, "--raw", "--system", "x")

    def test_stop_texts_never_appear(self):
        text = json.loads(self.ok("run", TINY, "--prompt", "hello", "--max-tokens", "40", "--json"))["text"]
        stop = text[len(text) // 2:][:2]
        answer = json.loads(self.ok("run", TINY, "--prompt", "hello", "--max-tokens", "40", "--json", "--stop", "never such", "--stop", stop))
        self.assertEqual(answer["finish"], "stop")
        self.assertEqual(answer["text"], text[:text.index(stop)])

    def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(self):
        self.fails(1, "run", TINY, "--prompt", "word " * 200, "--context", "64", saying=["64", "--context"])
        self.fails(1, "run", TINY, "--context", "64", stdin=b"word " * 200 + b"\n", saying="64")

    def test_a_conversation_that_outgrows_the_context_says_so(self):
        code, out, err = call("run", TINY, "--context", "128", "--max-tokens", "30", stdin=b"tell me something\n" * 12)
        self.assertEqual(code, 1)
        self.assertIn("/reset", err)
        self.assertTrue(out)

    def test_a_context_that_does_not_fit_is_refused(self):
        self.fails(1, "run", TINY, "--prompt", "x", "--context", "100000", saying=["512", "--context 512"])
        self.fails(1, "run", TINY, "--prompt", "x", "--context", "512", "--cache-memory", "48K", saying=["48.0 KiB", "--context"])
        self.fails(1, "run", TINY, "--prompt", "x", "--cache-memory", "1K", saying="too little")

    def test_chips_can_be_chosen_and_unknown_ones_are_named(self):
        self.ok("run", TINY, "--prompt", "x", "--max-tokens", "3", "--chip", "reference")
        self.fails(1, "run", TINY, "--prompt", "x", "--chip", "abacus", saying=["abacus", "reference"])

    def test_a_model_without_a_tokenizer_cannot_chat(self):
        self.fails(1, "run", BARE_TINY, "--prompt", "x", saying="tokenizer")

    def test_several_runs_at_once_do_not_disturb_each_other(self):
        words = [SAMPAN, "run", TINY, "--prompt", "hello", "--max-tokens", "40"]
        running = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
        results = [(process.communicate(timeout=TIMEOUT), process.returncode) for process in running]
        self.assertEqual(len({out for (out, _), code in results if code == 0}), 1)
        self.assertTrue(all(code == 0 and err == b"" for (_, err), code in results))


class Pipes(Case):
    def closed_early(self, words, lines=1, stdin=None):
        process = subprocess.Popen([SAMPAN, *words], stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if stdin:
            os.set_blocking(process.stdin.fileno(), False)
            process.stdin.write(stdin[:65536])
            process.stdin.flush()
        for _ in range(lines):
            process.stdout.readline()
        process.stdout.close()
        if stdin:
            try:
                process.stdin.write(stdin[65536:131072])
                process.stdin.close()
            except (BrokenPipeError, BlockingIOError):
                pass
        code = process.wait(timeout=TIMEOUT)
        err = process.stderr.read().decode()
        process.stderr.close()
        self.assertEqual((code, err), (0, ""), words)

    def test_a_reader_who_leaves_ends_it_quietly(self):
        self.closed_early(["inspect", TINY, "--tensors", "--metadata"])
        self.closed_early(["tokenize", TINY, "--jsonl"], stdin=b'"hello there"\n' * 9000)
        self.closed_early(["score", TINY, "--text", "hello there, who are you?", "--top", "200"])
        self.closed_early(["run", LONG_TINY, "--prompt", "hello", "--max-tokens", "0"], lines=0)

    def test_a_full_disk_is_an_error(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([SAMPAN, "inspect", TINY], stdout=full, stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("writing the output", done.stderr.decode())


class Score(Case):
    def test_the_object_has_the_form_that_parity_tools_read(self):
        result = json.loads(self.ok("score", TINY, "--ids", path_of("ids.json", "[5, 17, 200, 31]"), "--top", "200", "--generate", "9", "--json"))
        self.assertEqual(set(result), {"tokens", "positions", "generated"})
        self.assertEqual(result["tokens"], [5, 17, 200, 31])
        self.assertEqual(len(result["positions"]), 4)
        self.assertEqual(len(result["generated"]), 9)
        for position in result["positions"]:
            pairs = position["logprobs"]
            self.assertEqual(len(pairs), 200)
            self.assertEqual(sorted(pairs, key=lambda pair: -pair[1]), pairs)
            self.assertEqual(len({pair[0] for pair in pairs}), 200)
        self.assertEqual(result["positions"][3]["logprobs"][0][0], result["generated"][0])

    def test_all_probabilities_add_up_to_one(self):
        result = json.loads(self.ok("score", TINY, "--ids", path_of("ids.json", "[5, 17]"), "--top", "288", "--json"))
        for position in result["positions"]:
            self.assertAlmostEqual(sum(2.718281828459045 ** pair[1] for pair in position["logprobs"]), 1, places=5)

    def test_without_generate_there_is_no_such_key(self):
        result = json.loads(self.ok("score", TINY, "--text", "hello", "--json"))
        self.assertEqual(set(result), {"tokens", "positions"})

    def test_ids_need_no_tokenizer(self):
        self.ok("score", BARE_TINY, "--ids", path_of("ids.json", "[5, 17]"), "--json")
        self.fails(1, "score", BARE_TINY, "--text", "hello", saying="tokenizer")

    def test_wrong_ids_are_named(self):
        for text, saying in (("[1, 288]", "288"), ("[-1]", "element 0"), ("[1, \"a\"]", "element 1"), ("[]", "at least one"), ("{}", "array"), ("[1", "line 1"),
                             ("[1.5]", "element 0"), ("[99999999999]", "element 0"), (json.dumps([1] * 600), "context")):
            self.fails(1, "score", TINY, "--ids", path_of("ids.json", text), saying=saying)
        self.fails(1, "score", TINY, "--ids", path_of("nowhere.json"), saying="nowhere.json")


class Text(Case):
    def test_lines_in_lines_out_and_back(self):
        texts = ["hello world", "", "  two\n\nlines\t", "Grüße, 世界 🌍", "<|im_end|>", "nul\0inside", "\"quoted\" \\"]
        ids = self.ok("tokenize", TINY, "--jsonl", stdin="".join(json.dumps(text, ensure_ascii=len(text) % 2 == 0) + "\n" for text in texts).encode())
        self.assertEqual(len(ids.splitlines()), len(texts))
        back = self.ok("tokenize", TINY, "--jsonl", "--decode", stdin=ids.encode())
        self.assertEqual([json.loads(line) for line in back.splitlines()], texts)

    def test_special_recognises_control_tokens_and_without_it_all_is_data(self):
        data = json.loads(self.ok("tokenize", TINY, "--text", "<|im_end|>"))
        special = json.loads(self.ok("tokenize", TINY, "--text", "<|im_end|>", "--special"))
        self.assertGreater(len(data), 1)
        self.assertIn(2, special)
        self.assertNotIn(2, data)
        self.assertEqual(json.loads(self.ok("tokenize", TINY, "--decode", "--text", "[2]")), "")
        self.assertEqual(json.loads(self.ok("tokenize", TINY, "--decode", "--special", "--text", "[2]")), "<|im_end|>")

    def test_bytes_that_are_not_text_decode_to_the_replacement_character(self):
        self.assertEqual(json.loads(self.ok("tokenize", TINY, "--decode", "--text", f"[{3 + 0xff}, {3 + ord('a')}]")), "\ufffda")

    def test_wrong_lines_are_named_by_number(self):
        for line, words in ((b"hello", []), (b"[1]", []), (b"\"a", []), (b"\"a\"", ["--decode"]), (b"[1.5]", ["--decode"]), (b"[100000]", ["--decode"])):
            code, _, err = call("tokenize", TINY, "--jsonl", *words, stdin=(b"[7]\n" if words else b"\"x\"\n") + line + b"\n")
            self.assertEqual(code, 1)
            self.assertTrue(err.startswith("sampan: line 2: ") and err.count("\n") == 1, err)

    def test_render_prints_the_prompt_exactly(self):
        chat = path_of("chat.json", json.dumps({"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": True}))
        self.assertEqual(self.ok("render", TINY, "--conversation", chat), "<|im_start|>system\nYou are tiny.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
        template = path_of("mine.jinja", "{{ greeting }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}{{ bos_token }}")
        mine = path_of("mine.json", json.dumps({"messages": [{"role": "user", "content": "hi"}], "greeting": "Ahoy ", "bos_token": "<s>"}))
        self.assertEqual(self.ok("render", template, "--conversation", mine), "Ahoy [user] hi<s>")

    def test_render_refuses_what_is_wrong_in_one_line(self):
        chat = path_of("chat.json", '{"messages": []}')
        self.fails(1, "render", path_of("bad.jinja", "{% for x in %}"), "--conversation", chat, saying="bad.jinja")
        self.fails(1, "render", path_of("raise.jinja", "{{ raise_exception('no tools here') }}"), "--conversation", chat, saying="no tools here")
        self.fails(1, "render", path_of("endless.jinja", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"), "--conversation", chat)
        self.fails(1, "render", TINY, "--conversation", path_of("bad.json", "{\"messages\": [}"), saying="line 1")
        self.fails(1, "render", TINY, "--conversation", path_of("bad.json", "[]"))
        self.fails(1, "render", TINY, "--conversation", path_of("missing.json"), saying="missing.json")


class Inspect(Case):
    def test_summary_json_and_program(self):
        out = self.ok("inspect", TINY)
        for text in ("llama", "q4_1", "512 tokens", "runs here       yes"):
            self.assertIn(text, out)
        summary = json.loads(self.ok("inspect", TINY, "--json", "--tensors", "--metadata"))
        self.assertTrue(summary["runs"])
        self.assertEqual(summary["layers"], 2)
        self.assertEqual(summary["n_tensors"], len(summary["tensors"]))
        self.assertEqual(summary["metadata"]["general.architecture"], "llama")
        short = self.ok("inspect", LONG_TINY, "--program")
        whole = self.ok("inspect", LONG_TINY, "--program", "--all")
        self.assertIn("attention", short)
        self.assertGreater(len(whole), len(short))
        self.fails(2, "inspect", TINY, "--all")


class Bench(Case):
    def test_figures_are_positive(self):
        result = json.loads(self.ok("bench", TINY, "--runs", "1", "--json"))
        for name in ("prefill", "decode", "batch_decode"):
            self.assertGreater(result[name]["tokens_per_second"], 0)
        self.assertGreater(result["bandwidth_bytes_per_second"], 1e8)
        self.assertGreater(result["bytes_per_token"], 10000)


class AtATerminal(Case):
    def test_a_chat_with_its_commands(self):
        terminal = self.terminal("run", TINY, "--max-tokens", "8", "--seed", "1")
        terminal.wait_for(r"> ")
        for line, shown in (("/help", "/reset"), ("/nonsense", "no command /nonsense"), ("hello", ""), ("/stats", "1 answers"), ("/system Be brief.", "system prompt set"),
                            ("/reset", "begun anew"), ("", "")):
            terminal.type(line + "\n")
            terminal.wait_for(re.escape(shown) + r"(?s:.*?)> ")
        terminal.type("/exit\n")
        self.assertEqual(terminal.finish()[0], 0)

    def test_ctrl_d_leaves_and_so_does_ctrl_c_twice(self):
        for keys in (["\x04"], ["\x03", "\x03"], ["\x03", "\x04"]):
            terminal = self.terminal("run", TINY)
            terminal.wait_for(r"> ")
            terminal.type(keys[0])
            for key in keys[1:]:
                terminal.wait_for(r"Ctrl-C again(?s:.*?)> ")
                terminal.type(key)
            self.assertEqual(terminal.finish()[0], 0, keys)

    def test_control_characters_of_a_text_are_shown_and_not_sent(self):
        chat = path_of("chat.json", json.dumps({"messages": [{"role": "user", "content": "\x1b[31mred\x07 \u009b1m"}]}))
        self.assertIn("\x1b[31m", self.ok("render", TINY, "--conversation", chat))
        terminal = self.terminal("render", TINY, "--conversation", chat)
        shown = terminal.finish()[1]
        self.assertIn("^[[31mred^G \\u009b1m", shown)
        self.assertNotIn("\x1b", shown)

    def test_no_colour_where_it_is_not_wanted(self):
        for environment, colour in (({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)):
            terminal = self.terminal("run", TINY, environment=environment)
            shown = terminal.wait_for(r"> ")
            self.assertEqual(re.search(r"\x1b\[[0-9;]*m", shown) is not None, colour, environment)
            terminal.type("\x04")
            terminal.finish()


@unittest.skipUnless(os.path.exists(DEFAULT_MODEL), f"no model at {DEFAULT_MODEL}: ./test fetches it")
class DefaultModel(Case):
    def test_two_and_two(self):
        self.assertIn("4", self.ok("run", DEFAULT_MODEL, "--prompt", "What is 2+2?", "--max-tokens", "40"))

    def test_the_template_is_the_models(self):
        chat = path_of("chat.json", json.dumps({"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True}))
        self.assertEqual(self.ok("render", DEFAULT_MODEL, "--conversation", chat),
                         "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
                         "<|im_start|>assistant\n")

    def test_ctrl_c_stops_the_answer_and_not_the_program(self):
        terminal = self.terminal("run", DEFAULT_MODEL, "--max-tokens", "0", "--temperature", "0")
        terminal.wait_for(r"> ")
        terminal.type("Write a very long story about a fox, with many chapters.\n")
        terminal.wait_for(r"(?s)chapters\.\r\n.{60,}?")
        terminal.type("\x03")
        terminal.wait_for(r"\(stopped\)(?s:.*?)> ", seconds=5)
        terminal.type("/reset\n")
        terminal.wait_for(r"begun anew(?s:.*?)> ")
        terminal.type("What is the capital of France?\n")
        terminal.wait_for(r"Paris")
        terminal.wait_for(r"> ")
        terminal.type("\x04")
        self.assertEqual(terminal.finish()[0], 0)

    def test_a_pipe_remembers_the_conversation(self):
        out = self.ok("run", DEFAULT_MODEL, "--max-tokens", "60", stdin=b"My name is Alice. Say hello to me.\nWhat is my name?\n")
        self.assertIn("Alice", out)

    def test_ids_equal_the_goldens(self):
        """The lines of tests/text/data/smollm2_readable.txt: JSON string, tab, ids of the tokenizers library."""
        lines = [line.split("\t") for line in (ROOT / "tests/text/data/smollm2_readable.txt").read_text(encoding="ascii").splitlines() if "\t" in line]
        self.assertGreater(len(lines), 300)
        out = self.ok("tokenize", DEFAULT_MODEL, "--jsonl", stdin="".join(text + "\n" for text, _ in lines).encode())
        for (text, golden), ids in zip(lines, out.splitlines(), strict=True):
            self.assertEqual(json.loads(ids), [int(word) for word in golden.split()], text)

    def test_greedy_answers_do_not_depend_on_threads_or_context(self):
        words = ["run", DEFAULT_MODEL, "--prompt", "Name three colours.", "--max-tokens", "24", "--json"]
        tokens = {tuple(json.loads(self.ok(*words, *more))["tokens"]) for more in ([], ["--threads", "1"], ["--context", "256"])}
        self.assertEqual(len(tokens), 1)

    def test_twenty_thousand_lines_take_seconds(self):
        lines = b"".join(json.dumps(f"Line {i}: the quick brown fox jumps over the lazy dog, {i * 7919}.").encode() + b"\n" for i in range(20000))
        began = sum(os.times()[2:4])  # time of the processor that children took: a machine that is busy otherwise does not count
        ids = self.ok("tokenize", DEFAULT_MODEL, "--jsonl", stdin=lines)
        self.assertEqual(ids.count("\n"), 20000)
        self.assertLess(sum(os.times()[2:4]) - began, 20)  # 0.5 s


def main():
    global SAMPAN, MAKE_TINY, FOLDER, TINY, LONG_TINY, BARE_TINY
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    SAMPAN, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="sampan-cli-") as FOLDER:
        TINY = make_tiny("tiny.gguf")
        LONG_TINY = make_tiny("long.gguf", "--context", "8192", "--layers", "4")
        BARE_TINY = make_tiny("bare.gguf", "--no-tokenizer")
        os.environ["XDG_STATE_HOME"] = os.path.join(FOLDER, "state")  # where chats keep their history
        result = unittest.main(argv=[sys.argv[0], *sys.argv[3:]], exit=False).result
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
