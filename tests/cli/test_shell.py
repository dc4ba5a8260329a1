#!/usr/bin/env python3
"""What `sampan completion` and `sampan man` print: scripts that shells accept and that complete, pages that the formatter accepts and that say what --help says.

Usage: test_shell.py SAMPAN [unittest arguments]     Python's standard library and bash; zsh, fish and mandoc where they are installed."""
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

SAMPAN = ""
TIMEOUT = 60


def call(*words, stdin=""):
    done = subprocess.run([SAMPAN, *words], input=stdin, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    return done.returncode, done.stdout, done.stderr


def printed(*words):
    code, out, err = call(*words)
    assert (code, err) == (0, ""), (words, code, err)
    return out


def commands():
    return re.findall(r"^  ([a-z]\S*) ", printed("--help").split("Commands:")[1].split("\nsampan COMMAND")[0], re.M)


def options(command):
    return re.findall(r"^  (--[a-z-]+)", printed(command, "--help"), re.M)


def completed_by_bash(line):
    """What bash is given for this line, as it cuts words at spaces, ':' and '='."""
    script = 'eval "$(cat)"; COMP_LINE=$0 COMP_POINT=${#0} COMPREPLY=(); _sampan; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script, line], input=printed("completion", "bash"), capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


class Completion(unittest.TestCase):
    def test_every_shell_accepts_its_script(self):
        for shell in ("bash", "zsh", "fish"):
            script = printed("completion", shell)
            for command in commands():
                self.assertIn(command, script)
            if shutil.which(shell):
                done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, timeout=TIMEOUT, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""), shell)

    def test_another_shell_is_refused_by_name(self):
        code, out, err = call("completion", "csh")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("bash, zsh or fish", err)

    def test_bash_completes_commands_and_options(self):
        self.assertEqual(sorted(completed_by_bash("sampan ")), sorted(commands() + ["help"]))
        self.assertEqual(completed_by_bash("sampan tok"), ["tokenize"])
        self.assertEqual(sorted(completed_by_bash("sampan help in")), ["inspect"])
        self.assertEqual(completed_by_bash("sampan run --tem"), ["--temperature"])
        for command in commands():
            self.assertEqual(sorted(completed_by_bash(f"sampan {command} --")), sorted(options(command)), command)

    def test_bash_completes_values(self):
        self.assertIn("cpu", completed_by_bash("sampan run --chip "))
        self.assertIn("avx2", completed_by_bash("sampan run --chip cpu:av"))  # bash has cut at ':' and wants the rest
        self.assertIn("avx2", completed_by_bash("sampan run --chip=cpu:av"))
        self.assertEqual(completed_by_bash("sampan run --cache-type b"), ["bf16"])
        self.assertEqual(completed_by_bash("sampan run --cache-type=b"), ["bf16"])
        self.assertEqual(completed_by_bash("sampan completion z"), ["zsh"])
        self.assertEqual(completed_by_bash("sampan run --seed "), [])
        self.assertEqual(completed_by_bash("sampan nonsense x"), [])

    def test_bash_completes_files(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("model.gguf", "more.json"):
                with open(os.path.join(folder, name), "wb"):
                    pass
            self.assertEqual(sorted(completed_by_bash(f"sampan inspect {folder}/mo")), [f"{folder}/model.gguf", f"{folder}/more.json"])
            self.assertEqual(completed_by_bash(f"sampan score {folder}/model.gguf --ids {folder}/mor"), [f"{folder}/more.json"])

    def test_a_person_at_bash_presses_tab(self):
        try:
            pid, terminal = pty.fork()
        except OSError as error:
            self.skipTest(f"no pseudo terminals here: {error}")
        if pid == 0:
            os.environ.update({"PATH": os.path.dirname(SAMPAN) + ":" + os.environ["PATH"], "TERM": "dumb", "PS1": "ready> ", "INPUTRC": "/dev/null"})
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        shown = ""

        def wait_for(text):
            nonlocal shown
            end = time.monotonic() + TIMEOUT
            while text not in shown:
                ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
                self.assertTrue(ready, f"{text!r} did not come; shown: {shown!r}")
                shown += os.read(terminal, 4096).decode("utf-8", "replace")
            shown = shown[shown.index(text) + len(text):]

        try:
            wait_for("ready> ")
            os.write(terminal, b'source <(sampan completion bash); echo "loaded $?"\n')
            wait_for("\r\nloaded 0")
            os.write(terminal, b"sampan vers\t--js\t\n")
            wait_for('{"version"')
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            os.close(terminal)


class Manual(unittest.TestCase):
    def test_pages_name_every_command_and_option(self):
        main = printed("man")
        for command in commands():
            self.assertIn(command, main)
            page = printed("man", command)
            self.assertTrue(page.startswith(f".TH SAMPAN-{command.upper()} 1 "))
            for option in options(command):
                self.assertIn("\\fB" + option.replace("-", "\\-") + "\\fR", page)
            self.assertIn(".SH EXAMPLES", page)

    def test_the_formatter_has_nothing_to_say(self):
        if not shutil.which("mandoc"):
            self.skipTest("mandoc is not installed")
        with tempfile.TemporaryDirectory() as folder:
            printed("man", "--directory", folder)
            names = sorted(os.listdir(folder))
            self.assertEqual(names, sorted(["sampan.1"] + [f"sampan-{command}.1" for command in commands()]))
            for name in names:
                done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", os.path.join(folder, name)], capture_output=True, text=True, timeout=TIMEOUT, check=False)
                findings = [line for line in done.stdout.split("\n") if line and "missing date" not in line]  # a page has no date: the same build, the same page
                self.assertEqual(findings, [], name)

    def test_wrong_calls_are_told(self):
        self.assertEqual(call("man", "nonsense")[0], 2)
        self.assertEqual(call("man", "run", "--directory", "/tmp")[0], 2)
        code, out, err = call("man", "--directory", "/nowhere/at/all")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("/nowhere/at/all", err)


if __name__ == "__main__":
    SAMPAN = os.path.abspath(sys.argv[1])
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
