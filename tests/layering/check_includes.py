#!/usr/bin/env python3
"""Holds the folders to who may include whom: check_includes.py REPOSITORY

A part may include itself and what the table below allows it, nothing else of ours; each foreign library
has one home. Prints every include that breaks a rule and exits with 1.
"""
import os
import re
import sys

# part -> parts it may include. A part is the longest matching folder.
MAY = {
    "base": [],
    "base/http": ["base"],
    "engine/gguf": ["base"],
    "engine/tokenizer": ["base", "engine/gguf"],
    "engine/chat": ["base", "engine/gguf", "engine/tokenizer"],
    "engine/sampler": ["base"],
    "engine/cpu": ["base", "engine/gguf"],
    "engine/quant": ["base", "engine/gguf", "engine/cpu"],
    "engine/convert": ["base", "engine/gguf", "engine/cpu", "engine/quant", "engine/tokenizer"],
    "engine/cuda": ["base", "engine/cache", "engine/gguf"],
    "engine/draft": ["base"],
    "engine/cache": ["base", "engine/gguf", "engine/cpu"],
    "engine/residency": ["base"],
    "engine/ops": ["base", "engine/gguf", "engine/cpu", "engine/cache"],
    "engine/model": ["base", "engine/gguf", "engine/tokenizer", "engine/chat", "engine/cpu", "engine/ops", "engine/cache", "engine/residency", "engine/sampler"],
    "engine/encoder": ["base", "engine/gguf", "engine/tokenizer", "engine/cpu", "engine/ops", "engine/cache", "engine/model"],
    "engine": ["base", "engine/*"],
    "retrieval/analysis": ["base", "retrieval"],
    "retrieval/documents": ["base", "retrieval", "retrieval/analysis"],
    "retrieval/store": ["base", "retrieval/analysis"],
    "retrieval/vectors": ["base", "retrieval", "retrieval/store"],
    "retrieval/index": ["base", "retrieval", "retrieval/analysis", "retrieval/documents", "retrieval/store", "retrieval/vectors"],
    "retrieval/query": ["base", "retrieval", "retrieval/analysis", "retrieval/index"],
    "retrieval/rank": ["base", "retrieval", "retrieval/analysis", "retrieval/query", "retrieval/index", "retrieval/store"],
    "retrieval/hybrid": ["base", "retrieval", "retrieval/index", "retrieval/rank", "retrieval/store", "retrieval/vectors"],
    "retrieval/eval": ["base"],
    "retrieval/similar": ["base", "retrieval", "retrieval/store"],
    "retrieval/sync": ["base", "retrieval", "retrieval/documents", "retrieval/similar", "retrieval/store"],
    "retrieval/remote": ["base", "base/http", "retrieval", "retrieval/analysis", "retrieval/documents", "retrieval/hybrid", "retrieval/index",
                         "retrieval/query", "retrieval/rank", "retrieval/similar", "retrieval/vectors"],
    "retrieval": ["base", "base/http", "retrieval/*"],
    "sdk/assistant": ["base", "retrieval", "retrieval/analysis", "retrieval/documents", "engine", "engine/chat",
                      "engine/draft", "engine/sampler", "engine/tokenizer"],
    "sdk/protocol": ["base", "retrieval", "sdk/assistant"],
    "sdk/capi": ["base", "base/http", "retrieval", "retrieval/documents", "engine", "sdk/assistant", "sdk/protocol", "wenqu"],
    "sdk/net": ["base", "sdk/assistant", "sdk/protocol"],
    "sdk/cli": ["base", "base/http", "retrieval", "retrieval/documents", "retrieval/eval", "retrieval/sync", "engine", "engine/cache", "engine/convert", "engine/draft", "engine/gguf",
                "engine/quant", "engine/tokenizer", "sdk/assistant", "sdk/protocol", "sdk/net"],
    "sdk/include": ["wenqu"],
    "plugins": ["wenqu"],
    "examples": ["wenqu"],
}
# Each foreign library and its homes.
FOREIGN = {
    "lucene++": ["retrieval/store", "retrieval/index", "retrieval/rank", "retrieval"],
    "boost": ["base/http", "sdk/net", "retrieval/store", "retrieval/index", "retrieval/rank"],
    "rapidjson": ["engine/convert", "sdk/protocol", "sdk/net", "sdk/cli", "retrieval", "retrieval/documents", "retrieval/index", "retrieval/remote", "retrieval/store", "plugins"],
    "CLI": ["sdk/cli"],
    "gumbo.h": ["retrieval/documents"],
    "cmark.h": ["retrieval/documents"],
    "expat.h": ["retrieval/documents"],
    "zip.h": ["retrieval/documents"],
    "hnswlib": ["retrieval/vectors"],
    "openssl": ["base", "base/http", "retrieval/documents"],
}
OURS = ("base/", "engine/", "retrieval/", "sdk/", "plugins/", "examples/", "wenqu/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def part_of(path):
    folder = os.path.dirname(path)
    while folder:
        if folder in MAY:
            return folder
        folder = os.path.dirname(folder)
    return None


def allowed(part, target):
    return target == part or any(target == may or (may.endswith("/*") and target.startswith(may[:-1])) for may in MAY[part])


def main():
    root = sys.argv[1]
    broken = checked = 0
    for top in ("base", "engine", "retrieval", "sdk", "plugins", "examples"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if not name.endswith((".h", ".hpp", ".c", ".cc", ".cu")):
                    continue
                path = os.path.relpath(os.path.join(folder, name), root)
                part = part_of(path)
                with open(os.path.join(root, path), encoding="utf-8") as file:
                    includes = INCLUDE.findall(file.read())
                for include in includes:
                    checked += 1
                    if include.startswith("wenqu/"):
                        target = "wenqu"
                    elif include.startswith(OURS):
                        target = part_of(include)
                    else:
                        home = FOREIGN.get(include.split("/")[0])
                        if home is not None and part not in home:
                            print(f"{path}: {include} belongs to {', '.join(home)} only")
                            broken += 1
                        continue
                    if target != "wenqu" and not os.path.exists(os.path.join(root, include)):
                        print(f"{path}: {include} does not exist")
                        broken += 1
                    elif not allowed(part, target):
                        print(f"{path}: {part} may not include {include}")
                        broken += 1
    print(f"{checked} includes checked, {broken} break the layering")
    return broken > 0 or checked == 0


if __name__ == "__main__":
    sys.exit(main())
