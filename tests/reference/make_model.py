#!/usr/bin/env python3
"""Writes a small GGUF model with random weights, for holding engines against each other on the same file.

  make_model.py OUT.gguf --arch deepseek2 [--mla split] [--type F16] [--gating sigmoid] [--no-q-lora] ...

The same options give the same bytes, and the three forms of MLA come of the same weights. Needs NumPy only.
"""
import argparse
import struct
import zlib

import numpy as np

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
# type -> number in the file, values of a block, bytes of a block, and where its half-precision scales lie with
# the size they have in a block whose values have about a standard deviation of 1.
TYPES = {
    "F32": (0, 1, 4, {}), "F16": (1, 1, 2, {}), "BF16": (30, 1, 2, {}),
    "Q4_0": (2, 32, 18, {0: 1 / 4.6}), "Q4_1": (3, 32, 20, {0: 1 / 4.6, 2: -7.5 / 4.6}),
    "Q5_0": (6, 32, 22, {0: 1 / 9.2}), "Q5_1": (7, 32, 24, {0: 1 / 9.2, 2: -15.5 / 9.2}),
    "Q8_0": (8, 32, 34, {0: 1 / 74}), "IQ4_NL": (20, 32, 18, {0: 1 / 70}),
    "Q2_K": (10, 256, 84, {80: 1 / 9.9, 82: 1.5 / 9.9}), "Q3_K": (11, 256, 110, {108: 1 / 42}),
    "Q4_K": (12, 256, 144, {0: 1 / 170, 2: 7.5 / 170}), "Q5_K": (13, 256, 176, {0: 1 / 340, 2: 15.5 / 340}),
    "Q6_K": (14, 256, 210, {208: 1 / 1360}), "IQ4_XS": (23, 256, 136, {0: 1 / 1300}),
}


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, kind, value):
    form = {U32: "<I", F32: "<f", BOOL: "<?"}
    return text(key) + struct.pack("<I", kind) + (text(value) if kind == STRING else struct.pack(form[kind], value))


def strings(key, values):
    return text(key) + struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(text, values))


def numbers(key, values):
    return text(key) + struct.pack("<IIQ", ARRAY, I32, len(values)) + np.asarray(values, "<i4").tobytes()


def encode(values, kind):
    """float32 values as F32, F16 or BF16 bytes."""
    if kind == "F16":
        return values.astype("<f2").tobytes()
    if kind == "BF16":
        bits = values.astype("<f4").view("<u4")
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    return values.astype("<f4").tobytes()


class Model:
    def __init__(self, options):
        self.o = options
        self.pairs, self.tensors = [], []

    def key(self, name, kind, value):
        self.pairs.append(pair(f"{self.o.arch}.{name}", kind, value))

    def random(self, name):
        return np.random.default_rng([self.o.seed, zlib.crc32(name.encode())])

    def values(self, name, shape, deviation):
        """shape: outermost first, as NumPy has it."""
        return self.random(name).standard_normal(shape, dtype=np.float32) * np.float32(deviation)

    def put(self, name, values, kind):
        self.tensors.append((name, list(values.shape[::-1]), kind, encode(values, kind)))

    def matrix(self, name, shape, deviation=None, kind=None):
        """shape: [..., outputs, inputs]."""
        kind, inputs = kind or self.o.type, shape[-1]
        deviation = deviation or 1 / np.sqrt(inputs)
        _, block, size, scales = TYPES[kind]
        if block == 1:
            return self.put(name, self.values(name, shape, deviation), kind)
        if inputs % block:
            return self.put(name, self.values(name, shape, deviation), "F16")
        count = int(np.prod(shape)) // block
        random = self.random(name)
        data = random.integers(0, 256, (count, size), dtype=np.uint8)
        jitter = 0.75 + 0.5 * random.random((count, 1))
        for offset, scale in scales.items():
            data[:, offset:offset + 2] = (jitter * scale * deviation).astype("<f2").view(np.uint8)
        self.tensors.append((name, list(shape[::-1]), kind, data.tobytes()))

    def vector(self, name, size, deviation=0.1, mean=0.0):
        self.put(name, self.values(name, (size,), deviation) + np.float32(mean), "F32")

    def norm(self, name, size):
        self.vector(name, size, 0.1, 1.0)

    def experts(self, block, shared):
        o = self.o
        self.put(block + "ffn_gate_inp.weight", self.values(block + "router", (o.experts, o.embedding), 1.2 / np.sqrt(o.embedding)), "F32")
        self.gated(block, "_exps.weight", o.expert_width, (o.experts,))
        if shared:
            self.gated(block, "_shexp.weight", o.expert_width * shared)

    def gated(self, block, suffix, width, stack=()):
        self.matrix(f"{block}ffn_gate{suffix}", stack + (width, self.o.embedding))
        self.matrix(f"{block}ffn_up{suffix}", stack + (width, self.o.embedding))
        self.matrix(f"{block}ffn_down{suffix}", stack + (self.o.embedding, width))

    def mla(self, block):
        o = self.o
        head = o.nope + o.rope
        if o.q_lora:
            self.matrix(block + "attn_q_a.weight", (o.q_lora, o.embedding))
            self.norm(block + "attn_q_a_norm.weight", o.q_lora)
            self.matrix(block + "attn_q_b.weight", (o.heads * head, o.q_lora), 1.5 / np.sqrt(o.q_lora))
        else:
            self.matrix(block + "attn_q.weight", (o.heads * head, o.embedding), 1.5 / np.sqrt(o.embedding))
        self.matrix(block + "attn_kv_a_mqa.weight", (o.kv_lora + o.rope, o.embedding), 1.5 / np.sqrt(o.embedding))
        self.norm(block + "attn_kv_a_norm.weight", o.kv_lora)
        kind = o.type if TYPES[o.type][1] == 1 else "F16"
        kv_b = self.values(block + "kv_b", (o.heads, o.nope + o.value, o.kv_lora), 1 / np.sqrt(o.kv_lora))
        if o.mla != "split":
            self.put(block + "attn_kv_b.weight", kv_b.reshape(-1, o.kv_lora), kind)
        if o.mla != "joined":
            self.put(block + "attn_k_b.weight", np.ascontiguousarray(kv_b[:, :o.nope].transpose(0, 2, 1)), kind)
            self.put(block + "attn_v_b.weight", np.ascontiguousarray(kv_b[:, o.nope:]), kind)
        self.matrix(block + "attn_output.weight", (o.embedding, o.heads * o.value), 0.5 / np.sqrt(o.heads * o.value))

    def gqa(self, block):
        o = self.o
        kv = o.kv_heads * o.head
        self.matrix(block + "attn_q.weight", (o.heads * o.head, o.embedding), 1.5 / np.sqrt(o.embedding))
        self.matrix(block + "attn_k.weight", (kv, o.embedding), 1.5 / np.sqrt(o.embedding))
        self.matrix(block + "attn_v.weight", (kv, o.embedding))
        if o.arch == "qwen2":
            self.vector(block + "attn_q.bias", o.heads * o.head, 0.5)
            self.vector(block + "attn_k.bias", kv, 0.5)
            self.vector(block + "attn_v.bias", kv, 0.1)
        if o.arch.startswith("qwen3"):
            self.norm(block + "attn_q_norm.weight", o.head)
            self.norm(block + "attn_k_norm.weight", o.head)
        self.matrix(block + "attn_output.weight", (o.embedding, o.heads * o.head), 0.5 / np.sqrt(o.heads * o.head))

    def build(self):
        o = self.o
        deepseek, moe = o.arch == "deepseek2", o.arch in ("deepseek2", "qwen3moe")
        self.pairs.append(pair("general.architecture", STRING, o.arch))
        self.key("block_count", U32, o.layers)
        self.key("context_length", U32, 4096 if not o.yarn else 163840)
        self.key("embedding_length", U32, o.embedding)
        self.key("feed_forward_length", U32, o.feed_forward)
        self.key("attention.head_count", U32, o.heads)
        self.key("attention.layer_norm_rms_epsilon", F32, 1e-6)
        self.key("rope.freq_base", F32, o.rope_base)
        if o.yarn:
            self.key("rope.scaling.type", STRING, "yarn")
            self.key("rope.scaling.factor", F32, 40.0)
            self.key("rope.scaling.original_context_length", U32, 64)
            if deepseek:
                self.key("rope.scaling.yarn_log_multiplier", F32, 0.0707)
            if o.betas:
                self.key("rope.scaling.yarn_beta_fast", F32, o.betas[0])
                self.key("rope.scaling.yarn_beta_slow", F32, o.betas[1])
        if moe:
            self.key("expert_count", U32, o.experts)
            self.key("expert_used_count", U32, o.used)
            self.key("expert_feed_forward_length", U32, o.expert_width)
        if deepseek:
            self.key("attention.kv_lora_rank", U32, o.kv_lora)
            if o.q_lora:
                self.key("attention.q_lora_rank", U32, o.q_lora)
            self.key("rope.dimension_count", U32, o.rope)
            # Files in the new form state the cache row's lengths beside a head's.
            new = o.mla == "split"
            self.key("attention.head_count_kv", U32, 1 if new else o.heads)
            self.key("attention.key_length", U32, o.kv_lora + o.rope if new else o.nope + o.rope)
            self.key("attention.value_length", U32, o.kv_lora if new else o.value)
            if new:
                self.key("attention.key_length_mla", U32, o.nope + o.rope)
                self.key("attention.value_length_mla", U32, o.value)
            self.key("leading_dense_block_count", U32, o.leading_dense)
            self.key("expert_shared_count", U32, o.shared)
            sigmoid = o.gating == "sigmoid"
            self.key("expert_gating_func", U32, 2 if sigmoid else 1)
            self.key("expert_weights_norm", BOOL, sigmoid)
            self.key("expert_weights_scale", F32, 2.5 if sigmoid else 1.0)
            if o.groups:
                self.key("expert_group_count", U32, o.groups[0])
                self.key("expert_group_used_count", U32, o.groups[1])
        else:
            self.key("attention.head_count_kv", U32, o.kv_heads)
            self.key("attention.key_length", U32, o.head)
            self.key("attention.value_length", U32, o.head)
            self.key("rope.dimension_count", U32, o.head)
        tokens = ["<|begin|>", "<|end|>", "<think>", "</think>"]
        tokens += [chr(c) for c in range(33, 127)][:max(0, o.vocabulary - len(tokens) - 1)] + ["th"]
        tokens += [f"[{i}]" for i in range(len(tokens), o.vocabulary)]
        self.pairs += [pair("tokenizer.ggml.model", STRING, "gpt2"), pair("tokenizer.ggml.pre", STRING, "deepseek-v3" if deepseek else "qwen2"),
                       strings("tokenizer.ggml.tokens", tokens),
                       numbers("tokenizer.ggml.token_type", [3, 3, 4, 4] + [1] * (len(tokens) - 4)),
                       strings("tokenizer.ggml.merges", ["t h"]), pair("tokenizer.ggml.bos_token_id", U32, 0),
                       pair("tokenizer.ggml.eos_token_id", U32, 1), pair("tokenizer.ggml.add_bos_token", BOOL, True)]

        self.matrix("token_embd.weight", (len(tokens), o.embedding), 1.0, o.embedding_type)
        self.norm("output_norm.weight", o.embedding)
        if not o.tied:
            self.matrix("output.weight", (len(tokens), o.embedding), 1.5 / np.sqrt(o.embedding))
        if o.arch == "llama":
            factors = np.where(np.arange(o.head // 2) < o.head // 4, 1.0, np.linspace(1, 8, o.head // 2)).astype(np.float32)
            self.put("rope_freqs.weight", factors, "F32")
        for i in range(o.layers):
            block = f"blk.{i}."
            self.norm(block + "attn_norm.weight", o.embedding)
            self.norm(block + "ffn_norm.weight", o.embedding)
            self.mla(block) if deepseek else self.gqa(block)
            if moe and not (deepseek and i < o.leading_dense):
                self.experts(block, o.shared if deepseek else 0)
                if deepseek and o.gating == "sigmoid":
                    self.vector(block + "exp_probs_b.bias", o.experts, 0.05)
            else:
                self.gated(block, ".weight", o.feed_forward)

    def bytes(self):
        self.build()
        infos, offset = [], 0
        for name, ne, kind, data in self.tensors:
            infos.append(text(name) + struct.pack(f"<I{len(ne)}QIQ", len(ne), *ne, TYPES[kind][0], offset))
            offset += (len(data) + 31) // 32 * 32
        out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.pairs)))
        out += b"".join(self.pairs) + b"".join(infos)
        for _, _, _, data in self.tensors:
            out += bytes(-len(out) % 32) + data
        return bytes(out) + bytes(-len(out) % 32)


def parse(words, *more):
    """The options of a model, and the values of the arguments in `more`."""
    def two(kind):
        return lambda words: tuple(kind(word) for word in words.split(","))
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--arch", choices=["deepseek2", "llama", "qwen2", "qwen3", "qwen3moe"], default="deepseek2")
    p.add_argument("--type", choices=TYPES, default="F16", help="of the matrices whose rows it divides")
    p.add_argument("--embedding-type", choices=TYPES, help="of the embedding, where it is another")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--mla", choices=["split", "joined", "both"], default="split",
                   help="attn_k_b and attn_v_b, attn_kv_b with the keys of old files, or all three")
    p.add_argument("--gating", choices=["sigmoid", "softmax"], default="sigmoid")
    p.add_argument("--groups", type=two(int), metavar="N,USED", help="groups of experts; without, the file does not state them")
    p.add_argument("--betas", type=two(float), metavar="FAST,SLOW", help="of YaRN; without, the file does not state them")
    p.add_argument("--no-q-lora", dest="q_lora", action="store_const", const=0)
    p.add_argument("--no-yarn", dest="yarn", action="store_false", default=None)
    p.add_argument("--yarn", action="store_true", default=None, help="the default for deepseek2 only")
    p.add_argument("--tied", action="store_true", help="no output matrix")
    p.add_argument("--rope-base", type=float, default=10000.0)
    for name, value in dict(layers=3, embedding=256, heads=4, kv_heads=2, head=32, feed_forward=512, vocabulary=256, q_lora=96, kv_lora=64,
                            nope=32, rope=16, value=32, experts=16, used=4, expert_width=64, shared=1, leading_dense=1).items():
        p.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    for argument in more:
        p.add_argument(argument)
    options = p.parse_args(words)
    if options.yarn is None:
        options.yarn = options.arch == "deepseek2"
    return options


def make(words):
    return Model(parse(words)).bytes()


if __name__ == "__main__":
    arguments = parse(None, "out")
    with open(arguments.out, "wb") as model:
        model.write(Model(arguments).bytes())
