#!/usr/bin/env python3
"""compare.py passes what it should and fails what it should: scores made from the golden itself, then spoiled one way at a time."""
import copy
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE / "data/smollm2.json"
sys.path.insert(0, str(HERE))
import compare  # noqa: E402  (the module under test lies beside this file)


class CompareTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
        cls.rows = compare.load_top(GOLDEN, cls.golden)
        cls.score = {"tokens": cls.golden["ids"],
                     "positions": [{"logprobs": [list(pair) for pair in zip(ids, values)]} for ids, values, _ in cls.rows]}

    def run_compare(self, score, *arguments):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(score, file)
            file.flush()
            command = [sys.executable, "-B", str(HERE / "compare.py"), arguments[0], str(GOLDEN)]
            command += [argument if argument != "SCORE" else file.name for argument in arguments[1:]]
            return subprocess.run(command, capture_output=True, text=True)

    def spoiled(self, change):
        score = copy.deepcopy(self.score)
        for index, position in enumerate(score["positions"]):
            change(index, position["logprobs"])
            position["logprobs"].sort(key=lambda pair: -pair[1])
        return score

    def test_the_stored_rest_is_what_the_top_leaves(self):
        for ids, values, rest in self.rows:
            self.assertEqual(len(set(ids)), len(ids))
            self.assertAlmostEqual(sum(math.exp(value) for value in values) + math.exp(rest), 1.0, places=5)

    def test_the_golden_equals_itself(self):
        self.assertEqual(self.run_compare(self.score, "kl", "SCORE", "--max-mean-kl", "1e-9").returncode, 0)

    def test_noise_of_an_8_bit_chip_fails_the_reference_bound_only(self):
        def change(index, pairs):
            for i, pair in enumerate(pairs):
                pair[1] += 0.08 * math.sin(7 * index + 3 * i)
            total = math.log(sum(math.exp(value) for _, value in pairs) + math.exp(self.rows[index][2]))
            for pair in pairs:
                pair[1] -= total
        noisy = self.spoiled(change)
        self.assertEqual(self.run_compare(noisy, "kl", "SCORE", "--max-mean-kl", "1e-5").returncode, 1)
        self.assertEqual(self.run_compare(noisy, "kl", "SCORE", "--max-mean-kl", "4e-3").returncode, 0)

    def test_one_wrong_position_among_many_fails(self):
        def change(index, pairs):
            if index == 300:
                values = [value for _, value in pairs]
                for pair, value in zip(pairs, reversed(values)):
                    pair[1] = value
        self.assertEqual(self.run_compare(self.spoiled(change), "kl", "SCORE", "--max-mean-kl", "1e-3").returncode, 1)

    def test_positions_shifted_by_one_fail(self):
        shifted = dict(self.score, positions=self.score["positions"][1:] + self.score["positions"][:1])
        self.assertEqual(self.run_compare(shifted, "kl", "SCORE", "--max-mean-kl", "4e-3").returncode, 1)

    def test_other_tokens_missing_positions_and_nan_fail(self):
        for score in (dict(self.score, tokens=[1] + self.score["tokens"][1:]),
                      {"tokens": self.score["tokens"][:-1], "positions": self.score["positions"][:-1]},
                      {"tokens": self.score["tokens"]},
                      self.spoiled(lambda index, pairs: pairs[0].__setitem__(1, float("nan")) if index == 5 else None),
                      self.spoiled(lambda index, pairs: pairs[0].__setitem__(1, 0.5) if index == 5 else None),
                      self.spoiled(lambda index, pairs: pairs.pop())):
            self.assertEqual(self.run_compare(score, "kl", "SCORE", "--max-mean-kl", "4e-3").returncode, 1)

    def test_a_prefix_passes_only_when_it_may(self):
        prefix = {"tokens": self.score["tokens"][:100], "positions": self.score["positions"][:100]}
        self.assertEqual(self.run_compare(prefix, "kl", "SCORE", "--min-positions", "100").returncode, 0)
        self.assertEqual(self.run_compare(prefix, "kl", "SCORE", "--min-positions", "101").returncode, 1)

    def test_tokens_outside_our_top_are_counted_and_fail(self):
        foreign = self.spoiled(lambda index, pairs: [pair.__setitem__(0, 60000 + i) for i, pair in enumerate(pairs) if i >= 60])
        result = self.run_compare(foreign, "kl", "SCORE", "--max-mean-kl", "1")
        self.assertEqual(result.returncode, 1)
        self.assertIn("larger --top", result.stdout)

    def test_greedy_tokens_must_agree_until_the_margin_is_small(self):
        for generation in self.golden["generations"]:
            score = {"tokens": generation["prompt"], "generated": list(generation["generated"])}
            self.assertEqual(self.run_compare(score, "greedy", generation["name"], "SCORE").returncode, 0)
            score["generated"][2] += 1
            self.assertEqual(self.run_compare(score, "greedy", generation["name"], "SCORE").returncode, 1)
            least = max(generation["margins"][:3]) + 0.01
            self.assertEqual(self.run_compare(score, "greedy", generation["name"], "SCORE", "--margin", str(least)).returncode, 0)
            score["generated"] = generation["generated"][:1]
            self.assertEqual(self.run_compare(score, "greedy", generation["name"], "SCORE").returncode, 1)

    def test_an_answer_may_stop_at_its_end(self):
        generation = next(g for g in self.golden["generations"] if g["name"] == "chat_two_plus_two")
        end = next(i for i, token in enumerate(generation["generated"]) if token in self.golden["end_ids"])
        for length in (end, end + 1):
            score = {"tokens": generation["prompt"], "generated": generation["generated"][:length]}
            self.assertEqual(self.run_compare(score, "greedy", generation["name"], "SCORE").returncode, 0)


if __name__ == "__main__":
    unittest.main()
