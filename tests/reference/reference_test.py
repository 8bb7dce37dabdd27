#!/usr/bin/env python3
"""Holds the program's logits against the reference's on small models of every kind: reference_test.py WENQU"""
import os
import sys
import tempfile
import unittest

import numpy as np

import check
from make_model import TYPES, make
from reference import Model

WENQU = ""
DEEPSEEK = {
    "as V3": "--groups 4,2",
    "as V3, its groups not stated": "--experts 256 --used 8 --expert-width 16 --embedding 64 --layers 2",
    "as V2, its groups not stated": "--gating softmax --experts 160 --used 6 --expert-width 16 --embedding 64 --layers 2",
    "as V2-Lite": "--gating softmax --no-q-lora --shared 2",
    "as Moonlight": "--no-q-lora --no-yarn --rope-base 50000",
    "with betas": "--betas 1,1",
    "dense": "--leading-dense 3",
}
OTHERS = {
    "llama": "--arch llama --rope-base 500000", "llama with YaRN": "--arch llama --yarn",
    "qwen2": "--arch qwen2", "qwen2, tied": "--arch qwen2 --tied --kv-heads 4", "qwen3": "--arch qwen3 --head 64", "qwen3moe": "--arch qwen3moe",
}


class ReferenceTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "model.gguf")

    def write(self, words):
        with open(self.path, "wb") as file:
            file.write(make(words.split()))

    def expect(self, words, bound, count=16):
        self.write(words)
        errors, agree = check.compare(WENQU, self.path, count, 1)
        self.assertTrue(np.isfinite(errors).all(), words)
        self.assertLess(np.median(errors), bound, words)
        return agree

    def test_every_architecture_gives_the_references_logits(self):
        for name, words in {**DEEPSEEK, **OTHERS}.items():
            for kind in ("F16", "BF16", "F32"):
                with self.subTest(name, type=kind):
                    self.expect(f"{words} --type {kind}", 1e-3)

    def test_the_three_forms_of_mla_give_the_same_logits(self):
        for words in ("", "--no-q-lora --gating softmax --seed 2"):
            forms, wanted = [], []
            for form in ("split", "joined", "both"):
                self.write(f"{words} --mla {form}")
                model = Model(self.path)
                tokens = check.draw_tokens(model.vocabulary, 16, 3)
                wanted.append(model.logits(tokens))
                forms.append(check.program_logits(WENQU, self.path, tokens))
            for i in (1, 2):
                self.assertLess(check.relative_errors(wanted[0], wanted[i]).max(), 1e-12)
                self.assertLess(check.relative_errors(forms[0], forms[i]).max(), 1e-5)

    def test_quantized_types_are_read_alike(self):
        for kind, (_, block, _, _) in TYPES.items():
            if block > 1:
                with self.subTest(type=kind):
                    self.expect(f"--arch qwen2 --type F32 --embedding-type {kind} --layers 1", 1e-5)
                    # In products the engine rounds their inputs to eight bits, which is what the bound allows for.
                    self.expect(f"--arch qwen2 --type {kind} --layers 2 --feed-forward 256 --head 64", 0.05)

    def test_another_model_is_told_apart(self):
        self.write("--arch qwen2")
        model = Model(self.path)
        tokens = check.draw_tokens(model.vocabulary, 4, 1)
        wanted = model.logits(tokens)
        self.write("--arch qwen2 --rope-base 20000")
        self.assertGreater(np.median(check.relative_errors(wanted, check.program_logits(WENQU, self.path, tokens))), 1e-3)


if __name__ == "__main__":
    WENQU = sys.argv.pop(1)
    unittest.main()
