#!/usr/bin/env python3
"""Takes the place of llama-bench, ik_llama.cpp's llama-bench or `wenqu bench`, whichever its arguments look like, and
prints rows as that program does. FAKE_RATES, a file of one number a line, gives the tokens a second of one run after
the other: prompt ten times as many; the line "fail" is a run that fails, "junk" one that prints no rows."""
import json
import os
import sys

args = sys.argv[1:]
ours = args[:1] == ["bench"]


def option(name, default="0"):
    return args[args.index(name) + 1] if name in args else default


with open(os.environ["FAKE_LOG"], "a", encoding="utf-8") as log:
    log.write(json.dumps([os.path.basename(sys.argv[0])] + args) + "\n")
rates = os.environ["FAKE_RATES"] + "." + os.path.basename(sys.argv[0])
with open(rates, encoding="utf-8") as file:
    first, *rest = file.read().split()
with open(rates, "w", encoding="utf-8") as file:
    file.write("\n".join(rest))
if first == "fail":
    print("error: this model has an unknown architecture", file=sys.stderr)
    sys.exit(1)
if first == "junk":
    print("[no json]")
    sys.exit(0)

rate, prompt, decode, depth = float(first), int(option("-p")), int(option("-n")), int(option("-d"))
tests = ([(prompt, 0, 10 * rate)] if prompt else []) + ([(0, decode, rate)] if decode else [])
if "-gp" in args:   # decode behind a prompt: both numbers are told
    behind, count = map(int, option("-gp").split(","))
    tests.append((behind, count, rate))
rows = []
for n_prompt, n_gen, value in tests:
    spread = [value * 0.9, value, value * 50]   # the median is what counts
    if ours:
        rows.append({"test": "?", "n_prompt": n_prompt, "n_gen": n_gen, "depth": depth, "t_s": value, "samples_t_s": spread})
    else:
        row = {"build_number": 1, "gpu_info": "", "n_prompt": n_prompt, "n_gen": n_gen, "avg_ts": sum(spread) / 3, "samples_ts": spread}
        rows.append(row if "-gp" in args else {**row, "n_depth": depth})
print("load_backend: [CPU] from somewhere")
print(json.dumps(rows, indent=2))
