#!/usr/bin/env python3
"""sampan doctor as a stranger uses it: the machine and its chips, one chip, JSON; as a nobody, and in an empty root without /sys and /proc.

Usage: test_doctor.py SAMPAN MAKE_TINY [unittest arguments]     Python's standard library only."""
import json
import os
import re
import shutil
import subprocess
import unittest

import test_cli as cli


def rows_of(report):
    return {(row["section"], row["name"]): row for row in report["rows"]}


class Doctor(cli.Case):
    def report(self, *arguments, code=0):
        got, out, err = cli.call("doctor", *arguments, "--json")
        self.assertEqual((got, err), (code, ""))
        report = json.loads(out)
        for row in report["rows"]:
            self.assertIn(row["verdict"], ("fact", "well", "warning", "broken"))
            if row["verdict"] in ("warning", "broken"):
                self.assertTrue(row["advice"], row)
        self.assertEqual(report["warnings"], sum(row["verdict"] == "warning" for row in report["rows"]))
        return report

    def test_the_machine_and_its_chips_are_told(self):
        report = self.report()
        rows = rows_of(report)
        self.assertNotEqual(report["verdict"], "broken")
        self.assertEqual(rows["cpu", "CPUs"]["number"], len(os.sched_getaffinity(0)))
        for key in (("program", "libraries"), ("memory", "total"), ("memory", "huge pages"), ("memory", "NUMA"), ("memory", "swap"), ("memory", "locked memory"),
                    ("chips", "cpu"), ("chips", "reference"), ("chip cpu", "health"), ("chip cpu", "instructions"), ("chip cpu", "dialect")):
            self.assertIn(key, rows)
        self.assertGreater(rows["chip cpu", "memory bandwidth"]["number"], 1e6)
        self.assertGreater(rows["chip cpu", "fp32 peak"]["number"], 1e6)
        operators = [row for row in report["rows"] if row["section"] == "chip cpu" and "the reference" in row["value"]]
        self.assertGreaterEqual(len(operators), 10)
        self.assertEqual({row["verdict"] for row in operators}, {"well"})

    def test_a_person_reads_sections_and_a_conclusion(self):
        text = self.ok("doctor")
        for words in ("\ncpu\n", "\nmemory\n", "\nchips\n", "\nchip cpu\n", "ok health"):
            self.assertIn(words, "\n" + text)
        self.assertRegex(text, r"(All is well|Nothing is broken; \d+ warnings?)\.\n$")

    def test_one_chip_is_told_alone(self):
        report = self.report("--chip", "cpu:portable,threads=1")
        self.assertEqual({row["section"] for row in report["rows"]}, {"chip cpu:portable,threads=1"[:31]})
        self.assertIn("1 worker", rows_of(report)["chip cpu:portable,threads=1"[:31], "name"]["value"])

    def test_a_chip_that_does_not_open_is_broken_and_exit_code_1(self):
        report = self.report("--chip", "abacus", code=1)
        self.assertEqual((report["verdict"], report["broken"]), ("broken", 1))
        self.assertIn("abacus", report["rows"][0]["value"])
        self.fails(2, "doctor", "model.gguf")

    def test_a_nobody_may_ask(self):
        if os.geteuid() != 0:
            self.skipTest("already nobody")
        done = subprocess.run([cli.SAMPAN, "doctor", "--chip", "cpu"], capture_output=True, timeout=cli.TIMEOUT, user=65534, group=65534, extra_groups=[],
                              cwd="/", env={}, check=False)
        if b"Permission denied" in done.stderr or done.returncode == 126:
            self.skipTest("nobody may not enter this folder")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"All is well", done.stdout)

    def test_without_sys_and_proc_it_says_what_it_cannot_know(self):
        if os.geteuid() != 0:
            self.skipTest("only root may change its root")
        root = cli.path_of("empty-root")
        listed = subprocess.run(["ldd", cli.SAMPAN], capture_output=True, text=True, check=True).stdout
        for path in [cli.SAMPAN, *re.findall(r"(/\S+) \(", listed)]:
            to = os.path.join(root, path.lstrip("/"))
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copy(path, to)
        try:
            done = subprocess.run([cli.SAMPAN, "doctor", "--json"], capture_output=True, timeout=cli.TIMEOUT, env={}, check=False,
                                  preexec_fn=lambda: (os.chroot(root), os.chdir("/")))
        except (OSError, subprocess.SubprocessError) as error:
            self.skipTest(f"no change of root here: {error}")
        if b"Sanitizer" in done.stderr:
            self.skipTest("a sanitizer needs /proc")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        rows = rows_of(json.loads(done.stdout))
        self.assertIn("not known", rows["memory", "total"]["value"])
        self.assertIn("not known", rows["cpu", "cores"]["value"])
        self.assertEqual(rows["chip cpu", "health"]["verdict"], "well")


if __name__ == "__main__":
    cli.main()
