#!/usr/bin/env python3
"""Writes the golden checkpoints of mixture-of-experts models, tests/golden/moe/, as make_goldens.py does the dense ones.

Tensors are named and typed as on the hub: one tensor for each projection of each expert, routers that FP8 leaves alone.
Every router leads by a wide margin over the golden's sequence (experts.py), so a bf16 engine has to choose the same experts.

usage: make_moe_goldens.py [--out tests/golden/moe] [NAME ...]
"""
from make_goldens import Variant, block_fp8, main, new_style, old_style, without


def qwen3_moe(**more):
    base = {"architectures": ["Qwen3MoeForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
            "bos_token_id": 1, "decoder_sparse_step": 1, "eos_token_id": 2, "head_dim": 12, "hidden_act": "silu",
            "hidden_size": 64, "initializer_range": 0.02, "intermediate_size": 88, "max_position_embeddings": 512,
            "max_window_layers": 3, "mlp_only_layers": [], "model_type": "qwen3_moe", "moe_intermediate_size": 20,
            "norm_topk_prob": True, "num_attention_heads": 6, "num_experts": 8, "num_experts_per_tok": 2,
            "num_hidden_layers": 3, "num_key_value_heads": 3, "output_router_logits": False, "rms_norm_eps": 1e-06,
            "router_aux_loss_coef": 0.001, "sliding_window": None, "tie_word_embeddings": False, "use_cache": True,
            "use_sliding_window": False, "vocab_size": 97}
    base.update(more)
    return dict(sorted(base.items()))


def not_converted(layers):
    """The list of Qwen's FP8 releases."""
    return ["lm_head"] + [f"model.layers.{i}.{m}" for i in range(layers)
                          for m in ("input_layernorm", "mlp.gate", "post_attention_layernorm")]


VARIANTS = [
    Variant("qwen3_moe_bf16",
            qwen3_moe(**old_style(1000000.0), mlp_only_layers=[1]),
            "bf16, 8 experts, 2 for each token, weights normalized, layer 1 dense (mlp_only_layers)"),
    Variant("qwen3_moe_bf16_unnormalized",
            without(qwen3_moe(**new_style(4, rope_theta=1000000.0), norm_topk_prob=False, decoder_sparse_step=2,
                              num_hidden_layers=4, num_attention_heads=5, num_key_value_heads=1, num_experts=7,
                              num_experts_per_tok=3, moe_intermediate_size=16), "torch_dtype"),
            "bf16, 7 experts, 3 for each token, weights not normalized, every second layer dense (decoder_sparse_step), "
            "5 q heads on 1 kv head"),
    Variant("qwen3_moe_fp8_block",
            qwen3_moe(**old_style(1000000.0), hidden_size=136, num_hidden_layers=2, mlp_only_layers=[0], head_dim=20,
                      num_attention_heads=7, num_key_value_heads=1, intermediate_size=144),
            "block 128x128 BF16 scales, partial blocks (140 rows, 136 columns), 8 experts, 2 for each token, layer 0 dense, "
            "two shards, an expert's scale in another shard than its weight", layout="block", scale="BF16", shards=2,
            stray=(("model.layers.1.mlp.experts.4.up_proj.weight_scale_inv", 1),),
            quant=block_fp8((128, 128), modules_to_not_convert=not_converted(2))),
]


if __name__ == "__main__":
    main(__doc__, VARIANTS, "tests/golden/moe")
