#!/usr/bin/env python3
"""Writes first seeds for the fuzz targets: make_corpus.py FOLDER

Makes FOLDER/<target>/seed-*: the smallest models of each kind, texts that the pre-tokenizers cut differently,
and conversations. What fuzzing finds beside them is added with a target's -merge=1. Needs NumPy.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
from make_model import TYPES, make

TINY = ("--layers 1 --embedding 16 --heads 2 --kv-heads 1 --head 8 --feed-forward 16 --vocabulary 12 --q-lora 8 --kv-lora 16 "
        "--nope 8 --rope 4 --value 8 --experts 4 --used 2 --expert-width 8 --leading-dense 0").split()
ROW = ("--arch qwen2 --layers 1 --embedding {0} --heads 1 --kv-heads 1 --head 2 --feed-forward 1 --vocabulary 5 --tied").format


def models():
    for mla in ("split", "joined", "both"):
        yield f"deepseek2-{mla}", ["--mla", mla]
    yield "deepseek2-softmax", ["--gating", "softmax", "--no-q-lora", "--betas", "1,1", "--type", "F32"]
    yield "deepseek2-dense", ["--leading-dense", "1", "--groups", "2,1", "--no-yarn"]
    yield "deepseek2-groups", ["--groups", "2,1"]
    for arch in ("llama", "qwen2", "qwen3", "qwen3moe"):
        yield arch, ["--arch", arch]
    yield "llama-bf16-yarn", ["--arch", "llama", "--type", "BF16", "--yarn", "--tied"]


TEXTS = [
    "Hello, world! It's 12345 o'clock; DON'T WE'LL they've I'm a\r\n\r\n  b\t c   \n",
    "\u4f60\u597d\uff0c\u4e16\u754c\u30ab\u30bf\u30ab\u30ca\u3072\u3089 English\u6df7\u5408 123\u4e2a \ud55c\uad6d\uc5b4",
    "e\u0301 \u0301\u0302 \U0001F600\U0001F468\u200d\U0001F469 \u00a0\u2003x \u0660\u0661\u00bd\u2167 \u01c5z \u017f 'S",
    "<\uff5cbegin\u2581of\u2581sentence\uff5c><think></think><|im_start|>na\u00efve<s></s><0x41>\u2581ab abc",
]
RAW = [b"\xff\xfe\x80\xe4\xb8\xf0\x9f\x98\xc0\xaf\xed\xa0\x80", b"a\x1d<|im_end|>\x1d<think>\x1d\xe2\x96\x81", b" " * 40 + b"\n" * 20 + b"a" * 40]
TEMPLATES = [
    "{{'<\uff5cUser\uff5c>' + m}}{{'<\uff5cAssistant\uff5c><think>\\n'}}", "{% if not thinking is defined %}<\uff5cAssistant\uff5c></think>",
    "<|im_start|>{{ enable_thinking }}</think>", "<|im_user|>user<|im_middle|>", "<|start_header_id|>", "{{ 'User: ' + m }}", "[INST]",
]
TALKS = ["\x1d\x00be brief\x1d\x01hello\x1d\x02hm</think>\n\nhi</think>x\x1d\x01 again \n",
         "\x1d\x01<\uff5cUser\uff5c><|im_end|>\x1d\x02<think>\x1d\x01</think>", "\x1d\x02\x1d\x01\n\x1d\x00\x1d\x00two"]


HEADERS = [
    ('{"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
     '"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}', 32),
    ('{"model.w":{"dtype":"F8_E4M3","shape":[5,1],"data_offsets":[0,5]},"model.w_scale_inv":{"dtype":"F32","shape":[1,1],"data_offsets":[5,9]}}', 9),
    ('{"x":{"dtype":"F16","shape":[],"data_offsets":[0,2]},"\\u0000y":{"dtype":"I64","shape":[0],"data_offsets":[2,2]}}  ', 2),
]


def main():
    folder = sys.argv[1]

    def seed(target, name, data):
        os.makedirs(os.path.join(folder, target), exist_ok=True)
        with open(os.path.join(folder, target, "seed-" + name), "wb") as file:
            file.write(data)

    for name, words in models():
        seed("gguf", name, make(TINY + words))
    for kind, (_, block, _, _) in TYPES.items():
        if block > 1:
            seed("gguf", kind.lower(), make(ROW(block).split() + ["--type", kind]))
    for i, data in enumerate([text.encode() for text in TEXTS] + RAW):
        for kind in range(9):
            seed("tokenizer", f"{kind}-{i}", bytes([kind]) + data)
    for i, template in enumerate(TEMPLATES):
        for kind in range(12):
            seed("chat_template", f"{kind}-{i}", bytes([kind]) + (template + TALKS[i % len(TALKS)]).encode())
    for i, (header, size) in enumerate(HEADERS):
        seed("safetensors", str(i), len(header).to_bytes(8, "little") + header.encode() + bytes(size))


if __name__ == "__main__":
    main()
