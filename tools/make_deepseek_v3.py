#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a directory with the headers of DeepSeek-V3 (671B) and no data: config.json, the index, and shards that are
sparse files, so that 641 GiB take a few megabytes of disk. For measuring what reads headers only.

    tools/make_deepseek_v3.py OUT            the real model: 163 shards, 91,991 tensors
    tools/make_deepseek_v3.py OUT --layers 6 a smaller one: layers 0 to 5 and the MTP layer

The dimensions are those of the published config.json; the totals of the published inventories are asserted."""
import argparse
import json
import os
import struct

HIDDEN, VOCAB, HEADS = 7168, 129280, 128
Q_RANK, KV_RANK, NOPE, ROPE, VALUE = 1536, 512, 128, 64, 128
FFN, EXPERT_FFN, DENSE_LAYERS = 18432, 2048, 3
BYTES = {"F8_E4M3": 1, "BF16": 2, "F32": 4}
# dtype -> tensors, bytes of the whole model: (FP8 weights, BF16, F32 scales and router corrections)
TOTALS = {"F8_E4M3": (45808, 680571043840), "BF16": (316, 7837573120), "F32": (45808 + 59, 166161984 + 60416)}


def fp8(name, rows, cols):
    yield name + ".weight", "F8_E4M3", [rows, cols]
    yield name + ".weight_scale_inv", "F32", [-(-rows // 128), -(-cols // 128)]


def bf16(name, *shape):
    yield name + ".weight", "BF16", list(shape)


def mlp(name, width):
    yield from fp8(name + ".gate_proj", width, HIDDEN)
    yield from fp8(name + ".up_proj", width, HIDDEN)
    yield from fp8(name + ".down_proj", HIDDEN, width)


def layer(number, experts):
    name = f"model.layers.{number}."
    yield from fp8(name + "self_attn.q_a_proj", Q_RANK, HIDDEN)
    yield from bf16(name + "self_attn.q_a_layernorm", Q_RANK)
    yield from fp8(name + "self_attn.q_b_proj", HEADS * (NOPE + ROPE), Q_RANK)
    yield from fp8(name + "self_attn.kv_a_proj_with_mqa", KV_RANK + ROPE, HIDDEN)
    yield from bf16(name + "self_attn.kv_a_layernorm", KV_RANK)
    yield from fp8(name + "self_attn.kv_b_proj", HEADS * (NOPE + VALUE), KV_RANK)
    yield from fp8(name + "self_attn.o_proj", HIDDEN, HEADS * VALUE)
    if number < DENSE_LAYERS:
        yield from mlp(name + "mlp", FFN)
    else:
        yield from bf16(name + "mlp.gate", experts, HIDDEN)
        yield name + "mlp.gate.e_score_correction_bias", "F32", [experts]
        yield from mlp(name + "mlp.shared_experts", EXPERT_FFN)
        for expert in range(experts):
            yield from mlp(f"{name}mlp.experts.{expert}", EXPERT_FFN)
    yield from bf16(name + "input_layernorm", HIDDEN)
    yield from bf16(name + "post_attention_layernorm", HIDDEN)


def model(layers, experts):
    yield from bf16("model.embed_tokens", VOCAB, HIDDEN)
    for number in range(layers):
        yield from layer(number, experts)
    yield from bf16("model.norm", HIDDEN)
    yield from bf16("lm_head", VOCAB, HIDDEN)
    name = f"model.layers.{layers}."  # multi-token prediction
    yield from bf16(name + "embed_tokens", VOCAB, HIDDEN)
    yield from bf16(name + "enorm", HIDDEN)
    yield from bf16(name + "hnorm", HIDDEN)
    yield from bf16(name + "eh_proj", HIDDEN, 2 * HIDDEN)
    yield from layer(layers, experts)
    yield from bf16(name + "shared_head.norm", HIDDEN)
    yield from bf16(name + "shared_head.head", VOCAB, HIDDEN)


def size(dtype, shape):
    n = BYTES[dtype]
    for dim in shape:
        n *= dim
    return n


def check_totals(tensors):
    for dtype, expected in TOTALS.items():
        sizes = [size(d, shape) for _, d, shape in tensors if d == dtype]
        assert (len(sizes), sum(sizes)) == expected, f"{dtype}: {len(sizes)} tensors, {sum(sizes)} bytes"
    assert len(tensors) == 91991
    assert sum(size(d, shape) for _, d, shape in tensors) == 688574839360


def write_shard(path, tensors):
    """Tensors as the safetensors library lays them out: by falling alignment of the dtype, then by name."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape in sorted(tensors, key=lambda t: (-BYTES[t[1]], t[0])):
        begin, end = end, end + size(dtype, shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def config(layers, experts):
    return {
        "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "attention_bias": False,
        "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": DENSE_LAYERS, "hidden_act": "silu",
        "hidden_size": HIDDEN, "intermediate_size": FFN, "kv_lora_rank": KV_RANK, "max_position_embeddings": 163840,
        "moe_intermediate_size": EXPERT_FFN, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": experts,
        "n_shared_experts": 1, "norm_topk_prob": True, "num_attention_heads": HEADS, "num_experts_per_tok": 8,
        "num_hidden_layers": layers, "num_key_value_heads": HEADS, "num_nextn_predict_layers": 1,
        "q_lora_rank": Q_RANK, "qk_nope_head_dim": NOPE, "qk_rope_head_dim": ROPE, "rms_norm_eps": 1e-06,
        "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                                "weight_block_size": [128, 128]},
        "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
                         "original_max_position_embeddings": 4096, "type": "yarn"},
        "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": False,
        "topk_group": 4, "topk_method": "noaux_tc", "torch_dtype": "bfloat16", "v_head_dim": VALUE,
        "vocab_size": VOCAB,
    }


def main():
    parser = argparse.ArgumentParser(description="a sparse DeepSeek-V3 directory: real headers, no data")
    parser.add_argument("out")
    parser.add_argument("--layers", type=int, default=61)
    parser.add_argument("--experts", type=int, default=256)
    args = parser.parse_args()

    tensors = list(model(args.layers, args.experts))
    total = sum(size(dtype, shape) for _, dtype, shape in tensors)
    if args.layers == 61 and args.experts == 256:
        check_totals(tensors)
    n_shard = max(1, round(total * 163 / 688574839360))
    shards, done = [[] for _ in range(n_shard)], 0
    for tensor in tensors:
        shards[done * n_shard // total].append(tensor)
        done += size(tensor[1], tensor[2])
    os.makedirs(args.out, exist_ok=True)
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{n_shard:06}.safetensors"
        write_shard(os.path.join(args.out, name), shard)
        weight_map.update({tensor[0]: name for tensor in shard})
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(os.path.join(args.out, "model.safetensors.index.json"), index)
    write_json(os.path.join(args.out, "config.json"), config(args.layers, args.experts))
    print(f"{args.out}: {len(tensors)} tensors in {n_shard} shards, {total} bytes of (absent) data")


if __name__ == "__main__":
    main()
