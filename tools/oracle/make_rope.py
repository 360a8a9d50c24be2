# SPDX-License-Identifier: Apache-2.0
"""Writes tests/model/rope_reference.inc: rotary tables as transformers computes them in float32, for tests/model/test_rope.c.

    python tools/oracle/make_rope.py
"""
import json
import pathlib

import torch
import transformers
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

CASES = {
    "default": {"rope_theta": 10000.0},
    "default_1e6": {"rope_theta": 1000000.0, "head_dim": 128},
    "linear": {"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.5}},
    "llama3": {
        "rope_theta": 500000.0,
        "max_position_embeddings": 131072,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        "head_dim": 128,
    },
    "yarn": {
        "rope_theta": 1000000.0,
        "max_position_embeddings": 40960,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
        "head_dim": 128,
    },
    "yarn_whole": {
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 40.0,
            "original_max_position_embeddings": 4096,
            "mscale": 1.0,
            "mscale_all_dim": 0.7,
            "beta_fast": 24.0,
            "beta_slow": 2.0,
            "truncate": False,
        },
        "max_position_embeddings": 163840,
    },
    "yarn_factor": {
        "rope_theta": 10000.0,
        "max_position_embeddings": 128,
        "rope_scaling": {
            "type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "attention_factor": 1.25,
            "beta_fast": 2.0,
            "beta_slow": 0.5,
        },
    },
    "yarn_derived": {
        "rope_theta": 10000.0,
        "max_position_embeddings": 4096,
        "rope_scaling": {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 1024},
    },
}
POSITIONS = [0, 1, 2, 7, 100, 4095, 40959]
BASE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "num_attention_heads": 4,
    "head_dim": 32,
    "max_position_embeddings": 2048,
}


def bits(tensor):
    return ", ".join(f"{value & 0xFFFFFFFF:#010x}" for value in tensor.contiguous().view(torch.int32).flatten().tolist())


def rows(name, tensor):
    lines = "\n".join(f"    {bits(row)}," for row in tensor.reshape(-1, tensor.shape[-1]))
    return f"static const uint32_t {name}[] = {{\n{lines}\n}};\n"


def main():
    out = [
        "// Written by tools/oracle/make_rope.py with transformers "
        f"{transformers.__version__}; float32 bits. Do not edit.\n",
        f"static const int64_t rope_positions[] = {{{', '.join(map(str, POSITIONS))}}};\n",
    ]
    table = []
    for name, change in CASES.items():
        config_json = {**BASE, **change}
        config = transformers.LlamaConfig(**json.loads(json.dumps(config_json)))
        rope = LlamaRotaryEmbedding(config)
        cos, sin = rope(torch.zeros(1, dtype=torch.float32), torch.tensor([POSITIONS]))
        half = rope.inv_freq.shape[0]
        out.append(rows(f"rope_inv_freq_{name}", rope.inv_freq))
        out.append(rows(f"rope_table_{name}", torch.cat([cos[0, :, :half], sin[0, :, :half]], dim=1)))
        text = json.dumps(config_json).replace("\\", "\\\\").replace('"', '\\"')
        table.append(f'    {{"{name}", "{text}",\n     {half}, rope_inv_freq_{name}, rope_table_{name}}},\n')
    out.append("static const rope_case rope_cases[] = {\n" + "".join(table) + "};\n")
    path = pathlib.Path(__file__).resolve().parents[2] / "tests" / "model" / "rope_reference.inc"
    path.write_text("".join(out))


if __name__ == "__main__":
    main()
