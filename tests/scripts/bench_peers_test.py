#!/usr/bin/env python3
"""Holds scripts/bench-peers to what it says of itself: bench_peers_test.py SCRIPT WENQU"""
import importlib.machinery
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPT = WENQU = ""
HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = "some folder/model.gguf"

# As the two programs print them, fields of no interest left out.
LLAMA_CPP = """[
  {"build_commit": "b1", "n_threads": 2, "n_prompt": 512, "n_gen": 0, "n_depth": 64, "avg_ns": 5, "avg_ts": 100.5, "samples_ts": [ 99.0, 102.0, 101.0 ]},
  {"build_commit": "b1", "n_threads": 2, "n_prompt": 0, "n_gen": 128, "n_depth": 64, "avg_ns": 5, "avg_ts": 10.5, "samples_ts": [ 10.25, 10.75 ]}
]
"""
IK = """warning [1]: no GPU
[
  {
    "ser": "-1,0",
    "n_prompt": 64,
    "n_gen": 128,
    "avg_ts": 9.500000,
    "stddev_ts": 0.530030,
    "test": "tg128@pp64",
    "samples_ns": [ 1, 2 ],
    "samples_ts": [ 9.0, 10.0 ]
  }
]
"""


def load_script():
    loader = importlib.machinery.SourceFileLoader("bench_peers", SCRIPT)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_peers", loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


class BenchPeersTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.script = load_script()

    def fake(self, name, *rates):
        path = os.path.join(self.folder, name)
        shutil.copy(os.path.join(HERE, "fake_bench.py"), path)
        os.chmod(path, 0o755)
        with open(os.path.join(self.folder, "rates." + name), "w", encoding="utf-8") as file:
            file.write("\n".join(map(str, rates)))
        return path

    def run_script(self, *words):
        environment = {**os.environ, "FAKE_RATES": self.folder + "/rates", "FAKE_LOG": self.folder + "/log"}
        return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, env=environment, check=False)

    def log(self):
        with open(self.folder + "/log", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def test_rows_of_llama_cpp_are_medians_by_test_and_depth(self):
        figures = self.script.Program("llama.cpp", "").figures(LLAMA_CPP)
        self.assertEqual(figures, {(512, 0, 64): 101.0, (0, 128, 64): 10.5})

    def test_rows_of_ik_behind_a_prompt_are_decode_at_a_depth(self):
        self.assertEqual(self.script.Program("ik", "").figures(IK), {(0, 128, 64): 9.5})

    def test_rows_without_samples_give_their_mean(self):
        row = '[{"n_prompt": 0, "n_gen": 8, "avg_ts": 3.5}]'
        self.assertEqual(self.script.Program("llama.cpp", "").figures(row), {(0, 8, 0): 3.5})

    def test_output_without_rows_is_an_error(self):
        for output in ("", "[]", "[1, 2]", '[{"a": 1}]', LLAMA_CPP[:200]):
            self.assertRaises(ValueError, self.script.json_array, output)

    def test_the_ratio_is_the_median_of_the_rounds_ratios(self):
        test = (0, 128, 0)
        rounds = [{"wenqu": {test: 10}, "ik": {test: 10}}, {"wenqu": {test: 6}, "ik": {test: 2}}, {"wenqu": {test: 20}, "ik": {test: 10}},
                  {"wenqu": {test: 1}, "ik": {}}]
        [row] = self.script.compare(rounds, ["ik"])
        self.assertEqual(row["peers"]["ik"]["ratios"], [1, 3, 2])
        self.assertEqual(row["peers"]["ik"]["ratio"], 2)
        self.assertEqual(row["wenqu_t_s"], 8)

    def test_programs_take_turns_and_another_one_begins_each_round(self):
        wenqu, peer = self.fake("wenqu", 4, 6, 8), self.fake("llama-bench", 2, 2, 2)
        run = self.run_script("--wenqu", wenqu, "--llama-bench", peer, "--llama-bench-args", "-fa 1", "-t", "3", "-p", "16", "-n", "8", "--rounds", "3",
                              "-r", "5", "--json", MODEL)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual([line[0] for line in self.log()], ["wenqu", "llama-bench", "llama-bench", "wenqu", "wenqu", "llama-bench"])
        self.assertEqual(self.log()[1], ["llama-bench", "-m", MODEL, "-t", "3", "-r", "5", "-o", "json", "-p", "16", "-n", "8", "-fa", "1"])
        rows = json.loads(run.stdout)
        self.assertEqual([row["test"] for row in rows], ["pp16", "tg8"])
        self.assertEqual([row["peers"]["llama.cpp"]["ratio"] for row in rows], [3, 3])
        self.assertEqual(rows[1]["peers"]["llama.cpp"]["ratios"], [2, 3, 4])
        self.assertEqual((rows[0]["wenqu_t_s"], rows[1]["wenqu_t_s"], rows[1]["threads"]), (60, 6, 3))

    def test_the_table_has_a_ratio_for_each_peer_and_a_dash_where_a_peer_cannot(self):
        paths = [self.fake("wenqu", 4), self.fake("llama-bench", 8), self.fake("ik", 2)]
        run = self.run_script("--wenqu", paths[0], "--llama-bench", paths[1], "--ik", paths[2], "-p", "16", "-n", "8", "-d", "32", "--rounds", "1", MODEL)
        self.assertEqual(run.returncode, 0, run.stderr)
        head, prompt, decode = [line.split() for line in run.stdout.splitlines()]
        self.assertEqual(" ".join(head), "model test wenqu t/s llama.cpp t/s ratio ik t/s ratio")
        self.assertEqual(prompt, ["model.gguf", "pp16@d32", "40.00", "80.00", "0.50", "-", "-"])
        self.assertEqual(decode, ["model.gguf", "tg8@d32", "4.00", "8.00", "0.50", "2.00", "2.00"])

    def test_a_program_that_fails_is_told_and_the_others_are_compared(self):
        paths = [self.fake("wenqu", 4, 4), self.fake("llama-bench", "fail", "junk"), self.fake("ik", 2, 2)]
        run = self.run_script("--wenqu", paths[0], "--llama-bench", paths[1], "--ik", paths[2], "-p", "0", "-n", "8", "--rounds", "2", MODEL)
        self.assertEqual(run.returncode, 1)
        self.assertIn("unknown architecture", run.stderr)
        self.assertIn("not understood", run.stderr)
        self.assertEqual(run.stdout.splitlines()[1].split(), ["model.gguf", "tg8", "4.00", "-", "-", "2.00", "2.00"])
        absent = self.run_script("--wenqu", self.fake("wenqu", 4), "--ik", self.folder + "/absent", "--rounds", "1", MODEL)
        self.assertEqual(absent.returncode, 1)
        self.assertIn("No such file", absent.stderr)

    def test_nothing_to_compare_with_or_to_measure_is_wrong_usage(self):
        for words in ([MODEL], ["--ik", "x"], ["--ik", "x", "-p", "0", "-n", "0", MODEL], ["--ik", "x", "--rounds", "0", MODEL], ["--ik", "x", "-t", "-1", MODEL]):
            self.assertEqual(self.run_script(*words).returncode, 2)

    def test_the_programs_own_rows_are_understood(self):
        sys.path.insert(0, os.path.join(HERE, "..", "reference"))
        try:
            from make_model import make
        except ImportError:
            self.skipTest("NumPy is not installed")
        model = self.folder + "/model.gguf"
        with open(model, "wb") as file:
            file.write(make("--arch qwen2".split()))
        peer = self.fake("llama-bench", 1)
        run = self.run_script("--wenqu", WENQU, "--llama-bench", peer, "-t", "2", "-p", "8", "-n", "4", "-d", "3", "--rounds", "1", "--json", model)
        self.assertEqual(run.returncode, 0, run.stderr)
        rows = json.loads(run.stdout)
        self.assertEqual([row["test"] for row in rows], ["pp8@d3", "tg4@d3"])
        self.assertTrue(all(row["peers"]["llama.cpp"]["ratio"] > 0 for row in rows))


if __name__ == "__main__":
    SCRIPT, WENQU = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
