#!/usr/bin/env python3
"""Holds scripts/check-gpu to what it says of itself where nothing is built: check_gpu_test.py SCRIPT"""
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = ""


class CheckGpu(unittest.TestCase):
    def test_what_is_not_built_is_named_with_how_it_is(self):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "wenqu")
            done = subprocess.run([sys.executable, SCRIPT, "--build", folder, "--module", os.path.join(folder, "module.so")], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertEqual(done.stdout, "")   # nothing was tried
            lines = done.stderr.splitlines()
            self.assertEqual(len(lines), 3, done.stderr)
            self.assertIn(f"{program} is not there: cmake --preset release", lines[0])
            self.assertIn("wenqu_cuda_tests is not there", lines[1])
            self.assertIn("module.so is not there: scripts/build-cuda", lines[2])
            open(program, "w").close()
            done = subprocess.run([sys.executable, SCRIPT, "--build", folder], capture_output=True, text=True, cwd=folder)
            self.assertNotIn(program + " is", done.stderr)
            self.assertIn("build/cuda/libwenqu-cuda.so is not there", done.stderr)


if __name__ == "__main__":
    SCRIPT = os.path.abspath(sys.argv.pop())
    unittest.main()
