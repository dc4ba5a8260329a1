#!/usr/bin/env python3
"""The server from outside: a real process on loopback, raw sockets and Python's http.client.

    test_server.py build/release/sampan build/release/tests/make_tiny

The answers of a tiny random model have no sense, but everything else about them is as with a large one."""
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SAMPAN, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
FOLDER = tempfile.mkdtemp(prefix="sampan-serve-")
TINY = os.path.join(FOLDER, "tiny.gguf")
USER = [{"role": "user", "content": "hello"}]


class Server:
    """A running server; address is ("127.0.0.1", port) or the path of its socket."""

    def __init__(self, *options, unix=None):
        words = [SAMPAN, "serve", TINY, "--threads", "1", *(["--unix", unix] if unix else ["--port", "0"]), *options]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        line = self.process.stdout.readline().strip()
        assert line.startswith(("http://", "unix:")), (line, self.complaints())
        self.address = unix if unix else ("127.0.0.1", int(line.rsplit(":", 1)[1]))

    def complaints(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def stop(self, how=signal.SIGTERM, timeout=20):
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(timeout)
        self.process.stdout.close()
        self.last_complaints = self.complaints()
        self.errors.close()
        return code

    def socket(self):
        if isinstance(self.address, str):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(self.address)
        else:
            connection = socket.create_connection(self.address)
        connection.settimeout(20)
        return connection

    def connection(self):
        client = http.client.HTTPConnection("localhost", timeout=30)
        client.sock = self.socket()
        return client

    def ask(self, method, path, body=None, headers={}):
        """Status, headers and body (from JSON where it is that)."""
        client = self.connection()
        client.request(method, path, body if isinstance(body, (bytes, type(None))) else json.dumps(body), headers)
        response = client.getresponse()
        data = response.read()
        client.close()
        is_json = response.getheader("Content-Type", "").startswith("application/json")
        return response.status, response, json.loads(data) if is_json and data else data

    def chat(self, **more):
        status, _, answer = self.ask("POST", "/v1/chat/completions", {"messages": USER, "max_tokens": 12, "temperature": 0, **more})
        assert status == 200, answer
        return answer

    def stream(self, path, body):
        """The chunks of a stream, which must end with [DONE]."""
        client = self.connection()
        client.request("POST", path, json.dumps({**body, "stream": True}))
        response = client.getresponse()
        assert response.status == 200 and response.getheader("Content-Type") == "text/event-stream"
        events = response.read().decode().split("\n\n")
        client.close()
        assert events[-2:] == ["data: [DONE]", ""], events[-3:]
        return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]

    def raw(self, data, until_closed=True):
        with self.socket() as connection:
            connection.sendall(data)
            received = b""
            while True:
                piece = connection.recv(65536)
                received += piece
                if not piece or (not until_closed and b"\r\n\r\n" in received):
                    return received

    def metric(self, name):
        for line in self.ask("GET", "/metrics")[2].decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise KeyError(name)


class Case(unittest.TestCase):
    server = None

    @classmethod
    def setUpClass(cls):
        if Case.server is None:
            Case.server = Server()

    def refused(self, path, body, status=400, parameter=None, saying=""):
        got, response, answer = self.server.ask("POST", path, body)
        self.assertEqual(got, status, answer)
        self.assertEqual(set(answer["error"]), {"message", "type", "param", "code"})
        self.assertIn(saying, answer["error"]["message"])
        if parameter:
            self.assertEqual(answer["error"]["param"], parameter)
        return answer["error"]


class Endpoints(Case):
    def test_models_health_version(self):
        status, _, answer = self.server.ask("GET", "/v1/models")
        self.assertEqual((status, answer["object"], answer["data"][0]["id"]), (200, "list", "tiny"))
        self.assertEqual(self.server.ask("GET", "/v1/models/tiny")[2]["id"], "tiny")
        self.assertEqual(self.server.ask("GET", "/v1/models/other")[0], 404)
        self.assertEqual(self.server.ask("GET", "/health")[2], {"status": "ok"})
        self.assertIn("version", self.server.ask("GET", "/version")[2])

    def test_text_goes_to_ids_and_back(self):
        ids = self.server.ask("POST", "/tokenize", {"prompt": "grüße <|im_end|>", "add_special_tokens": False})[2]
        self.assertEqual(ids["count"], len(ids["tokens"]))
        self.assertEqual(self.server.ask("POST", "/detokenize", {"tokens": ids["tokens"]})[2]["prompt"], "grüße <|im_end|>")
        self.assertIn("hello", self.server.ask("POST", "/apply_template", {"messages": USER, "add_generation_prompt": True})[2]["prompt"])
        self.refused("/detokenize", {"tokens": [5, 10**9]}, saying="index 1")

    def test_unknown_paths_and_methods(self):
        self.assertEqual(self.server.ask("GET", "/v1/nothing")[0], 404)
        status, response, _ = self.server.ask("DELETE", "/v1/models")
        self.assertEqual((status, response.getheader("Allow")), (405, "GET, HEAD"))
        status, response, body = self.server.ask("HEAD", "/health")
        self.assertEqual((status, body), (200, b""))
        self.assertGreater(int(response.getheader("Content-Length")), 0)

    def test_a_request_keeps_the_name_its_client_gave_it(self):
        self.assertEqual(self.server.ask("GET", "/health", headers={"X-Request-Id": "my-id.1"})[1].getheader("X-Request-Id"), "my-id.1")
        self.assertNotIn("<", self.server.ask("GET", "/health", headers={"X-Request-Id": "<script>"})[1].getheader("X-Request-Id"))

    def test_metrics_count(self):
        before = self.server.metric("sampan_generation_tokens_total")
        self.server.chat(ignore_eos=True)
        self.assertEqual(self.server.metric("sampan_generation_tokens_total"), before + 12)


class Chat(Case):
    def test_an_answer_is_a_complete_object(self):
        answer = self.server.chat(ignore_eos=True)
        self.assertEqual(set(answer), {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"})
        choice = answer["choices"][0]
        self.assertEqual((answer["object"], choice["finish_reason"], choice["message"]["role"]), ("chat.completion", "length", "assistant"))
        self.assertTrue({"index", "message", "logprobs", "finish_reason"} <= set(choice))
        self.assertEqual(answer["usage"]["completion_tokens"], 12)
        self.assertEqual(answer["usage"]["total_tokens"], answer["usage"]["prompt_tokens"] + 12)

    def test_a_stream_says_what_the_whole_says(self):
        whole = self.server.chat(n=2, temperature=1, seed=7, ignore_eos=True)
        chunks = self.server.stream("/v1/chat/completions", {"messages": USER, "max_tokens": 12, "n": 2, "temperature": 1, "seed": 7, "ignore_eos": True,
                                                             "stream_options": {"include_usage": True}})
        self.assertEqual(chunks[-1]["choices"], [])
        self.assertEqual(chunks[-1]["usage"]["completion_tokens"], whole["usage"]["completion_tokens"])
        for index in range(2):
            mine = [c["choices"][0] for c in chunks[:-1] if c["choices"][0]["index"] == index]
            self.assertEqual(mine[0]["delta"]["role"], "assistant")
            self.assertTrue(all(c["delta"].get("content") for c in mine[1:-1]), "no empty deltas")
            self.assertEqual(mine[-1]["finish_reason"], "length")
            self.assertEqual("".join(c["delta"].get("content", "") for c in mine), whole["choices"][index]["message"]["content"])
        self.assertNotEqual(*[c["message"]["content"] for c in whole["choices"]])

    def test_logprobs(self):
        tokens = self.server.chat(logprobs=True, top_logprobs=3, ignore_eos=True)["choices"][0]["logprobs"]["content"]
        self.assertEqual(len(tokens), 12)
        for token in tokens:
            self.assertEqual(len(token["top_logprobs"]), 3)
            self.assertEqual(token["logprob"], max(t["logprob"] for t in token["top_logprobs"]))

    def test_a_response_format_is_kept(self):
        schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["n"], "additionalProperties": False}
        for seed in range(4):
            form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
            answer = self.server.chat(response_format=form, temperature=1.5, seed=seed, max_tokens=100)
            self.assertIn(json.loads(answer["choices"][0]["message"]["content"])["n"], range(1, 10))
            self.assertEqual(answer["choices"][0]["finish_reason"], "stop")
            self.assertIn(self.server.chat(guided_choice=["yes", "no"], temperature=1.5, seed=seed)["choices"][0]["message"]["content"], ("yes", "no"))
        self.refused("/v1/chat/completions", {"messages": USER, "guided_regex": "(?=x)"}, parameter="guided_regex")
        self.refused("/v1/chat/completions", {"messages": USER, "guided_regex": "a", "guided_choice": ["a"]})

    def test_content_in_parts_is_text(self):
        parts = [{"role": "user", "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}]
        self.assertEqual(self.server.chat(messages=parts)["choices"], self.server.chat()["choices"])
        picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
        self.refused("/v1/chat/completions", {"messages": picture}, parameter="messages", saying="text only")

    def test_what_is_wrong_is_named(self):
        chat = "/v1/chat/completions"
        self.refused(chat, b"", saying="no body")
        self.refused(chat, b"{", saying="not valid JSON")
        self.refused(chat, b'{"a":1,"a":2}', saying="duplicate")
        self.refused(chat, b'{"messages":"\xff"}', saying="not valid JSON")
        self.refused(chat, b'{"messages":"\\ud800"}', saying="not valid JSON")
        self.refused(chat, {"messages": []}, parameter="messages")
        self.refused(chat, {"messages": [{"role": "king", "content": "x"}]}, parameter="messages", saying="king")
        self.refused(chat, {"messages": USER, "temperature": 3}, parameter="temperature", saying="0 to 2")
        self.refused(chat, {"messages": USER, "n": 0}, parameter="n")
        self.refused(chat, {"messages": USER, "frequenzy_penalty": 1}, parameter="frequenzy_penalty")
        self.refused(chat, {"messages": USER, "tools": []}, parameter="tools")
        self.refused(chat, {"messages": USER, "chat_template_kwargs": {"eos_token": "x"}}, parameter="chat_template_kwargs")
        self.refused(chat, {"messages": USER, "model": "gpt-4"}, status=404, parameter="model", saying="tiny")
        error = self.refused(chat, {"messages": [{"role": "user", "content": "word " * 2000}]}, parameter="messages", saying="512")
        self.assertEqual(error["code"], "context_length_exceeded")
        self.refused(chat, {"messages": USER, "max_tokens": 512})

    def test_control_tokens_in_a_message_stay_text(self):
        short = self.server.chat(messages=[{"role": "user", "content": "x"}])["usage"]["prompt_tokens"]
        long = self.server.chat(messages=[{"role": "user", "content": "x<|im_end|>"}])["usage"]["prompt_tokens"]
        self.assertGreaterEqual(long - short, 5)


class Completions(Case):
    def ask(self, **body):
        status, _, answer = self.server.ask("POST", "/v1/completions", {"temperature": 0, "ignore_eos": True, **body})
        self.assertEqual(status, 200, answer)
        return answer

    def test_the_reference_defaults_to_sixteen_tokens(self):
        self.assertEqual(self.ask(prompt="hello")["usage"]["completion_tokens"], 16)

    def test_text_and_ids_are_the_same_prompt(self):
        ids = self.server.ask("POST", "/tokenize", {"prompt": "hello there"})[2]["tokens"]
        texts = [self.ask(prompt=p)["choices"][0]["text"] for p in ("hello there", ["hello there"], ids, [ids])]
        self.assertEqual(len(set(texts)), 1)
        self.assertEqual(self.ask(prompt="hello there", echo=True)["choices"][0]["text"], "hello there" + texts[0])
        self.refused("/v1/completions", {"prompt": ["a", "b"]}, parameter="prompt")
        self.refused("/v1/completions", {"prompt": "a", "suffix": "b"}, parameter="suffix")
        self.refused("/v1/completions", {"prompt": "a", "best_of": 2}, parameter="best_of")

    def test_four_lists_of_logprobs(self):
        lists = self.ask(prompt="hello", logprobs=2)["choices"][0]["logprobs"]
        self.assertEqual({len(v) for v in lists.values()}, {16})
        self.assertEqual(set(lists), {"tokens", "token_logprobs", "top_logprobs", "text_offset"})

    def test_a_stream_says_what_the_whole_says(self):
        chunks = self.server.stream("/v1/completions", {"prompt": "hello", "temperature": 0, "ignore_eos": True})
        self.assertEqual("".join(c["choices"][0]["text"] for c in chunks), self.ask(prompt="hello")["choices"][0]["text"])


class Protocol(Case):
    def test_requests_sent_ahead_are_answered_in_order(self):
        paths = [b"/health", b"/nothing", b"/version"] * 20
        data = b"".join(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % p for p in paths[:-1]) + b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % paths[-1]
        statuses = re.findall(rb"HTTP/1\.1 (\d+)", self.server.raw(data))
        self.assertEqual(statuses, [b"200", b"404", b"200"] * 20)

    def test_what_a_proxy_could_read_differently_is_refused_and_ends_the_connection(self):
        body = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
        for head in (b"Content-Length: 5\r\nContent-Length: 5\r\n", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"A: b\r\n c\r\n", b"A : b\r\n"):
            answer = self.server.raw(body + head + b"\r\nhelloGET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer[:80])
            self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
            self.assertIn(b"Connection: close", answer)

    def test_an_absurd_length_is_refused_before_its_body_is_read(self):
        answer = self.server.raw(b"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 100000)
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer[:80])

    def test_a_body_that_waits_for_its_permission_gets_it(self):
        with self.server.socket() as connection:
            connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 14\r\n\r\n")
            self.assertEqual(connection.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.sendall(b'{"prompt":"x"}')
            self.assertIn(b"200 OK", connection.recv(10000))

    def test_chunked_bodies(self):
        answer = self.server.raw(b"POST /tokenize HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 b'7\r\n{"promp\r\n7\r\nt":"x"}\r\n0\r\n\r\n')
        self.assertIn(b'"count":', answer)

    def test_http_1_0_streams_end_with_the_connection(self):
        body = json.dumps({"messages": USER, "max_tokens": 3, "stream": True}).encode()
        answer = self.server.raw(b"POST /v1/chat/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self.assertNotIn(b"Transfer-Encoding", answer)
        self.assertTrue(answer.endswith(b"data: [DONE]\n\n"))

    def test_a_client_that_leaves_frees_its_place(self):
        cancelled = lambda: sum(float(l.split()[1]) for l in self.server.ask("GET", "/metrics")[2].decode().splitlines() if l.startswith('sampan_http_requests_total{status="499"}'))
        before = cancelled()
        with self.server.socket() as connection:
            body = json.dumps({"messages": USER, "max_tokens": 400, "stream": True, "ignore_eos": True, "n": 4}).encode()
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            self.assertIn(b"200 OK", connection.recv(100))
        deadline = time.monotonic() + 10
        while (self.server.metric("sampan_requests_running") or cancelled() == before) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(self.server.metric("sampan_requests_running"), 0)
        self.assertEqual(cancelled(), before + 1)

    def test_mangled_bodies_get_no_5xx(self):
        rng = random.Random(1)
        bodies = [{"messages": USER, "max_tokens": 2, "temperature": 0.5, "stop": ["a"], "logit_bias": {"5": 1}, "seed": 3, "n": 2, "logprobs": True, "top_logprobs": 2,
                   "response_format": {"type": "text"}, "stream": False}, {"prompt": "x", "max_tokens": 2, "echo": True, "stop": "b"}, {"tokens": [1, 2]}]
        paths = ["/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize", "/apply_template"]
        odd = [None, -1, 1e308, "", "x", [], {}, True, [[1]], {"a": None}, 2**62, ["\0"]]
        client = self.server.connection()
        for i in range(600):
            body = dict(rng.choice(bodies))
            text = None
            if rng.random() < 0.7:
                body[rng.choice(list(body))] = rng.choice(odd)
                text = json.dumps(body).encode()
            else:
                text = bytearray(json.dumps(body).encode())
                for _ in range(rng.randrange(1, 4)):
                    text[rng.randrange(len(text))] = rng.randrange(256)
                text = bytes(text)
            client.request("POST", rng.choice(paths), text)
            response = client.getresponse()
            data = response.read()
            self.assertLess(response.status, 500, (text, data))
        client.close()


class Operation(unittest.TestCase):
    def test_many_clients_get_what_one_gets(self):
        server = Server("--max-sequences", "8")
        bodies = [{"messages": [{"role": "user", "content": f"message {i}"}], "max_tokens": 20, "temperature": 1, "seed": i, "ignore_eos": True} for i in range(16)]
        alone = [server.chat(**body)["choices"] for body in bodies]
        together = [None] * 16
        def run(i):
            together[i] = server.chat(**bodies[i])["choices"]
        threads = [threading.Thread(target=run, args=(i,)) for i in range(16)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        self.assertEqual(alone, together)
        self.assertEqual(server.stop(), 0)

    def test_keys(self):
        path = os.path.join(FOLDER, "keys")
        with open(path, "w") as file:
            file.write("# who may\nada sk-0123456789\nbob sk-9876543210\n")
        server = Server("--api-keys", path)
        self.assertEqual(server.ask("GET", "/v1/models")[0], 401)
        self.assertEqual(server.ask("GET", "/v1/models", headers={"Authorization": "Bearer sk-012345678"})[0], 401)
        self.assertEqual(server.ask("GET", "/v1/models", headers={"Authorization": "Bearer sk-0123456789"})[0], 200)
        self.assertEqual(server.ask("GET", "/v1/models", headers={"x-api-key": "sk-9876543210"})[0], 200)
        self.assertEqual(server.ask("GET", "/health")[0], 200)
        self.assertEqual(server.stop(), 0)
        with open(path, "w") as file:
            file.write("ada short\n")
        done = subprocess.run([SAMPAN, "serve", TINY, "--port", "0", "--api-keys", path], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("line 1", done.stderr)

    def test_term_lets_answers_end_and_takes_no_more(self):
        server = Server()
        client = server.connection()
        client.request("POST", "/v1/chat/completions", json.dumps({"messages": USER, "max_tokens": 300, "stream": True, "ignore_eos": True}))
        response = client.getresponse()
        first = response.read(50)
        server.process.send_signal(signal.SIGTERM)
        rest = (first + response.read()).decode()
        self.assertTrue(rest.endswith("data: [DONE]\n\n"))
        client.close()
        self.assertEqual(server.process.wait(20), 0)
        server.stop()
        with self.assertRaises(OSError):
            server.socket()

    def test_a_unix_socket(self):
        path = os.path.join(FOLDER, "s.sock")
        server = Server(unix=path)
        self.assertEqual(server.ask("GET", "/health")[0], 200)
        self.assertNotEqual(subprocess.run([SAMPAN, "serve", TINY, "--unix", path], capture_output=True, timeout=60).returncode, 0)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_a_port_that_is_taken_is_explained(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            done = subprocess.run([SAMPAN, "serve", TINY, "--port", port], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(port, done.stderr)

    def test_other_origins_may_call_only_when_allowed(self):
        server = Server("--cors", "https://a.example")
        self.assertEqual(server.ask("GET", "/health")[1].getheader("Access-Control-Allow-Origin"), "https://a.example")
        status, response, _ = server.ask("OPTIONS", "/v1/chat/completions")
        self.assertEqual((status, response.getheader("Access-Control-Allow-Methods")), (204, "POST, OPTIONS"))
        server.stop()
        self.assertIsNone(Case.server.ask("GET", "/health")[1].getheader("Access-Control-Allow-Origin") if Case.server else None)


def tearDownModule():
    code = Case.server.stop() if Case.server else 0
    complaints = Case.server.last_complaints if Case.server else ""
    shutil.rmtree(FOLDER, ignore_errors=True)
    assert code == 0, complaints


if __name__ == "__main__":
    subprocess.run([MAKE_TINY, TINY], check=True, stdout=subprocess.DEVNULL)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
