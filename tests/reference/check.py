#!/usr/bin/env python3
"""Holds the program's logits against the reference's, over random tokens: check.py WENQU MODEL.gguf

Prints the median and the worst relative error by position and how often the best token is the same. Exits with 1
when the median is above --bound. Rounding can turn over a close choice of experts, so single positions of a
mixture of experts may be far off; the median tells. Needs NumPy only.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np

from reference import Model


def program_logits(wenqu, model, tokens):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "logits")
        run = subprocess.run([wenqu, "logits", "--model", model, "--tokens", ",".join(map(str, tokens)), "--out", out],
                             capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"{wenqu} failed: {run.stderr.strip()}")
        return np.fromfile(out, "<f4").reshape(len(tokens), -1).astype(np.float64)


def relative_errors(wanted, given):
    return np.linalg.norm(wanted - given, axis=1) / np.linalg.norm(wanted, axis=1)


def draw_tokens(vocabulary, count, seed):
    return np.random.default_rng(seed).integers(0, vocabulary, count).tolist()


def compare(wenqu, path, count, seed):
    """Relative errors by position, and the part of the positions whose best token is the same."""
    model = Model(path)
    tokens = draw_tokens(model.vocabulary, count, seed)
    wanted, given = model.logits(tokens), program_logits(wenqu, path, tokens)
    if given.shape != wanted.shape:
        raise SystemExit(f"{wenqu} gave {given.shape[1]} logits a token, {wanted.shape[1]} are right")
    return relative_errors(wanted, given), np.mean(wanted.argmax(1) == given.argmax(1))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("wenqu")
    p.add_argument("model")
    p.add_argument("--tokens", type=int, default=32, metavar="N")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--bound", type=float, default=1e-3)
    o = p.parse_args()
    errors, agree = compare(o.wenqu, o.model, o.tokens, o.seed)
    good = np.isfinite(errors).all() and np.median(errors) <= o.bound
    print(f"{'ok ' if good else 'OFF'} relative error median {np.median(errors):.2e} worst {errors.max():.2e}, best token agrees {100 * agree:.0f}%")
    return not good


if __name__ == "__main__":
    sys.exit(main())
