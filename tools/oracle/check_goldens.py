#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the goldens against a second forward pass, written from the formulas with NumPy alone, in float64.

    tools/oracle/check_goldens.py [--rules] [FOLDER ...]      # folders of tests/golden, tests/golden/moe

It reads the files itself, dequantizes itself (compare_converted.py), goes token by token through the experts and keeps
latent attention compressed, as an engine would; the library does each of these another way. Logits must agree within what
float32 leaves, and chosen experts exactly.

--rules then breaks one rule after another (a bias left out, a norm per head instead of over the full width, a scale of the
neighbouring block ...) and prints how far the logits move, in units of bf16_rms_deviation: what a golden can see. Ends with
1 when logits disagree, or when a broken rule moves them by less than three units.
"""
import argparse
import json
import math
import pathlib
import sys

import numpy

from compare_converted import TABLES, as_float64, expand, find_scale, read_folder, to_bf16_bits

TOLERANCE = 2e-4   # the largest difference of a logit: float32 over a few layers against float64
SEEN = 3.0         # a broken rule must move the logits' root mean square by so many bf16_rms_deviation
EVERY = {
    "gate before up": "the activation is on gate_proj (w1), not on up_proj (w3)",
    "normalized weights": "norm_topk_prob as the configuration says",
    "bias chooses": "e_score_correction_bias takes part in the choice",
    "bias does not weigh": "weights are scores without the bias",
    "bias in float32": "the bias is not rounded to bf16",
    "groups": "only experts of the best topk_group groups",
    "groups by two": "a group is as good as its two best experts together",
    "closed groups at minus infinity": "not at zero",
    "scaling": "routed_scaling_factor",
    "shared experts": "added",
    "shared experts unscaled": "not multiplied by routed_scaling_factor",
    "norm over the full width": "q_norm and k_norm of MiniMax-M2",
    "own slice of k_norm": "the weight follows the KV head",
    "own KV head": "query head h reads KV head h / (heads / KV heads)",
    "first dimensions rotate": "of rotary_dim, not the last",
    "frequencies of rotary_dim": "not of head_dim",
    "rotary layout": "halves, or neighbours where rope_interleave says so",
    "yarn": "frequencies",
    "scale of attention": "mscale_all_dim, squared",
    "attention factor": "mscale over mscale_all_dim on cos and sin",
    "latent norm": "kv_a_layernorm",
    "rotary key unnormed": "kv_a_layernorm leaves the rotary part alone",
    "own scale block": "by global coordinates",
}


# ------------------------------------------------------------------------------- files

def round_bf16(x):
    return (to_bf16_bits(x).astype(numpy.uint32) << 16).view(numpy.float32).astype(numpy.float64)


def read_weights(folder, config, rules):
    tensors = read_folder(folder)
    quant = config.get("quantization_config", {})
    block, weights, scales = quant.get("weight_block_size"), {}, set()
    for name, (dtype, shape, raw) in tensors.items():
        if dtype in TABLES:
            scales.add(find_scale(tensors, name))
            scale_dtype, scale_shape, scale_raw = tensors[find_scale(tensors, name)]
            scale = as_float64(scale_dtype, numpy.array(scale_raw)).reshape(scale_shape)
            if "own scale block" not in rules and scale.size > 1:
                scale = numpy.roll(scale, 1, axis=0 if scale.shape[0] > 1 else 1)
            weights[name] = round_bf16(TABLES[dtype][raw].reshape(shape) * expand(scale, shape, block))
    for name, (dtype, shape, raw) in tensors.items():
        if name not in weights and name not in scales and not name.endswith("input_scale"):
            weights[name] = as_float64(dtype, numpy.array(raw)).reshape(shape)
    return weights


def read_reference(folder):
    out = {}
    for name, (dtype, shape, raw) in read_folder(folder).items():
        raw = numpy.array(raw)
        out[name] = (raw.view("<i8") if dtype == "I64" else as_float64(dtype, raw)).reshape(shape)
    return out


# ------------------------------------------------------------------------------- formulas

def silu(x):
    return x / (1 + numpy.exp(-x))


def sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def softmax(x):
    e = numpy.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rms_norm(x, weight, eps):
    return x / numpy.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def best(scores, n):
    """Indices of the n largest, ascending."""
    return numpy.sort(numpy.argsort(-scores, kind="stable")[:n])


class Rope:
    """cos and sin of every position and pair, and how pairs lie in a head."""

    def __init__(self, config, n_position, dim, head_dim, rules):
        found = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
        theta = found.get("rope_theta", config.get("rope_theta", 10000.0))
        kind = found.get("rope_type", found.get("type", "default"))
        self.neighbours = (config["model_type"] == "deepseek_v3" and config.get("rope_interleave", True)) \
            == ("rotary layout" in rules)
        self.dim, self.at_front, self.factor, self.softmax = dim, "first dimensions rotate" in rules, 1.0, 1.0
        pair = numpy.arange(0, dim, 2)
        frequency = theta ** -(pair / (dim if "frequencies of rotary_dim" in rules else head_dim))
        if kind == "yarn":
            frequency = self.yarn(frequency, theta, found, config, rules)
        elif kind == "llama3":
            frequency = self.llama3(frequency, found)
        angle = numpy.outer(numpy.arange(n_position), frequency)
        self.cos, self.sin = self.factor * numpy.cos(angle), self.factor * numpy.sin(angle)

    def yarn(self, frequency, theta, found, config, rules):
        factor, length = found["factor"], found.get("original_max_position_embeddings", config["max_position_embeddings"])

        def mscale(m):
            return 0.1 * m * math.log(factor) + 1 if factor > 1 else 1.0

        def turns_at(turns):   # the dimension that turns so often within the training length
            return self.dim * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(theta))

        over, under = found.get("mscale"), found.get("mscale_all_dim")
        if "attention factor" in rules:
            self.factor = found.get("attention_factor") or (mscale(over) / mscale(under) if over and under else mscale(1))
        if under and "scale of attention" in rules and config["model_type"] == "deepseek_v3":
            self.softmax = mscale(under) ** 2
        if "yarn" not in rules:
            return frequency
        low = max(math.floor(turns_at(found.get("beta_fast") or 32)), 0)
        high = min(math.ceil(turns_at(found.get("beta_slow") or 1)), self.dim - 1)
        ramp = numpy.clip((numpy.arange(self.dim // 2) - low) / max(high - low, 0.001), 0, 1)
        return frequency * (1 - ramp) + frequency / factor * ramp

    @staticmethod
    def llama3(frequency, found):
        turns = found["original_max_position_embeddings"] * frequency / (2 * math.pi)
        low, high = found["low_freq_factor"], found["high_freq_factor"]
        smooth = numpy.clip((turns - low) / (high - low), 0, 1)
        return frequency * smooth + frequency / found["factor"] * (1 - smooth)

    def __call__(self, x):
        """x [tokens, heads, head_dim], a rotated copy in the same layout."""
        out = x.copy()
        part = out[..., :self.dim] if self.at_front else out[..., out.shape[-1] - self.dim:]
        first, second = (part[..., 0::2], part[..., 1::2]) if self.neighbours else numpy.split(part, 2, axis=-1)
        a, b = first.copy(), second.copy()
        cos, sin = self.cos[:, None], self.sin[:, None]
        first[...], second[...] = a * cos - b * sin, b * cos + a * sin
        return out


def attend(scores):
    """Causal softmax of [heads, tokens, tokens]."""
    n = scores.shape[-1]
    return softmax(numpy.where(numpy.tri(n, dtype=bool), scores, -numpy.inf))


class Model:
    def __init__(self, folder, rules):
        self.config = json.loads((folder / "config.json").read_text())
        self.rules, self.weights = rules, read_weights(folder, self.config, rules)
        self.experts = []

    def linear(self, x, name):
        y = x @ self.weights[name + ".weight"].T
        return y + self.weights[name + ".bias"] if name + ".bias" in self.weights else y

    def norm(self, x, name, eps=None):
        return rms_norm(x, self.weights[name + ".weight"], eps or self.config["rms_norm_eps"])

    # ---------------------------------------------------------------------------- attention

    def qk_norm(self, x, name, n_head):
        """Per head (Qwen3), over the full width (MiniMax-M2), or none."""
        weight = self.weights.get(name + ".weight")
        if weight is None:
            return x.reshape(len(x), n_head, -1)
        heads = x.reshape(len(x), n_head, -1)
        if weight.size != x.shape[1]:
            return self.norm(heads, name)
        weight = weight.reshape(n_head, -1)
        if "own slice of k_norm" not in self.rules and name.endswith("k_norm"):
            weight = numpy.roll(weight, 1, axis=0)
        if "norm over the full width" in self.rules:
            return rms_norm(x, weight.reshape(-1), self.config["rms_norm_eps"]).reshape(heads.shape)
        return rms_norm(heads, weight, self.config["rms_norm_eps"])

    def attention(self, x, name):
        config = self.config
        n_head, n_kv = config["num_attention_heads"], config["num_key_value_heads"]
        head_dim = config.get("head_dim") or config["hidden_size"] // n_head
        partial = (config.get("rope_parameters") or {}).get("partial_rotary_factor", 1.0)
        rope = Rope(config, len(x), config.get("rotary_dim", int(head_dim * partial)), head_dim, self.rules)
        q = rope(self.qk_norm(self.linear(x, f"{name}.q_proj"), f"{name}.q_norm", n_head))
        k = rope(self.qk_norm(self.linear(x, f"{name}.k_proj"), f"{name}.k_norm", n_kv))
        v = self.linear(x, f"{name}.v_proj").reshape(len(x), n_kv, head_dim)
        group = numpy.arange(n_head) * n_kv // n_head if "own KV head" in self.rules else numpy.arange(n_head) % n_kv
        p = attend(numpy.einsum("qhd,khd->hqk", q, k[:, group]) / math.sqrt(head_dim))
        return self.linear(numpy.einsum("hqk,khd->qhd", p, v[:, group]).reshape(len(x), -1), f"{name}.o_proj")

    def latent_attention(self, x, name):
        """Scores and sums over the compressed cache: one latent and one rotary key for each token."""
        config = self.config
        n_head, rank = config["num_attention_heads"], config["kv_lora_rank"]
        nope, rotary, v_dim = (config[k] for k in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
        rope = Rope(config, len(x), rotary, nope + rotary, self.rules)
        if config.get("q_lora_rank"):
            q = self.linear(self.norm(self.linear(x, f"{name}.q_a_proj"), f"{name}.q_a_layernorm", 1e-6), f"{name}.q_b_proj")
        else:
            q = self.linear(x, f"{name}.q_proj")
        q = q.reshape(len(x), n_head, nope + rotary)
        latent, key = numpy.split(self.linear(x, f"{name}.kv_a_proj_with_mqa"), [rank], axis=1)
        if "rotary key unnormed" not in self.rules:
            key = rms_norm(key, 1.0, 1e-6)
        if "latent norm" in self.rules:
            latent = self.norm(latent, f"{name}.kv_a_layernorm", 1e-6)
        up = self.weights[f"{name}.kv_b_proj.weight"].reshape(n_head, nope + v_dim, rank)
        absorbed = numpy.einsum("qhd,hdr->qhr", q[..., :nope], up[:, :nope])
        scores = numpy.einsum("qhr,kr->hqk", absorbed, latent) \
            + numpy.einsum("qhd,kd->hqk", rope(q[..., nope:]), rope(key[:, None])[:, 0])
        p = attend(scores * rope.softmax / math.sqrt(nope + rotary))
        y = numpy.einsum("hqr,hdr->qhd", numpy.einsum("hqk,kr->hqr", p, latent), up[:, nope:])
        return self.linear(y.reshape(len(x), -1), f"{name}.o_proj")

    # ---------------------------------------------------------------------------- feed-forward

    def feed_forward(self, x, gate, up, down):
        if "gate before up" not in self.rules:
            gate, up = up, gate
        return self.linear(silu(self.linear(x, gate)) * self.linear(x, up), down)

    def dense(self, x, name):
        return self.feed_forward(x, f"{name}.gate_proj", f"{name}.up_proj", f"{name}.down_proj")

    def open_experts(self, biased):
        """The scores of one token, with closed groups out of reach."""
        n_group = self.config.get("n_group") or 1
        if n_group == 1 or "groups" not in self.rules:
            return biased
        groups = biased.reshape(n_group, -1)
        two = numpy.sort(groups, axis=1)[:, -2 if "groups by two" in self.rules else -1:].sum(1)
        closed = -numpy.inf if "closed groups at minus infinity" in self.rules else 0.0
        out = numpy.full_like(groups, closed)
        kept = best(two, self.config["topk_group"])
        out[kept] = groups[kept]
        return out.reshape(-1)

    def route(self, logits, bias):
        """Experts of one token and their weights."""
        config, rules = self.config, self.rules
        n = config["num_experts_per_tok"]
        if bias is None:
            scores = softmax(logits)
            biased = scores
        else:
            scores = sigmoid(logits)
            bias = bias if "bias in float32" in rules else round_bf16(bias)
            biased = scores + bias if "bias chooses" in rules else scores
        chosen = best(self.open_experts(biased), n)
        weights = scores[chosen] if "bias does not weigh" in rules else biased[chosen]
        if config.get("norm_topk_prob", config["model_type"] == "minimax_m2") == ("normalized weights" in rules):
            weights = weights / weights.sum()
        return chosen, weights * (config.get("routed_scaling_factor", 1.0) if "scaling" in rules else 1.0)

    def sparse(self, x, name):
        config = self.config
        gate, up, down = ("w1", "w3", "w2") if config["model_type"] == "minimax_m2" else ("gate_proj", "up_proj", "down_proj")
        bias = self.weights.get(f"{name}.e_score_correction_bias", self.weights.get(f"{name}.gate.e_score_correction_bias"))
        y, ids, shares = numpy.zeros_like(x), [], []
        for t, logits in enumerate(self.linear(x, f"{name}.gate")):
            chosen, weights = self.route(logits, bias)
            for e, weight in zip(chosen, weights):
                expert = f"{name}.experts.{e}."
                y[t] += weight * self.feed_forward(x[t], expert + gate, expert + up, expert + down)
            ids.append(chosen)
            shares.append(weights)
        self.experts.append((numpy.array(ids), numpy.array(shares)))
        if f"{name}.shared_experts.up_proj.weight" in self.weights and "shared experts" in self.rules:
            scale = 1.0 if "shared experts unscaled" in self.rules else config["routed_scaling_factor"]
            y += scale * self.dense(x, f"{name}.shared_experts")
        return y

    def logits(self, ids):
        attention = self.latent_attention if "kv_lora_rank" in self.config else self.attention
        x = self.weights["model.embed_tokens.weight"][ids]
        for i in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{i}"
            x = x + attention(self.norm(x, f"{layer}.input_layernorm"), f"{layer}.self_attn")
            h = self.norm(x, f"{layer}.post_attention_layernorm")
            block = f"{layer}.block_sparse_moe" if f"{layer}.block_sparse_moe.gate.weight" in self.weights else f"{layer}.mlp"
            x = x + (self.sparse if f"{block}.gate.weight" in self.weights else self.dense)(h, block)
        head = "model.embed_tokens.weight" if self.config["tie_word_embeddings"] else "lm_head.weight"
        return self.norm(x, "model.norm") @ self.weights[head].T


# ------------------------------------------------------------------------------- the check

def check(folder, with_rules):
    reference = read_reference(folder)
    ids = numpy.concatenate([reference["prompt_ids"], reference["greedy_ids"][:-1]])
    model = Model(folder / "checkpoint", set(EVERY))
    off = numpy.abs(model.logits(ids) - reference["logits"]).max()
    wrong = off > TOLERANCE
    if "expert_ids" in reference:
        same = all(numpy.array_equal(a, b) for (a, _), b in zip(model.experts, reference["expert_ids"]))
        share = max(numpy.abs(a - b).max() for (_, a), b in zip(model.experts, reference["expert_weights"]))
        wrong |= not same or len(model.experts) != len(reference["expert_ids"]) or share > TOLERANCE
        print(f"{folder.name}: logits within {off:.1e}, experts {'the same' if same else 'OTHERS'}, weights within {share:.1e}")
    else:
        print(f"{folder.name}: logits within {off:.1e}")
    for rule in EVERY if with_rules else ():
        with numpy.errstate(over="ignore"):
            moved = Model(folder / "checkpoint", set(EVERY) - {rule}).logits(ids) - reference["logits"]
        units = math.sqrt((moved ** 2).mean()) / reference["bf16_rms_deviation"]
        if units > 1e-2:      # else the rule has nothing to say about this checkpoint
            wrong |= units < SEEN
            print(f"    without \"{rule}\": {units:.1f}{'  UNSEEN' if units < SEEN else ''}")
    return wrong


def main():
    root = pathlib.Path(__file__).parent / "../../tests/golden"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", action="store_true")
    parser.add_argument("folders", nargs="*", type=pathlib.Path)
    args = parser.parse_args()
    folders = args.folders or sorted(p.parent.parent for p in [*root.glob("*/checkpoint/config.json"),
                                                               *root.glob("moe/*/checkpoint/config.json")])
    return any([check(folder, args.rules) for folder in folders])


if __name__ == "__main__":
    sys.exit(main())
