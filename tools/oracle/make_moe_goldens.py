#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
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


def minimax_m2(**more):
    """With the keys that the hub's config.json has beyond the library's."""
    base = {"architectures": ["MiniMaxM2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
            "head_dim": 12, "hidden_act": "silu", "hidden_size": 64, "initializer_range": 0.02, "intermediate_size": 20,
            "max_position_embeddings": 512, "model_type": "minimax_m2", "mtp_transformer_layers": 1,
            "num_attention_heads": 6, "num_experts_per_tok": 2, "num_hidden_layers": 2, "num_key_value_heads": 3,
            "num_local_experts": 8, "num_mtp_modules": 3, "output_router_logits": False, "qk_norm_type": "per_layer",
            "rms_norm_eps": 1e-06, "router_aux_loss_coef": 0.001, "router_jitter_noise": 0.0, "scoring_func": "sigmoid",
            "shared_intermediate_size": 0, "sliding_window": None, "tie_word_embeddings": False, "use_cache": True,
            "use_mtp": True, "use_qk_norm": True, "use_routing_bias": True, "vocab_size": 97}
    base.update(more)
    base.setdefault("attn_type_list", [1] * base["num_hidden_layers"])
    return dict(sorted(base.items()))


def deepseek_v3(**more):
    base = {"architectures": ["DeepseekV3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
            "bos_token_id": 1, "eos_token_id": 2, "ep_size": 1, "first_k_dense_replace": 1, "hidden_act": "silu",
            "hidden_size": 64, "initializer_range": 0.02, "intermediate_size": 88, "kv_lora_rank": 20,
            "max_position_embeddings": 512, "model_type": "deepseek_v3", "moe_intermediate_size": 16, "moe_layer_freq": 1,
            "n_group": 4, "n_routed_experts": 12, "n_shared_experts": 1, "norm_topk_prob": True,
            "num_attention_heads": 4, "num_experts_per_tok": 3, "num_hidden_layers": 3, "num_key_value_heads": 4,
            "num_nextn_predict_layers": 0, "q_lora_rank": 24, "qk_nope_head_dim": 12, "qk_rope_head_dim": 8,
            "rms_norm_eps": 1e-06, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": False,
            "topk_group": 2, "topk_method": "noaux_tc", "use_cache": True, "v_head_dim": 10, "vocab_size": 97}
    base.update(more)
    return dict(sorted(base.items()))


def yarn(**more):
    """DeepSeek-V3's, for a training length of 32."""
    return {"beta_fast": 32, "beta_slow": 1, "factor": 4, "mscale": 1.0, "mscale_all_dim": 1.0,
            "original_max_position_embeddings": 32, "type": "yarn", **more}


def not_converted(layers):
    """The list of Qwen's FP8 releases."""
    return ["lm_head"] + [f"model.layers.{i}.{m}" for i in range(layers)
                          for m in ("input_layernorm", "mlp.gate", "post_attention_layernorm")]


def minimax_fp8():
    return block_fp8((128, 128), fmt="float8_e4m3fn", modules_to_not_convert=["gate", "e_score_correction_bias", "lm_head"])


VARIANTS = [
    Variant("qwen3_moe_bf16",
            qwen3_moe(**old_style(1000000.0), mlp_only_layers=[1]),
            "bf16, 8 experts, 2 for each token, weights normalized, layer 1 dense (mlp_only_layers)"),
    Variant("qwen3_moe_bf16_unnormalized",
            without(qwen3_moe(**new_style(3, rope_theta=1000000.0), norm_topk_prob=False, decoder_sparse_step=2,
                              num_attention_heads=8, num_key_value_heads=1, num_experts=7,
                              moe_intermediate_size=16), "torch_dtype"),
            "bf16, 7 experts, 2 for each token, weights not normalized, layer 1 of 3 sparse (decoder_sparse_step 2), "
            "8 q heads on 1 kv head"),
    Variant("qwen3_moe_fp8_block",
            qwen3_moe(**old_style(1000000.0), hidden_size=136, num_hidden_layers=2, mlp_only_layers=[0], head_dim=14,
                      num_attention_heads=10, num_key_value_heads=5, intermediate_size=144, num_experts=7),
            "block 128x128 BF16 scales, partial blocks (140 rows, 136 columns), 10 q and 5 kv heads, 7 experts, 2 for each "
            "token, layer 0 dense, two shards, an expert's scale in another shard than its weight", layout="block", scale="BF16", shards=2,
            stray=(("model.layers.1.mlp.experts.4.up_proj.weight_scale_inv", 1),),
            quant=block_fp8((128, 128), modules_to_not_convert=not_converted(2))),
    Variant("minimax_m2_bf16",
            minimax_m2(**old_style(5000000.0), rotary_dim=6, num_attention_heads=9),
            "bf16 with the router in F32, 9 q and 3 kv heads of 12, rotary_dim 6 (older config form)"),
    Variant("minimax_m2_bf16_48_to_8",
            without(minimax_m2(**new_style(2, rope_theta=5000000.0, partial_rotary_factor=0.5), num_attention_heads=48,
                               num_key_value_heads=8, head_dim=8, hidden_size=56, num_local_experts=5,
                               intermediate_size=16), "torch_dtype"),
            "bf16 with the router in F32, 48 q and 8 kv heads of 8, partial_rotary_factor 0.5 (rope_parameters form)"),
    Variant("minimax_m2_fp8_block",
            minimax_m2(**old_style(5000000.0), rotary_dim=8, hidden_size=72, num_attention_heads=7, num_key_value_heads=7,
                       head_dim=20),
            "block 128x128 F32 scales, partial blocks (140 rows), 7 heads without grouping, rotary_dim 8 of 20",
            layout="block", quant=minimax_fp8()),
    Variant("minimax_m2_fp8_block_8_to_2",
            minimax_m2(**old_style(5000000.0), rotary_dim=8, hidden_size=136, num_attention_heads=8, num_key_value_heads=2,
                       num_hidden_layers=1, num_local_experts=6, num_experts_per_tok=3),
            "block 128x128 F32 scales, partial blocks (136 columns), 8 q and 2 kv heads, one layer", layout="block",
            quant=minimax_fp8()),
    Variant("minimax_m2_fp8_block_48_to_8",
            minimax_m2(**old_style(5000000.0), rotary_dim=4, num_attention_heads=48, num_key_value_heads=8, head_dim=8,
                       hidden_size=72, intermediate_size=24, num_experts_per_tok=3),
            "block 128x128 F32 scales, partial blocks, 48 q and 8 kv heads of 8, biases near -50 (bf16 cannot hold them), "
            "two shards", layout="block", shards=2, bias_offset=-50.0, quant=minimax_fp8()),
    Variant("deepseek_v3_bf16",
            deepseek_v3(**old_style(10000.0, yarn()), max_position_embeddings=128, num_hidden_layers=2),
            "bf16, latent attention with q_lora_rank, yarn as the hub has it (mscale and mscale_all_dim 1), 12 experts in 4 "
            "groups, one shared expert, layer 0 dense, biases near -50 (bf16 cannot hold them; less than a masked 0)",
            prompt=24, bias_offset=-50.0),
    Variant("deepseek_v3_bf16_no_q_lora",
            without(deepseek_v3(**new_style(2, rope_theta=10000.0) | {"rope_parameters": {
                        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "mscale": 0.7, "mscale_all_dim": 1.1,
                        "original_max_position_embeddings": 32}}, max_position_embeddings=128, q_lora_rank=None, n_shared_experts=2,
                        num_hidden_layers=2, num_attention_heads=5, num_key_value_heads=5, rope_interleave=True,
                        norm_topk_prob=False, routed_scaling_factor=0.8, n_group=3, topk_group=1), "torch_dtype"),
            "bf16, q_proj without q_lora_rank, yarn with mscale 0.7 and mscale_all_dim 1.1 (rope_parameters form), two shared "
            "experts, weights not normalized, 3 groups of which one stays", prompt=24),
    Variant("deepseek_v3_bf16_half_rope",
            without(deepseek_v3(**new_style(2, rope_theta=10000.0), num_hidden_layers=2, rope_interleave=False, n_group=1,
                                topk_group=1, n_routed_experts=6, num_experts_per_tok=2, first_k_dense_replace=0), "torch_dtype"),
            "bf16, rope_interleave false, no yarn, no groups, no dense layer"),
    Variant("deepseek_v3_fp8_block",
            deepseek_v3(**old_style(10000.0, yarn()), max_position_embeddings=128, hidden_size=72, num_attention_heads=7,
                        num_key_value_heads=7, kv_lora_rank=128, n_routed_experts=8, num_experts_per_tok=2,
                        num_hidden_layers=2, intermediate_size=144, num_nextn_predict_layers=1),
            "block 128x128 F32 scales, partial blocks (kv_a_proj_with_mqa 136 rows, kv_b_proj 154), a layer of multi-token "
            "prediction to skip, two shards", layout="block", shards=2, quant=block_fp8((128, 128))),
]


if __name__ == "__main__":
    main(__doc__, VARIANTS, "tests/golden/moe")
