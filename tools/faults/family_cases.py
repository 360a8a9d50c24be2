# SPDX-License-Identifier: Apache-2.0
"""The published FP8 families in their legal form and with their own mistakes; formats that are refused by name."""
from toy import FP8, Tensor, Toy, fp8_codes, unknown


def compressed(strategy, **weights):
    return {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"],
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
                "num_bits": 8, "type": "float", "strategy": strategy, **weights}}}}


MXFP8 = {"quant_method": "mxfp8", "weight_block_size": [1, 32]}
V4 = dict(FP8, scale_fmt="ue8m0")
MODELOPT_BLOCK = {"quant_method": "modelopt", "quant_algo": "FP8_PB_WO"}
PLAIN = {"quant_method": "fp8", "activation_scheme": "static"}
W = "model.layers.0.mlp.up_proj.weight"


def one(quantization, rows=20, cols=16, name=W, change=None, **kind):
    """A model of one quantized weight."""
    more = kind.pop("config", {})
    m = unknown(quantization, **more)
    m.linear(name, rows, cols, **kind)
    if change:
        change(m)
    return m.files()


def deepseek_v3(change=None, mtp=True):
    """Latent attention, experts, and the layer for multi-token prediction after the last."""
    m = unknown(FP8, model_type="deepseek_v3", num_hidden_layers=2, num_nextn_predict_layers=1, hidden_size=16,
                num_attention_heads=4, num_key_value_heads=4, kv_lora_rank=8, qk_rope_head_dim=4, n_routed_experts=2,
                moe_intermediate_size=12)
    for layer in range(3 if mtp else 2):
        root = "model.layers.%d." % layer
        m.linear(root + "self_attn.kv_a_proj_with_mqa.weight", 12, 16)
        m.norm(root + "self_attn.kv_a_layernorm.weight", 8)
        m.add(root + "mlp.gate.weight", "BF16", [2, 16])
        m.add(root + "mlp.gate.e_score_correction_bias", "F32", [2])
        for e in range(2):
            m.linear(root + "mlp.experts.%d.down_proj.weight" % e, 16, 12)
        if layer == 2:
            m.linear(root + "eh_proj.weight", 16, 32)
    if change:
        change(m)
    return m.files()


def deepseek_v4(change=None):
    """FP8 attention, packed FP4 experts; scales are called scale."""
    m = unknown(V4, model_type="deepseek_v4", expert_dtype="fp4")
    m.linear("layers.0.attn.wq_a.weight", 20, 16, suffix="scale", scale="F8_E8M0")
    for e in range(2):
        name = "layers.0.ffn.experts.%d.w1.weight" % e
        m.add(name, "I8", [6, 32])
        m.scale(name[:-6] + "scale", [6, 2], "F8_E8M0")
    if change:
        change(m)
    return m.files()


def fused_experts(down_shape, gate_shape, quantization=FP8, suffix="_scale_inv", scale="BF16", block=8):
    m = unknown(quantization)
    root = "model.layers.0.mlp.experts."
    m.linear(root + "gate_up_proj", [3, 16], 24, suffix=suffix, scale=scale, shape=gate_shape, block=block)
    m.linear(root + "down_proj", [3, 12], 16, suffix=suffix, scale=scale, shape=down_shape, block=block)
    return m.files()


def mimo(scale_rows, kv_heads=4):
    """48 rows of a fused QKV cut into 4 chunks of 12 rows before padding: 2 rows of scales each."""
    return one(FP8, 48, 16, "model.layers.0.self_attn.qkv_proj.weight", shape=[scale_rows, 2],
               config={"model_type": "mimo_v2_flash", "num_key_value_heads": kv_heads})


def ngram(shape, n=3):
    m = unknown(FP8)
    root = "model.layers.1.ple.ngram_embedding."
    for i in range(n):
        m.add(root + "shard_%d.weight" % i, "F8_E4M3", [6, 10], fp8_codes(root + str(i), 60))
    if shape is not None:
        m.scale(root + "weight_scale", shape, "BF16")
    return m.files()


def torchao(change=None):
    m = unknown({"quant_method": "torchao"})
    m.linear("wq._weight_qdata", 16, 16, suffix="_", shape=[])
    m.drop("wq._weight_qdata_")
    m.scale("wq._weight_scale", [16, 1])
    if change:
        change(m)
    return m.files()


def modelopt_file():
    m = unknown(None)
    m.linear(W, 20, 16, suffix="_scale", shape=[])
    m.scale("model.layers.0.self_attn.k_proj.k_scale", [])
    m.extra["hf_quant_config.json"] = b'{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}'
    return m.files()


def modelslim(offset):
    def add(m):
        m.add(W[:-6] + "weight_offset", "BF16", [20, 1], offset * 20)
    return one(None, suffix="_scale", shape=[20, 1], change=add)


def consolidated():
    m = Toy(None, index=False)
    for name in ("wq", "wk"):
        m.linear("layers.0.attention.%s.weight" % name, 16, 16, suffix="qscale_weight", shape=[])
        m.scale("layers.0.attention.%s.qscale_act" % name, [])
    files = m.files()
    files["consolidated.safetensors"] = files.pop("model.safetensors")
    files["config.json"] = b'{"architectures": ["UnheardOfForCausalLM"], "model_type": "ministral3"}'
    return files


def packed(quantization, *tensors):
    """A model of plain tensors (name, dtype, shape) in a format that is refused."""
    m = unknown(quantization)
    for name, dtype, shape in tensors:
        m.add(name, dtype, shape)
    return m.files()


FAULTS = [
    ("v3-mtp-scale", "scale-missing", lambda: deepseek_v3(lambda m: m.drop("model.layers.2.eh_proj.weight_scale_inv")), "the prediction layer lost a scale"),
    ("v3-kv-a-rows", "scale-shape", lambda: deepseek_v3(lambda m: m.scale("model.layers.0.self_attn.kv_a_proj_with_mqa.weight_scale_inv", [1, 2])), "12 / 8 rounded down: the partial block of kv_a lost"),
    ("v3-expert-scale", "scale-missing", lambda: deepseek_v3(lambda m: m.drop("model.layers.1.mlp.experts.1.down_proj.weight_scale_inv")), "one expert of many"),
    ("v3-expert-orphan", "scale-orphan", lambda: deepseek_v3(lambda m: m.drop("model.layers.1.mlp.experts.1.down_proj.weight")), "an expert was pruned, its scale stayed"),
    ("v3-layer-missing", "layer-missing", lambda: deepseek_v3(lambda m: m.drop(*[n for n in m.tensors if ".layers.1." in n])), "a layer is not there, and no table says so"),
    ("v3-layers-promised", "layer-missing", lambda: deepseek_v3(lambda m: m.config.update(num_hidden_layers=61, num_nextn_predict_layers=0)), "config.json of the full model"),
    ("v3-expert-missing", "expert-incomplete", lambda: deepseek_v3(lambda m: m.drop(*[n for n in m.tensors if ".1.mlp.experts.1." in n])), "an expert with its scales is not there"),
    ("v3-expert-part", "expert-incomplete", lambda: deepseek_v3(lambda m: m.linear("model.layers.0.mlp.experts.0.up_proj.weight", 12, 16)), "one expert has a projection more than the others"),
    ("v3-experts-promised", "expert-incomplete", lambda: deepseek_v3(lambda m: m.config.update(n_routed_experts=4)), "config.json promises twice as many experts"),
    ("v3-experts-pruned", "expert-incomplete", lambda: deepseek_v3(lambda m: m.config.update(n_routed_experts=1)), "more experts than config.json says"),
    ("v4-fp4-scale", "scale-missing", lambda: deepseek_v4(lambda m: m.drop("layers.0.ffn.experts.1.w1.scale")), "packed FP4 without its scale is bytes without meaning"),
    ("v4-fp4-orphan", "scale-orphan", lambda: deepseek_v4(lambda m: m.drop("layers.0.ffn.experts.1.w1.weight")), "the scale of an expert that is not there"),
    ("v4-fp4-shape", "group-size", lambda: deepseek_v4(lambda m: m.scale("layers.0.ffn.experts.1.w1.scale", [6, 4], "F8_E8M0")), "groups of 16 are NVFP4's"),
    ("v4-scale-renamed", "scale-missing", lambda: deepseek_v4(lambda m: m.rename("layers.0.attn.wq_a.scale", "layers.0.attn.wq_a.scales")), "a suffix that no reader knows"),
    ("v4-mtp-scale", "scale-missing", lambda: deepseek_v4(lambda m: m.add("mtp.0.e_proj.weight", "F8_E4M3", [16, 16], fp8_codes("e_proj", 256))), "a published repack lacks the scale of mtp.0.e_proj"),
    ("experts-scale", "scale-missing,scale-orphan", lambda: fused_renamed(), "the scale of fused experts under a name of its own"),
    ("experts-scale-shape", "scale-shape", lambda: fused_experts([3, 2, 3], None), "a block column too many in fused experts"),
    ("experts-scale-count", "scale-shape", lambda: fused_experts([2, 2, 2], None), "scales of two experts for three"),
    ("mx-group", "group-size", lambda: one(MXFP8, 6, 64, scale="U8", shape=[6, 4]), "groups of 16 under MXFP8"),
    ("mx-bytes-unannounced", "scale-dtype", lambda: one(PLAIN, 6, 64, scale="U8", shape=[6, 2]), "U8 scales where the config does not say MXFP8"),
    ("mx-transposed", "scale-shape", lambda: one(MXFP8, 6, 64, scale="U8", shape=[2, 6]), "a transposed scale of groups"),
    ("mx-float-scales", "scale-shape", lambda: one(MXFP8, 6, 64, scale="F32", shape=[6, 3]), "float scales that fit no group"),
    ("ct-channel-transposed", "scale-shape", lambda: one(compressed("channel"), suffix="_scale", shape=[1, 20]), "[1, 20] for [20, 1]"),
    ("ct-channel-short", "scale-shape", lambda: one(compressed("channel"), suffix="_scale", shape=[19, 1]), "one channel too few"),
    ("ct-scale-missing", "scale-missing", lambda: one(compressed("tensor"), suffix="_scale", shape=[], change=lambda m: (m.linear("wk.weight", 8, 16, suffix="_scale", shape=[]), m.drop("wk.weight_scale"))), "one of two"),
    ("fbgemm-channels", "scale-shape", lambda: one({"quant_method": "fbgemm_fp8"}, suffix="_scale", shape=[16, 1]), "a scale for each input instead of each output"),
    ("mimo-chunks", "qkv-chunks", lambda: mimo(8, kv_heads=2), "cut for another number of KV heads than the config has"),
    ("mimo-rows", "scale-shape", lambda: mimo(7), "a row of scales lost when the chunks were joined"),
    ("two-blocks", "layout-ambiguous", lambda: two_blocks(), "two block sizes whose scales have the same shape"),
    ("ngram-scale", "raw-cast,scale-missing", lambda: ngram(None), "the one scale of an n-gram table is not there"),
    ("ngram-scale-shape", "scale-shape", lambda: ngram([3]), "a scale for each shard under the shared name"),
    ("torchao-two-weights", "weight-ambiguous", lambda: torchao(lambda m: m.add("wq.weight", "BF16", [16, 16])), "the quantized weight and the original"),
    ("torchao-scale", "scale-missing", lambda: torchao(lambda m: m.drop("wq._weight_scale")), "quantized data without a scale"),
    ("zero-point", "zero-point", lambda: modelslim(b"\x80\x3f"), "an offset that is not zero"),
    ("modelopt-4d-rows", "scale-shape", lambda: one(MODELOPT_BLOCK, 130, 9, suffix="_scale", shape=[1, 1, 1, 2]), "ModelOpt's four dimensions, transposed"),
    ("scheme-gptq", "scheme-unsupported", lambda: packed({"quant_method": "gptq"}, ("wq.qweight", "I32", [2, 16]), ("wq.qzeros", "I32", [1, 2]), ("wq.scales", "F16", [1, 16])), "GPTQ"),
    ("scheme-awq", "scheme-unsupported", lambda: packed({"quant_method": "awq"}, ("wq.qweight", "I32", [16, 2]), ("wq.scales", "F16", [1, 16])), "AWQ"),
    ("scheme-int4", "scheme-unsupported", lambda: packed({"quant_method": "compressed-tensors", "format": "pack-quantized"}, ("wq.weight_packed", "I32", [16, 2]), ("wq.weight_scale", "BF16", [16, 1])), "INT4 of compressed-tensors"),
    ("scheme-int8", "scheme-unsupported", lambda: packed({"quant_method": "compressed-tensors", "format": "int-quantized"}, ("wq.weight", "I8", [16, 16]), ("wq.weight_scale", "F32", [16, 1])), "INT8"),
    ("scheme-nvfp4", "scheme-unsupported", lambda: packed({"quant_method": "modelopt", "quant_algo": "NVFP4"}, ("wq.weight", "U8", [16, 8]), ("wq.weight_scale", "F8_E4M3", [16, 1]), ("wq.weight_scale_2", "F32", [])), "NVFP4"),
    ("scheme-mxfp4", "scheme-unsupported", lambda: packed({"quant_method": "mxfp4"}, ("experts.gate_up_proj_blocks", "U8", [2, 4, 1, 16]), ("experts.gate_up_proj_scales", "U8", [2, 4, 1])), "MXFP4 as in gpt-oss"),
    ("scheme-nf4", "scheme-unsupported", lambda: packed({"quant_method": "bitsandbytes"}, ("wq.weight", "U8", [128, 1]), ("wq.weight.absmax", "F32", [4]), ("wq.weight.quant_map", "F32", [16])), "bitsandbytes"),
    ("scheme-torchao-int", "scheme-unsupported", lambda: packed({"quant_method": "torchao"}, ("wq._weight_qdata", "I8", [16, 16]), ("wq._weight_scale", "F32", [16])), "torchao with integers"),
    ("scheme-fp6", "scheme-unsupported", lambda: packed({"quant_method": "fp6"}, ("wq.weight", "F6_E2M3", [16, 16])), "FP6"),
    ("scheme-comfy", "scheme-unsupported", lambda: one(None, suffix="scale_weight", shape=[]), "FP8 of a diffusion tool"),
    ("scheme-hqq", "scheme-unsupported", lambda: packed({"quant_method": "hqq"}, ("wq.W_q", "I16", [4, 4])), "a method known from the config only"),
]

CONTROLS = [
    ("pruned-layers", lambda: deepseek_v3(lambda m: (m.drop(*[n for n in m.tensors if ".layers.1." in n]), m.config.update(block_configs=[{}, {"no_op": True}]))), "an empty layer of a pruned model, announced by block_configs"),
    ("deepseek-v3", deepseek_v3, "blocks, experts, a prediction layer"),
    ("deepseek-v4", deepseek_v4, "E8M0 scales, packed FP4 experts"),
    ("deepseek-v41", lambda: one(dict(FP8, weight_block_size=[16, 16]), 33, 20, suffix="scale", scale="F8_E8M0", block=16), "larger square blocks"),
    ("fused-experts", lambda: fused_experts(None, None), "experts in one tensor"),
    ("fused-experts-scalar", lambda: fused_experts([3, 1, 1], [3, 1, 1], PLAIN), "one value for each expert (Mistral)"),
    ("fused-experts-fbgemm", lambda: fused_experts([3, 1, 16], [3, 1, 24], {"quant_method": "fbgemm_fp8"}, "_scale"), "one value for each output (Llama-4)"),
    ("mxfp8", lambda: one(MXFP8, 6, 64, scale="U8", shape=[6, 2]), "groups of 32, scales as bytes (MiniMax-M3)"),
    ("mxfp8-e8m0", lambda: one(MXFP8, 6, 64, scale="F8_E8M0", shape=[6, 2]), "the same with a dtype of its own"),
    ("ct-tensor", lambda: one(compressed("tensor"), suffix="_scale", shape=[1]), "one value"),
    ("ct-channel", lambda: one(compressed("channel"), suffix="_scale", scale="BF16", shape=[20, 1]), "one for each output"),
    ("ct-block", lambda: one(compressed("block", block_structure=[8, 8]), suffix="_scale"), "blocks of compressed-tensors"),
    ("fbgemm", lambda: one({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, suffix="_scale", shape=[20, 1]), "Llama-3.1-405B"),
    ("mistral", lambda: one(PLAIN, scale="BF16", shape=[]), "a scalar of rank 0"),
    ("mistral-consolidated", consolidated, "qscale_weight, no quantization_config"),
    ("autofp8", lambda: one(PLAIN, suffix="_scale", shape=[1], change=lambda m: m.scale(W[:-6] + "input_scale", [1])), "static activations"),
    ("modelopt", modelopt_file, "the config in hf_quant_config.json, KV scales"),
    ("modelopt-4d", lambda: one(MODELOPT_BLOCK, 130, 9, suffix="_scale", shape=[2, 1, 1, 1]), "[N/128, 1, K/128, 1]"),
    ("quark", lambda: one({"quant_method": "quark", "global_quant_config": {"weight": {"qscheme": "per_channel"}}}, suffix="_scale", shape=[20]), "one for each output, rank 1"),
    ("torchao", torchao, "_weight_qdata"),
    ("modelslim", lambda: modelslim(b"\0\0"), "an offset of zero"),
    ("mimo", lambda: mimo(8), "a fused QKV padded chunk by chunk"),
    ("ngram", lambda: ngram([1]), "one scale for many weights (Qwen3.8)"),
    ("e5m2", lambda: one(FP8, dtype="F8_E5M2", scale="F16"), "E5M2 codes"),
    ("fnuz", lambda: fnuz(), "E4M3FNUZ under its own name"),
    ("block-scalar-mix", lambda: one(FP8, change=lambda m: m.linear("wk.weight", 8, 16, shape=[1])), "one weight has one value"),
]


def two_blocks():
    """20 rows are three block rows of 8 and of 7."""
    quantization = compressed("block", block_structure=[8, 8])
    quantization["config_groups"]["group_1"] = compressed("block", block_structure=[7, 8])["config_groups"]["group_0"]
    return one(quantization, suffix="_scale")


def fused_renamed():
    m = unknown(FP8)
    m.linear("experts.gate_up_proj", [3, 16], 24)
    m.rename("experts.gate_up_proj_scale_inv", "experts.gateup_proj_scale_inv")
    return m.files()


def fnuz():
    m = unknown(FP8)
    m.linear(W, 20, 16)
    data = m[W].data.replace(b"\x80", b"\x00")
    m.tensors[W] = Tensor("F8_E4M3FNUZ", [20, 16], data)
    return m.files()


def register(fault, control):
    for name, code, build, why in FAULTS:
        fault("family-" + name, code, build, why)
    for name, build, why in CONTROLS:
        control("family-" + name, build, why, "--deep")
