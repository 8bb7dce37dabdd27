#!/usr/bin/env python3
"""What a model file's logits are, in double precision: reference.py MODEL.gguf --tokens 1,2,3 --out OUT.f64

Written from the papers (Attention Is All You Need; GQA, arXiv 2305.13245; RoFormer, arXiv 2104.09864; YaRN, arXiv
2309.00071; DeepSeek-V2, arXiv 2405.04434, and V3, arXiv 2412.19437) as one straight line of formulas, with MLA
decompressed, and kept apart from the engine it is held against. OUT.f64: tokens x vocabulary little-endian doubles.
Matrices are converted one by one, so that large files work, slowly. Needs NumPy only.
"""
import argparse
import sys

import numpy as np

from gguf import File

ROWS_AT_ONCE = 1 << 24   # numbers of a matrix that are float64 at once


def rms_norm(x, weight, epsilon):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


class Model:
    def __init__(self, path):
        self.file = File(path)
        self.arch = self.file.keys["general.architecture"]
        if self.arch not in ("deepseek2", "llama", "qwen2", "qwen3", "qwen3moe"):
            raise SystemExit(f"{path}: the architecture '{self.arch}' is not supported")
        self.deepseek = self.arch == "deepseek2"
        self.d, self.heads = self.key("embedding_length"), self.key("attention.head_count")
        self.epsilon = self.key("attention.layer_norm_rms_epsilon")
        self.layers = self.key("block_count")
        extra = self.key("nextn_predict_layers", 0)
        if extra and self.has(f"blk.{self.layers - extra}.nextn.eh_proj.weight"):
            self.layers -= extra   # layers of multi-token prediction stand behind the trunk
        if self.deepseek:
            self.head = self.key("attention.key_length_mla", self.key("attention.key_length"))
            self.value = self.key("attention.value_length_mla", self.key("attention.value_length"))
            self.rotated = self.key("rope.dimension_count")
            self.latent = self.key("attention.kv_lora_rank")
        else:
            self.head = self.key("attention.key_length", self.d // self.heads)
            self.kv_heads = self.key("attention.head_count_kv", self.heads)
            self.rotated = self.key("rope.dimension_count", self.head)
        self.adjacent = self.arch in ("deepseek2", "llama")   # which numbers of a head make a pair
        self.experts = self.key("expert_count", 0)
        self.read_rope()

    def key(self, name, default=None):
        value = self.file.keys.get(f"{self.arch}.{name}", default)
        if value is None:
            raise SystemExit(f"the key {self.arch}.{name} is missing")
        return value

    def has(self, name):
        return name in self.file.tensors

    def read_rope(self):
        n, base = self.rotated, self.key("rope.freq_base", 10000.0)
        kind = self.key("rope.scaling.type", "linear")
        factor = self.key("rope.scaling.factor", self.key("rope.scale_linear", 1.0)) if kind != "none" else 1.0
        i = np.arange(n // 2)
        plain = base ** (-2.0 * i / n)
        self.frequencies, self.magnitude = plain / factor, self.key("rope.scaling.attn_factor", 1.0)
        scale = 1 / np.sqrt(self.head)
        if kind == "yarn":
            # Kimi-K2 (384 experts) was trained with 1 and 1, which its older files do not state.
            fast = self.key("rope.scaling.yarn_beta_fast", 1.0 if self.deepseek and self.experts == 384 else 32.0)
            slow = self.key("rope.scaling.yarn_beta_slow", 1.0)
            original = self.key("rope.scaling.original_context_length", self.key("context_length"))
            pair = lambda turns: n * np.log(original / (2 * np.pi * turns)) / (2 * np.log(base))
            low, high = max(0.0, np.floor(pair(fast))), min(n - 1.0, np.ceil(pair(slow)))
            keep = 1 - np.clip((i - low) / max(0.001, high - low), 0, 1)
            self.frequencies = plain / factor * (1 - keep) + plain * keep
            if factor > 1 and self.deepseek:
                # The key holds a tenth of mscale_all_dim; the magnitude goes onto the softmax's scale, squared.
                scale *= (self.key("rope.scaling.yarn_log_multiplier", 0.0) * np.log(factor) + 1) ** 2
            elif factor > 1:
                self.magnitude *= 1 + 0.1 * np.log(factor)
        if self.has("rope_freqs.weight"):
            self.frequencies = self.frequencies / self.vector("rope_freqs.weight")
        self.scale = scale

    def vector(self, name):
        return self.file.tensors[name].vector()

    def times(self, name, x, index=0):
        """x: [..., inputs] -> [..., outputs], by one matrix of the tensor."""
        tensor = self.file.tensors[name]
        outputs, inputs = tensor.shape[-2], tensor.shape[-1]
        step = max(1, ROWS_AT_ONCE // inputs)
        parts = []
        for begin in range(0, outputs, step):
            first = index * outputs + begin
            parts.append(x @ tensor.rows(first, first + min(step, outputs - begin)).T)
        return np.concatenate(parts, axis=-1)

    def norm(self, name, x):
        return rms_norm(x, self.vector(name), self.epsilon)

    def rotate(self, x):
        """x: [tokens, ..., head]: turns the pairs of the first `rotated` numbers by position and frequency."""
        n = self.rotated
        angles = np.arange(x.shape[0])[:, None] * self.frequencies
        angles = angles.reshape((x.shape[0],) + (1,) * (x.ndim - 2) + (n // 2,))
        cos, sin = np.cos(angles) * self.magnitude, np.sin(angles) * self.magnitude
        first, second = (np.arange(0, n, 2), np.arange(1, n, 2)) if self.adjacent else (np.arange(n // 2), np.arange(n // 2, n))
        out = x.copy()
        out[..., first] = x[..., first] * cos - x[..., second] * sin
        out[..., second] = x[..., first] * sin + x[..., second] * cos
        return out

    def attend(self, q, k, v):
        """[tokens, heads, numbers] each."""
        scores = np.einsum("qhn,khn->hqk", q, k) * self.scale
        tokens = len(q)
        scores[:, np.triu(np.ones((tokens, tokens), bool), 1)] = -np.inf
        return np.einsum("hqk,khn->qhn", softmax(scores), v).reshape(tokens, -1)

    def mla(self, block, x):
        tokens, nope = len(x), self.head - self.rotated
        if self.has(block + "attn_q_a.weight"):
            q = self.times(block + "attn_q_b.weight", self.norm(block + "attn_q_a_norm.weight", self.times(block + "attn_q_a.weight", x)))
        else:
            q = self.times(block + "attn_q.weight", x)
        q = q.reshape(tokens, self.heads, self.head)
        kv = self.times(block + "attn_kv_a_mqa.weight", x)
        latent = self.norm(block + "attn_kv_a_norm.weight", kv[:, :self.latent])
        if self.has(block + "attn_k_b.weight"):
            k_b = self.file.tensors[block + "attn_k_b.weight"].stack()    # [head, latent, nope]
            v_b = self.file.tensors[block + "attn_v_b.weight"].stack()    # [head, value, latent]
        else:
            kv_b = self.file.tensors[block + "attn_kv_b.weight"].matrix().reshape(self.heads, nope + self.value, self.latent)
            k_b, v_b = kv_b[:, :nope].transpose(0, 2, 1), kv_b[:, nope:]
        k_nope = np.einsum("tl,hln->thn", latent, k_b)
        v = np.einsum("tl,hvl->thv", latent, v_b)
        # One rotated key for all heads.
        k_rope = np.repeat(self.rotate(kv[:, None, self.latent:]), self.heads, axis=1)
        q = np.concatenate([q[..., :nope], self.rotate(q[..., nope:])], axis=-1)
        return self.times(block + "attn_output.weight", self.attend(q, np.concatenate([k_nope, k_rope], axis=-1), v))

    def gqa(self, block, x):
        tokens, kv = len(x), self.kv_heads * self.head
        biased = lambda name, y: y + self.vector(block + name) if self.has(block + name) else y
        if self.has(block + "attn_qkv.weight"):
            all_three = biased("attn_qkv.bias", self.times(block + "attn_qkv.weight", x))
            q, k, v = np.split(all_three, [self.heads * self.head, self.heads * self.head + kv], axis=1)
        else:
            q, k, v = (biased(f"attn_{n}.bias", self.times(f"{block}attn_{n}.weight", x)) for n in "qkv")
        q, k, v = q.reshape(tokens, self.heads, -1), k.reshape(tokens, self.kv_heads, -1), v.reshape(tokens, self.kv_heads, -1)
        if self.arch.startswith("qwen3"):
            q, k = self.norm(block + "attn_q_norm.weight", q), self.norm(block + "attn_k_norm.weight", k)
        q, k = self.rotate(q), self.rotate(k)
        share = self.heads // self.kv_heads
        return self.times(block + "attn_output.weight", self.attend(q, np.repeat(k, share, axis=1), np.repeat(v, share, axis=1)))

    def gated(self, block, suffix, x, index=0):
        if self.has(f"{block}ffn_gate_up{suffix}"):
            gate, up = np.split(self.times(f"{block}ffn_gate_up{suffix}", x, index), 2, axis=-1)
        else:
            gate, up = self.times(f"{block}ffn_gate{suffix}", x, index), self.times(f"{block}ffn_up{suffix}", x, index)
        return self.times(f"{block}ffn_down{suffix}", silu(gate) * up, index)

    def route(self, block, x):
        """The experts of each token and their weights: [tokens, used] each."""
        logits = self.times(block + "ffn_gate_inp.weight", x)
        gating = self.key("expert_gating_func", 0) if self.deepseek else 1
        if gating > 2:
            raise SystemExit(f"the router function {gating} is not supported")
        scores = 1 / (1 + np.exp(-logits)) if gating == 2 else softmax(logits)
        biased = self.has(block + "exp_probs_b.bias")
        choice = scores + self.vector(block + "exp_probs_b.bias") if biased else scores.copy()
        groups, kept = 1, 1
        if self.deepseek:
            if self.experts == 256 and gating == 2:
                groups, kept = 8, 4    # V3
            elif self.experts == 160 and gating != 2:
                groups, kept = 8, 3    # V2
            groups = self.key("expert_group_count", groups)
            kept = self.key("expert_group_used_count", kept if f"{self.arch}.expert_group_count" not in self.file.keys else groups)
        largest = lambda values, count: np.argsort(-values, axis=1, kind="stable")[:, :count]
        if groups > 1:
            parts = np.sort(choice.reshape(len(x), groups, -1), axis=2)[:, :, ::-1]
            best = largest(parts[:, :, :2].sum(axis=2) if biased else parts[:, :, 0], kept)
            out = np.ones((len(x), groups), bool)
            np.put_along_axis(out, best, False, axis=1)
            choice[np.repeat(out, self.experts // groups, axis=1)] = -np.inf
        chosen = largest(choice, self.key("expert_used_count"))
        weights = np.take_along_axis(scores, chosen, axis=1)
        if not self.deepseek or self.key("expert_weights_norm", False):
            weights = weights / (weights.sum(axis=1, keepdims=True) + 1e-20)
        return chosen, weights * ((self.key("expert_weights_scale", 0.0) or 1.0) if self.deepseek else 1.0)

    def feed_forward(self, block, layer, x):
        dense = self.experts == 0 or (self.deepseek and layer < self.key("leading_dense_block_count", 0))
        if dense:
            return self.gated(block, ".weight", x)
        chosen, weights = self.route(block, x)
        out = self.gated(block, "_shexp.weight", x) if self.deepseek and self.key("expert_shared_count", 0) else np.zeros_like(x)
        for expert in np.unique(chosen):
            token, place = np.nonzero(chosen == expert)
            out[token] += weights[token, place][:, None] * self.gated(block, "_exps.weight", x[token], expert)
        return out

    def logits(self, tokens):
        embedding = self.file.tensors["token_embd.weight"]
        h = np.concatenate([embedding.rows(token, token + 1) for token in tokens])
        for layer in range(self.layers):
            block = f"blk.{layer}."
            attention = self.mla if self.deepseek else self.gqa
            h = h + attention(block, self.norm(block + "attn_norm.weight", h))
            h = h + self.feed_forward(block, layer, self.norm(block + "ffn_norm.weight", h))
        output = "output.weight" if self.has("output.weight") else "token_embd.weight"
        return self.times(output, self.norm("output_norm.weight", h))

    @property
    def vocabulary(self):
        return self.file.tensors["token_embd.weight"].shape[0]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("model")
    p.add_argument("--tokens", required=True, metavar="1,2,3")
    p.add_argument("--out", required=True, metavar="OUT.f64")
    o = p.parse_args()
    logits = Model(o.model).logits([int(token) for token in o.tokens.split(",")])
    logits.astype("<f8").tofile(o.out)
    print(f"{logits.shape[0]} tokens x {logits.shape[1]} logits", file=sys.stderr)


if __name__ == "__main__":
    main()
