#!/usr/bin/env python3
"""A chat at a terminal, as a person types it: editing, several lines, history, commands. On a tiny random model through a pseudo terminal.

Usage: test_chat.py SAMPAN MAKE_TINY [unittest arguments]     Python's standard library only."""
import json
import os
import stat
import struct
import sys
import tempfile
import termios
import fcntl
import unittest

import test_cli
from test_cli import Case, path_of

PROMPT = r"(?s:.*?)\?2004h(?s:.*?)> "  # a line is asked for
MORE = r"(?s:.*?)\?2004h(?s:.*?)\.\.\. "  # and a further one


def messages_of(name):
    with open(path_of(name), encoding="utf-8") as file:
        return [(message["role"], message["content"]) for message in json.load(file)["messages"]]


class Chat(Case):
    def setUp(self):
        self.state = tempfile.mkdtemp(dir=test_cli.FOLDER)

    def begin(self, *options, **environment):
        environment = {"XDG_STATE_HOME": self.state, "NO_COLOR": "1", **environment}
        chat = self.terminal("run", test_cli.TINY, "--temperature", "0", "--max-tokens", "6", *options, environment=environment)
        chat.wait_for(PROMPT)
        return chat

    def say(self, chat, text, until=PROMPT):
        chat.type(text + "\r")
        return chat.wait_for(until)

    def leave(self, chat):
        chat.type("\x04")
        self.assertEqual(chat.finish()[0], 0)

    def history(self):
        try:
            with open(os.path.join(self.state, "sampan/history"), encoding="utf-8") as file:
                return file.read().split("\n")[:-1]
        except FileNotFoundError:
            return None

    def said_by_user(self, chat, name):
        """The user's messages so far, by /save."""
        self.say(chat, f"/save {path_of(name)}", r"saved\)" + PROMPT)
        return [content for role, content in messages_of(name) if role == "user"]

    def test_a_message_may_have_several_lines(self):
        chat = self.begin()
        self.say(chat, "one \\", MORE)
        self.say(chat, "two")
        self.say(chat, '"""', MORE)
        self.say(chat, "  three", MORE)
        self.say(chat, "", MORE)
        self.say(chat, '/four"""')
        self.say(chat, '"""five"""')
        self.say(chat, "six\x1b\rseven")  # Alt-Enter
        self.say(chat, "\x1b[200~eight\rnine\tten\x1b[201~")  # a paste, as terminals mark it
        self.say(chat, "a path C:\\\\")
        self.assertEqual(self.said_by_user(chat, "lines.json"),
                         ["one \ntwo", "  three\n\n/four", "five", "six\nseven", "eight\nnine\tten", "a path C:\\\\"])
        self.leave(chat)

    def test_a_line_is_edited_with_the_usual_keys(self):
        chat = self.begin()
        self.say(chat, "wrld\x1b[D\x1b[D\x1b[Do\x1b[HHello \x1b[F!\x7f")  # left three times, Home, End, backspace
        self.say(chat, "Grüße 世界x\x7f🌍")
        self.say(chat, "\x1b[A\x1b[A\x05 again")  # twice up, end of line
        self.assertEqual(self.said_by_user(chat, "edited.json"), ["Hello world", "Grüße 世界🌍", "Hello world again"])
        self.leave(chat)

    def test_history_is_kept_between_chats_for_its_owner_alone(self):
        chat = self.begin()
        self.say(chat, "back\\slash\x1b\rline")
        self.leave(chat)
        self.assertEqual(self.history(), ["back\\\\slash\\nline"])
        path = os.path.join(self.state, "sampan/history")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o700)
        chat = self.begin()
        self.say(chat, "\x1b[A!")
        self.assertEqual(self.said_by_user(chat, "recalled.json"), ["back\\slash\nline!"])
        self.leave(chat)

    def test_history_may_be_switched_off_and_is_not_missed(self):
        chat = self.begin("--no-history")
        self.say(chat, "hello")
        self.leave(chat)
        self.assertIsNone(self.history())
        for environment in ({"XDG_STATE_HOME": "/proc/nowhere"}, {"XDG_STATE_HOME": "relative", "HOME": ""}):
            chat = self.begin(**environment)
            self.say(chat, "hello")
            self.leave(chat)

    def test_a_long_history_is_cut_to_its_end(self):
        os.makedirs(os.path.join(self.state, "sampan"), mode=0o700)
        with open(os.path.join(self.state, "sampan/history"), "w", encoding="utf-8") as file:
            file.write("".join(f"line {i}\n" for i in range(2500)) + "cut off")
        self.leave(self.begin())
        lines = self.history()
        self.assertEqual((lines[0], lines[-1], len(lines)), ("line 1500", "line 2499", 1000))

    def test_answers_are_regenerated_and_messages_edited(self):
        chat = self.begin("--seed", "1")
        self.say(chat, "first")
        self.say(chat, "secnd")
        self.say(chat, "/regenerate", "/set temperature" + PROMPT)
        self.assertEqual(self.said_by_user(chat, "regenerated.json"), ["first", "secnd"])
        chat.type("/edit\r")
        chat.wait_for("secnd")
        self.say(chat, "\x1b[D\x1b[Do")
        self.assertEqual(self.said_by_user(chat, "regenerated.json"), ["first", "second"])
        self.say(chat, "/edit third")
        self.assertEqual(self.said_by_user(chat, "regenerated.json"), ["first", "third"])
        self.say(chat, "/set temperature 2")
        answers = set()
        for _ in range(3):
            self.say(chat, "/regenerate")
            self.said_by_user(chat, "regenerated.json")
            answers.add(messages_of("regenerated.json")[-1])
        self.assertGreater(len(answers), 1)
        self.say(chat, "/reset")
        self.say(chat, "/regenerate", "no message yet" + PROMPT)
        self.leave(chat)

    def test_a_conversation_is_saved_loaded_and_rendered(self):
        chat = self.begin("--system", "Be brief.")
        self.say(chat, "hello")
        self.said_by_user(chat, "saved.json")
        self.say(chat, f"/save {test_cli.TINY}", "not of this chat" + PROMPT)
        self.say(chat, "/save /nowhere/at/all.json", "No such file" + PROMPT)
        self.leave(chat)
        saved = messages_of("saved.json")
        self.assertEqual([role for role, _ in saved], ["system", "user", "assistant"])
        self.assertIn("Be brief.", self.ok("render", test_cli.TINY, "--conversation", path_of("saved.json")))
        chat = self.begin()
        self.say(chat, "to be forgotten")
        self.say(chat, f"/load {path_of('saved.json')}", r"\(2 messages loaded\)" + PROMPT)
        self.say(chat, "and now?")
        self.assertEqual(self.said_by_user(chat, "saved.json"), ["hello", "and now?"])  # its own file may be replaced
        self.say(chat, f"/load {path_of('broken.json', '{')}", "line 1" + PROMPT)
        self.say(chat, f"/load {path_of('other.json', '[1]')}", "message 0" + PROMPT)
        self.say(chat, "/load /nowhere.json", "/nowhere.json" + PROMPT)
        self.assertEqual(self.said_by_user(chat, "saved.json"), ["hello", "and now?"])
        self.leave(chat)

    def test_parameters_are_shown_set_and_taken_back(self):
        chat = self.begin()
        self.assertRegex(self.say(chat, "/set"), r"max-tokens +6\r\n +temperature +0\r\n")
        self.assertRegex(self.say(chat, "/set top_p 0.5"), r"top-p +0\.5\r\n")
        self.assertRegex(self.say(chat, "/set stop END"), r"stop +END\r\n")
        self.assertRegex(self.say(chat, "/set stop more"), r"stop +END more\r\n")
        self.assertRegex(self.say(chat, "/set stop default"), r"stop +none\r\n")
        self.assertRegex(self.say(chat, "/set ignore-end on"), r"ignore-end +on\r\n")
        self.assertRegex(self.say(chat, "/set top-p default"), r"top-p +0\r\n")
        self.assertRegex(self.say(chat, "/set temperature hot"), "expected a number")
        self.assertRegex(self.say(chat, "/set temperature"), r"temperature +0\r\n")
        self.assertRegex(self.say(chat, "/set logit-bias 5=x"), "5=x")
        self.assertRegex(self.say(chat, "/set logit-bias"), r"logit-bias +none\r\n")
        self.assertRegex(self.say(chat, "/set humour 1"), "no parameter humour")
        self.say(chat, "/set logit-bias 77=1000")
        self.say(chat, "hello")
        self.said_by_user(chat, "biased.json")
        token = json.loads(self.ok("tokenize", test_cli.TINY, "--decode", "--text", json.dumps([77] * 6)))
        self.assertEqual(messages_of("biased.json")[-1], ("assistant", token))
        self.leave(chat)

    def test_mistyped_commands_get_a_suggestion(self):
        chat = self.begin()
        self.say(chat, "/regenrate", "/regenerate" + PROMPT)
        self.say(chat, "/xyzzy", "/help" + PROMPT)
        self.leave(chat)

    def test_ctrl_c_drops_what_was_typed_also_within_a_block(self):
        chat = self.begin()
        chat.type("not sent")
        chat.wait_for("not sent")
        chat.type("\x03")
        chat.wait_for(PROMPT)
        self.say(chat, '"""', MORE)
        chat.type("nor this\x03")
        chat.wait_for(PROMPT)
        chat.type("\x03")
        chat.wait_for("Ctrl-C again" + PROMPT)
        chat.type("nor that")
        chat.wait_for("nor that")
        chat.type("\x03")
        chat.wait_for(PROMPT)
        chat.type("\x03")
        chat.wait_for("Ctrl-C again" + PROMPT)
        self.say(chat, "this")
        self.assertEqual(self.said_by_user(chat, "interrupted.json"), ["this"])
        self.leave(chat)

    def test_a_terminal_that_cannot_move_its_cursor_suffices(self):
        chat = self.terminal("run", test_cli.TINY, "--temperature", "0", "--max-tokens", "6", environment={"TERM": "dumb", "XDG_STATE_HOME": self.state})
        chat.wait_for("> ")
        chat.type('"""\r')
        chat.wait_for(r"\.\.\. ")
        chat.type('a\rb"""\r')
        chat.wait_for("\n> ")
        chat.type(f"/save {path_of('dumb.json')}\r")
        chat.wait_for("saved(?s:.*)> ")
        chat.type("\x04")
        code, rest = chat.finish()
        self.assertEqual(code, 0)
        self.assertNotIn("\x1b", chat.shown + rest)
        self.assertEqual(messages_of("dumb.json")[0], ("user", "a\nb"))

    def test_a_narrow_terminal_and_one_that_changes_its_size(self):
        chat = self.begin()
        fcntl.ioctl(chat.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 5, 12, 0, 0))
        text = "a line much longer than this terminal is wide, 世界 included"
        self.say(chat, text)
        fcntl.ioctl(chat.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.say(chat, "\x1b[A?")
        self.assertEqual(self.said_by_user(chat, "narrow.json"), [text, text + "?"])
        self.leave(chat)

    def test_raw_text_has_no_conversation(self):
        chat = self.begin("--raw")
        self.say(chat, "once")
        self.say(chat, "/save x.json", "no conversation" + PROMPT)
        self.say(chat, "/system x", "no system prompt" + PROMPT)
        self.say(chat, "/regenerate")
        self.assertRegex(self.say(chat, "/stats"), "2 answers")
        self.leave(chat)


class Json(Case):
    def test_a_stream_is_pieces_and_then_the_whole(self):
        words = ["run", test_cli.TINY, "--prompt", "hello", "--max-tokens", "12", "--json"]
        whole = json.loads(self.ok(*words))
        *pieces, last = [json.loads(line) for line in self.ok(*words, "--stream").splitlines()]
        self.assertEqual("".join(piece["delta"] for piece in pieces), whole["text"])
        self.assertEqual(sum((piece["tokens"] for piece in pieces), []), whole["tokens"])
        self.assertEqual({key: last[key] for key in ("text", "tokens", "finish", "end_token", "prompt_tokens", "generated_tokens", "system_fingerprint")},
                         {key: whole[key] for key in ("text", "tokens", "finish", "end_token", "prompt_tokens", "generated_tokens", "system_fingerprint")})
        self.fails(2, "run", test_cli.TINY, "--stream", "--prompt", "x", saying="--json")

    def test_in_a_pipe_each_answer_is_a_line(self):
        out = self.ok("run", test_cli.TINY, "--max-tokens", "5", "--json", stdin=b"hello\nand you?\n").splitlines()
        self.assertEqual(len(out), 2)
        first, second = map(json.loads, out)
        self.assertGreater(second["prompt_tokens"], first["prompt_tokens"])


if __name__ == "__main__":
    test_cli.main()
