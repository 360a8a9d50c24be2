# SPDX-License-Identifier: Apache-2.0
"""Index and shards, pairing of weights and scales, parameter table, config, tokenizer, partition."""
import json

from toy import FP8, Link, Tensor, bf16, fp8_codes, qwen3, safetensors, scales, unknown, values

INDEX = "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
UP, DOWN = "model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight"
Q, K = "model.layers.1.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight"
INV = "_scale_inv"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n"
TOKENIZER = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
             "post_processor": None, "decoder": {"type": "ByteLevel"},
             "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                       "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                       "vocab": {chr(97 + i): i for i in range(20)}, "merges": []}}


def edited(change, **more):
    """A sound model after `change(model)`."""
    m = qwen3(**more)
    change(m)
    return m.files()


def with_files(change, m=None):
    """The files of a sound model after `change(files)`."""
    files = (m or qwen3()).files()
    change(files)
    return files


def configured(**fields):
    return edited(lambda m: m.config.update(fields))


def index_text(change):
    def edit(files):
        index = json.loads(files[INDEX])
        change(index)
        files[INDEX] = json.dumps(index).encode()
    return with_files(edit)


def text_files(**files):
    m = qwen3()
    m.extra = {name.replace("__", "."): content if isinstance(content, bytes) else json.dumps(content).encode()
               for name, content in files.items()}
    return m.files()


# --- index and shards

def foreign_shard(shared=False):
    other = unknown(None)
    if not shared:
        other.drop("model.norm.weight")
    other.add("encoder.block.0.weight", "BF16", [4, 4])
    return with_files(lambda f: f.update({SECOND: other.files()["model.safetensors"]}))


def bf16_shard():
    other = qwen3(quantization=None).files()
    return with_files(lambda f: f.update({SECOND: other[SECOND]}))


def hub_cache(dangling=False):
    """snapshots/main holds links into blobs/, as a download leaves it."""
    out = {}
    for i, (name, content) in enumerate(qwen3().files().items()):
        if not (dangling and name == SECOND):
            out["blobs/%02d" % i] = content
        out["snapshots/main/" + name] = Link("../../blobs/%02d" % i)
    return out


def renamed_shards():
    files = qwen3().files()
    for old, new in ((FIRST, "model-00000-of-00130.safetensors"), (SECOND, "model-00007-of-00130.safetensors")):
        files[new] = files.pop(old)
        files[INDEX] = files[INDEX].replace(old.encode(), new.encode())
    return files


def copied_tensor(indexed):
    """layer 0's norm also stands in the second shard."""
    m = qwen3()
    part = {k: v for k, v in m.tensors.items() if m.shard[k] == 1}
    part["model.layers.0.input_layernorm.weight"] = m["model.layers.0.input_layernorm.weight"]
    files = m.files()
    files[SECOND] = safetensors(part)
    if not indexed:
        del files[INDEX]
    return files


def single_file(index):
    m = qwen3(n_shard=1)
    m.index = False
    files = m.files()
    if index:
        files[INDEX] = json.dumps({"weight_map": {k: "model.safetensors" for k in m.tensors}}).encode()
    return files


def unindexed(name, m=None):
    m = m or qwen3()
    m.weight_map[name] = None
    return m.files()


def extra_set():
    """Mistral's own file beside the Hugging Face set, and a subdirectory with a third."""
    files = qwen3().files()
    other = unknown(None)
    other.add("layers.0.attention.wq.weight", "BF16", [4, 4])
    files["consolidated.safetensors"] = other.files()["model.safetensors"]
    files["original/model.safetensors"] = files["consolidated.safetensors"]
    return files


def index_cases(fault, warning, note, control):
    fault("index-absent-tensor", "tensor-missing", lambda: edited(lambda m: m.weight_map.update({"model.layers.2.mlp.up_proj.weight": SECOND})), "the index names a tensor that no shard holds")
    fault("index-absent-weight", "tensor-missing", lambda: with_files(lambda f: f.update({SECOND: safetensors({k: v for k, v in second_part().items() if k not in (UP, UP + INV)})})), "a shard written without two of its tensors")
    fault("index-wrong-shard", "tensor-misplaced", lambda: edited(lambda m: m.weight_map.update({"model.norm.weight": FIRST})), "the index maps a tensor to a shard that lacks it")
    fault("index-names-no-file", "shard-missing", lambda: with_files(lambda f: f.pop(SECOND)), "a shard was not downloaded")
    fault("index-dangling-link", "shard-missing", lambda: hub_cache(dangling=True), "a link of the hub cache without its blob")
    fault("index-foreign-shard", "shard-foreign", foreign_shard, "the second shard is of another checkpoint")
    fault("index-foreign-shared", "tensor-missing", lambda: foreign_shard(True), "the same, and one name is in both")
    fault("index-shard-copied", "shard-foreign", lambda: with_files(lambda f: f.update({SECOND: f[FIRST]})), "the first shard was downloaded under both names")
    fault("index-bf16-shard", "tensor-missing", bf16_shard, "the second shard is of the BF16 release of the same model")
    fault("index-no-json", "index-json", lambda: with_files(lambda f: f.update({INDEX: f[INDEX][:-40]})), "the index was cut")
    fault("index-no-map", "index-json", lambda: index_text(lambda i: i.pop("weight_map")), "no weight_map")
    fault("index-twice", "index-duplicate", lambda: with_files(lambda f: f.update({INDEX: f[INDEX].replace(b'"lm_head.weight"', b'"lm_head.weight": "' + SECOND.encode() + b'", "lm_head.weight"')})), "one name mapped twice")
    fault("index-entry-number", "index-entry", lambda: index_text(lambda i: i["weight_map"].update({"model.norm.weight": 2})), "a shard number instead of a file name")
    fault("index-path-up", "index-path", lambda: index_text(lambda i: i["weight_map"].update({"model.norm.weight": "../" + SECOND})), "a path that leaves the directory")
    fault("index-path-absolute", "index-path", lambda: index_text(lambda i: i["weight_map"].update({"model.norm.weight": "/etc/passwd"})), "a path that leaves the directory")
    fault("index-path-bin", "index-path", lambda: index_text(lambda i: i["weight_map"].update({"model.norm.weight": "pytorch_model.bin"})), "an index of pickles")
    fault("index-lfs", "lfs-pointer", lambda: with_files(lambda f: f.update({INDEX: LFS})), "git clone without git lfs")
    fault("index-absent", "index-missing", lambda: with_files(lambda f: f.pop(INDEX)), "two shards and no list of them")
    fault("index-absent-copies", "duplicate-tensor,index-missing", lambda: copied_tensor(False), "one name in two shards and nothing that says which counts")
    fault("index-lacks-fp8", "scale-orphan,tensor-not-in-index", lambda: unindexed("layers.0.wq.weight", unlisted()), "an FP8 weight outside the index would be left out silently")
    fault("index-lacks-scale", "scale-missing,tensor-not-in-index", lambda: unindexed("layers.0.wq.weight" + INV, unlisted()), "a scale outside the index would be left out silently")
    fault("index-shard-is-dir", "shard-unreadable", lambda: with_files(lambda f: (f.pop(SECOND), f.update({SECOND + "/x": b""}))), "a folder in a shard's place")
    warning("index-copies", "tensor-elsewhere", lambda: copied_tensor(True), "one name in two shards: the index decides")
    warning("index-lacks-bf16", "tensor-not-in-index", lambda: unindexed("layers.0.norm.weight", unlisted()), "a norm outside the index is not used")
    note("index-total-size", "index-total-size", lambda: index_text(lambda i: i["metadata"].update({"total_size": 7})), "total_size is wrong in published checkpoints")
    note("index-unused-shard", "file-unused", lambda: with_files(lambda f: f.update({"model-00003-of-00002.safetensors": f[SECOND]})), "a file that the index does not name")
    control("index-no-metadata", lambda: index_text(lambda i: i.pop("metadata")), "metadata is optional")
    control("index-empty-metadata", lambda: index_text(lambda i: i.update(metadata={})), "as the reference cast script writes it")
    control("index-size-wrong", lambda: index_text(lambda i: i["metadata"].update({"total_size": 10 ** 12})), "total_size is information only")
    control("index-odd-numbers", renamed_shards, "the numbers in file names promise nothing")
    control("index-single-file", lambda: single_file(False), "one file needs no index")
    control("index-of-one-file", lambda: single_file(True), "an index of a single file")
    control("index-hub-cache", hub_cache, "every file is a link into blobs/")
    control("index-two-sets", extra_set, "consolidated.safetensors and original/ beside the shards")
    control("index-extra-shard", lambda: with_files(lambda f: f.update({"model-00009-of-00009.safetensors": f[FIRST]})), "left over from another download")


def second_part():
    m = qwen3()
    return {k: v for k, v in m.tensors.items() if m.shard[k] == 1}


def unlisted():
    m = unknown()
    m.index = True
    m.linear("layers.0.wq.weight", 16, 16)
    m.linear("layers.0.wk.weight", 16, 16)
    m.norm("layers.0.norm.weight", 16)
    return m


# --- pairing

def scattered():
    """Every scale of the first shard stands in the second and the other way round."""
    m = qwen3()
    for name in m.names(INV):
        m.shard[name] = 1 - m.shard[name]
    return m.files()


def swapped_scales(a=UP, b=DOWN):
    def swap(m):
        m.tensors[a + INV], m.tensors[b + INV] = m[b + INV], m[a + INV]
    return edited(swap)


def reshaped(name, shape, dtype="F32"):
    """The scale of `name` with another shape, and as many values as that needs."""
    def change(m):
        n = 1
        for dim in shape:
            n *= dim
        m.tensors[name + INV] = Tensor(dtype, shape, scales(name + INV, dtype, n))
    return edited(change)


def with_dtype(dtype):
    return edited(lambda m: m.tensors.update({UP + INV: Tensor(dtype, [3, 2], scales(UP + INV, dtype, 6))}))


def suffixes(new):
    """All scales under another suffix."""
    m = qwen3()
    for name in m.names(INV):
        m.rename(name, name[:-len("weight" + INV)] + new)
    return m.files()


def quantization(**fields):
    return edited(lambda m: m.config["quantization_config"].update(fields))


def pairing_cases(fault, warning, note, control):
    fault("scale-missing", "scale-missing", lambda: edited(lambda m: m.drop(UP + INV)), "one scale is not there")
    fault("scale-missing-k", "scale-missing", lambda: edited(lambda m: m.drop(K + INV)), "the scale of a k_proj, of one block row")
    fault("scale-missing-layer", "scale-missing", lambda: edited(lambda m: m.drop(*[n for n in m.names(INV) if ".1." in n])), "a layer without scales: its shard was cast raw")
    fault("scale-missing-all", "raw-cast,scale-missing", lambda: edited(lambda m: m.drop(*m.names(INV))), "FP8 cast without scales")
    fault("scale-misspelt", "parameter-unexpected,scale-missing", lambda: edited(lambda m: m.rename(UP + INV, UP + "_scale_invs")), "a suffix that no reader knows")
    fault("scale-suffix-drift", "scale-missing", lambda: edited(lambda m: m.rename(UP + INV, UP[:-6] + "weight_inv_scale")), "suffix changed by a remap")
    fault("scale-wrong-parent", "scale-missing,scale-orphan", lambda: edited(lambda m: m.rename(UP + INV, "model.layers.1.mlp.upproj.weight" + INV)), "the scale of a module that is not there")
    fault("scale-orphan", "scale-orphan", lambda: dropped_weight(), "a weight was dropped, its scale stayed")
    fault("scale-orphan-converted", "scale-orphan", lambda: edited(lambda m: m.tensors.update({UP: Tensor("BF16", [20, 16], values(UP, "BF16", 320))})), "the weight was cast to BF16, its scale left behind")
    fault("scale-second-name", "scale-ambiguous", lambda: edited(lambda m: m.scale(UP + "_scale", [3, 2], shard=1)), "two scales under two names")
    fault("scale-unknown-companion", "scale-unknown", lambda: edited(lambda m: m.scale(UP + "_scale_2", [], shard=1)), "a second factor that would be dropped silently")
    fault("scale-qscale-unknown", "scale-unknown", lambda: edited(lambda m: m.scale(UP[:-6] + "qscale_extra", [], shard=1)), "an unknown companion beside an FP8 weight")
    fault("scale-transposed", "scale-shape", lambda: reshaped(UP, [2, 3]), "[2, 3] for [3, 2]")
    fault("scale-transposed-down", "scale-shape", lambda: reshaped(DOWN, [3, 2]), "[3, 2] for [2, 3]")
    fault("scale-swapped", "scale-shape", swapped_scales, "the scales of up_proj and down_proj exchanged")
    fault("scale-row-lost", "scale-shape", lambda: reshaped(UP, [2, 2]), "the partial last block row rounded away")
    fault("scale-column-lost", "scale-shape", lambda: reshaped(DOWN, [2, 2]), "the partial last block column rounded away")
    fault("scale-row-extra", "scale-shape", lambda: reshaped(Q, [3, 2]), "a block row too many")
    fault("scale-flat", "scale-shape", lambda: reshaped(UP, [6]), "the matrix of scales flattened")
    fault("scale-rank-3", "scale-shape", lambda: reshaped(UP, [3, 2, 1]), "a trailing dimension")
    fault("scale-per-row", "scale-shape", lambda: reshaped(UP, [20, 1]), "a channel scale in a block checkpoint")
    fault("scale-empty", "scale-shape", lambda: reshaped(UP, [0, 2]), "a scale without values")
    fault("scale-fused-rows", "scale-shape", fused_rows, "q_a (12 rows) and kv_a (9 rows) joined, and their scale rows too: 2 + 2, the joint weight has 3")
    fault("scale-other-block", "scale-shape", lambda: quantization(weight_block_size=[16, 16]), "the config is of a checkpoint with another block size")
    fault("scale-block-transposed", "scale-shape", lambda: quantization(weight_block_size=[4, 8]), "block sizes of another checkpoint")
    fault("scale-int32", "scale-dtype", lambda: with_dtype("I32"), "integers are no scales")
    fault("scale-u8", "scale-dtype", lambda: with_dtype("U8"), "E8M0 bytes where the config does not say MXFP8")
    fault("scale-f64", "scale-dtype", lambda: with_dtype("F64"), "no published format has F64 scales")
    fault("scale-fp8", "scale-dtype", lambda: with_dtype("F8_E4M3"), "scales cast to FP8 with the weights")
    fault("block-absent", "block-size-missing", lambda: edited(lambda m: m.config.pop("quantization_config")), "block scales, and nothing says how large a block is")
    fault("block-null", "block-size-missing", lambda: quantization(weight_block_size=None), "block scales under a config of scalar scales")
    fault("block-zero", "block-size-invalid,block-size-missing", lambda: quantization(weight_block_size=[0, 8]), "a block of no rows")
    fault("block-one-number", "block-size-invalid,block-size-missing", lambda: quantization(weight_block_size=[8]), "one number is no block")
    fault("block-words", "block-size-invalid,block-size-missing", lambda: quantization(weight_block_size="eight"), "no numbers")
    warning("modules-lie-fp8", "modules-disagree", lambda: quantization(modules_to_not_convert=["mlp.up_proj"]), "listed as not converted, and FP8")
    warning("modules-lie-bf16", "modules-disagree", lambda: unlisted_bf16(["lm_head"]), "BF16, and not in the list")
    warning("modules-wrong-names", "modules-disagree", lambda: unlisted_bf16(["model.decoder.layers.1.mlp.up_proj"]), "the list has names that no tensor has")
    warning("config-stale", "stale-config", lambda: edited(lambda m: m.config.update(quantization_config=dict(FP8)), quantization=None), "converted to BF16, quantization_config left behind")
    warning("config-stale-modelopt", "stale-config", stale_modelopt, "converted to BF16, hf_quant_config.json left behind")
    warning("config-stale-compression", "stale-config", lambda: edited(lambda m: m.config.update(compression_config={"quant_method": "compressed-tensors"}), quantization=None), "converted to BF16, compression_config left behind")
    warning("mtp-absent", "mtp-missing", lambda: configured(num_nextn_predict_layers=1), "a layer for multi-token prediction is promised")
    control("scale-other-shard", scattered, "no scale stands in its weight's shard")
    control("scale-bf16", lambda: qwen3(scale="BF16").files(), "BF16 scales")
    control("scale-f16", lambda: qwen3(scale="F16").files(), "F16 scales")
    control("scale-e8m0", lambda: qwen3(scale="F8_E8M0").files(), "powers of two in blocks")
    control("scale-mixed-dtypes", lambda: with_dtype("BF16"), "one scale of another dtype")
    control("suffix-scale", lambda: suffixes("weight_scale"), "named weight_scale")
    control("suffix-v4", lambda: suffixes("scale"), "named scale")
    control("suffix-qscale", lambda: suffixes("qscale_weight"), "named qscale_weight")
    control("modules-listed", lambda: unlisted_bf16(["model.layers.1.mlp.up_proj", "lm_head"]), "one projection left in BF16 and listed")
    control("modules-gate", lambda: quantization(modules_to_not_convert=["gate", "lm_head"]), "'gate' is a whole component: gate_proj is none")
    control("modules-regex", lambda: quantization(ignore=["re:.*lm_head", "model.embed*"]), "a regular expression and a wildcard")
    control("block-as-text", lambda: quantization(weight_block_size="8x8"), "the older spelling")
    control("block-in-text-config", lambda: nested_config(), "quantization_config inside text_config")
    control("scale-parameter", lambda: edited_unknown(lambda m: m.add("vision.logit_scale", "F32", [])), "a parameter called logit_scale")
    control("scale-named-scale", lambda: edited_unknown(lambda m: m.add("model.norm.scale", "BF16", [16], bf16(1.0) * 16)), "a norm whose weight is called scale")
    control("scale-of-activations", lambda: edited_unknown(lambda m: (m.scale("wq.input_scale", []), m.scale("wq.k_scale", [1]), m.scale("wq.output_scale", [1]))), "activation and KV-cache scales are not companions of weights")
    control("bytes-that-are-no-weights", lambda: edited_unknown(lambda m: (m.add("mask", "BOOL", [4, 4]), m.add("router.map", "U8", [8]))), "one byte per element is not FP8")
    control("block-larger-than-weight", lambda: large_block(), "a weight smaller than one block")


def stale_modelopt():
    m = qwen3(quantization=None)
    m.extra["hf_quant_config.json"] = b'{"quantization": {"quant_algo": "FP8"}}'
    return m.files()


def dropped_weight():
    m = unlisted()
    m.drop("layers.0.wq.weight")
    return m.files()


def fused_rows():
    m = unknown()
    m.linear("layers.0.fused_qkv_a_proj.weight", 21, 16, shape=[4, 2])
    return m.files()


def unlisted_bf16(names):
    m = qwen3()
    m.drop(UP + INV)
    m.tensors[UP] = Tensor("BF16", [20, 16], values(UP, "BF16", 320))
    m.config["quantization_config"]["modules_to_not_convert"] = names
    return m.files()


def nested_config():
    m = unknown(None)
    m.config["text_config"] = {"quantization_config": FP8}
    m.linear("layers.0.wq.weight", 20, 16)
    return m.files()


def edited_unknown(change):
    m = unknown()
    m.linear("wq.weight", 16, 16)
    change(m)
    return m.files()


def large_block():
    m = unknown(dict(FP8, weight_block_size=[128, 128]))
    m.linear("wq.weight", 16, 20, shape=[1, 1])
    return m.files()


# --- names and shapes against the parameter table

def stored(name, dtype, shape, data=None):
    """`name` replaced by, or added as, another tensor."""
    def change(m):
        shard = m.shard.get(name, 1)
        m.add(name, dtype, shape, data, shard)
    return edited(change)


def resized(name, rows, cols):
    return edited(lambda m: m.linear(name, rows, cols, shard=m.shard[name]))


def table_cases(fault, warning, note, control):
    fault("table-norm-missing", "parameter-missing", lambda: edited(lambda m: m.drop("model.norm.weight")), "the last norm")
    fault("table-weight-missing", "parameter-missing", lambda: edited(lambda m: m.drop(UP, UP + INV)), "a weight and its scale")
    fault("table-k-norm-missing", "parameter-missing", lambda: edited(lambda m: m.drop("model.layers.0.self_attn.k_norm.weight")), "a QK norm of one layer")
    fault("table-head-missing", "parameter-missing", lambda: edited(lambda m: m.drop("lm_head.weight")), "no lm_head, and the config does not tie it")
    fault("table-bias-missing", "parameter-missing", lambda: configured(attention_bias=True), "the config promises biases")
    fault("table-layer-missing", "parameter-missing", lambda: configured(num_hidden_layers=3), "a third layer is promised")
    fault("table-layer-extra", "parameter-unexpected", lambda: configured(num_hidden_layers=1), "a layer more than the config says")
    fault("table-renamed", "parameter-missing,parameter-unexpected", lambda: edited(lambda m: m.rename("model.norm.weight", "model.final_norm.weight")), "a name of another family")
    fault("table-bias-extra", "parameter-unexpected", lambda: stored("model.layers.1.self_attn.q_proj.bias", "BF16", [16]), "a bias that the config denies")
    fault("table-fused-qkv", "parameter-missing,parameter-unexpected", lambda: fused_qkv(), "qkv_proj instead of its three parts")
    fault("table-hidden", "parameter-shape", lambda: configured(hidden_size=24), "hidden_size of another model")
    fault("table-head-dim", "parameter-shape", lambda: configured(head_dim=16), "head_dim of another model")
    fault("table-vocab", "parameter-shape", lambda: configured(vocab_size=32), "vocab_size of another model")
    fault("table-ffn", "parameter-shape", lambda: resized(UP, 24, 16), "one projection is wider than the others")
    fault("table-kv-heads", "parameter-shape", lambda: configured(num_key_value_heads=2), "KV heads of another model")
    fault("table-transposed", "parameter-shape", lambda: resized(DOWN, 20, 16), "stored [in, out]")
    fault("table-norm-rank", "parameter-shape", lambda: stored("model.norm.weight", "BF16", [1, 16], bf16(1.0) * 16), "a norm with two dimensions")
    fault("table-k-norm-wide", "parameter-shape", lambda: stored("model.layers.1.self_attn.k_norm.weight", "BF16", [16], bf16(1.0) * 16), "k_norm over all heads where this model has one per head")
    fault("table-scale-over-weight", "parameter-shape", lambda: edited(lambda m: (m.drop(UP), m.rename(UP + INV, UP))), "a converter wrote the scale under the weight's name")
    fault("table-norm-int", "parameter-dtype", lambda: stored("model.norm.weight", "I32", [16]), "an integer norm")
    fault("table-embed-f64", "parameter-dtype", lambda: stored("model.embed_tokens.weight", "F64", [24, 16]), "no model is stored in F64")
    fault("table-norm-fp8", "parameter-dtype", lambda: fp8_norm(), "a norm was quantized with the matrices")
    control("table-tied", lambda: qwen3(tie_word_embeddings=True).files(), "no lm_head when it is tied")
    control("table-tied-head-kept", lambda: tied_with_head(), "lm_head stored although tied")
    control("table-f32-norm", lambda: stored("model.norm.weight", "F32", [16]), "a norm in F32")
    control("table-f16", lambda: stored("model.embed_tokens.weight", "F16", [24, 16]), "an embedding in F16")
    control("table-fp8-head", lambda: edited(lambda m: m.linear("lm_head.weight", 24, 16, shard=1)), "lm_head in FP8")
    control("table-inv-freq", lambda: stored("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [4]), "a buffer that old exports keep")
    control("table-no-quantization", lambda: qwen3(quantization=None).files(), "a BF16 model")
    control("table-one-layer", lambda: qwen3(n_layer=1, n_shard=1).files(), "one layer, one shard with an index")


def fused_qkv():
    m = qwen3()
    parts = ["model.layers.0.self_attn.%s_proj.weight" % p for p in "qkv"]
    m.drop(*parts, *[p + INV for p in parts])
    m.linear("model.layers.0.self_attn.qkv_proj.weight", 32, 16)
    return m.files()


def fp8_norm():
    m = qwen3()
    name = "model.norm.weight"
    m.tensors[name] = Tensor("F8_E4M3", [16], fp8_codes(name, 16))
    m.scale(name + INV, [1], shard=1)
    return m.files()


def tied_with_head():
    m = qwen3(tie_word_embeddings=True)
    m.add("lm_head.weight", "BF16", [24, 16], m["model.embed_tokens.weight"].data, 1)
    return m.files()


# --- config.json and the files for text

def config_cases(fault, warning, note, control):
    fault("config-absent", "config-missing", lambda: with_files(lambda f: f.pop("config.json"), qwen3(quantization=None)), "no config.json")
    fault("config-cut", "config-invalid", lambda: with_files(lambda f: f.update({"config.json": f["config.json"][:60]}), qwen3(quantization=None)), "config.json ends in the middle")
    fault("config-array", "config-invalid", lambda: with_files(lambda f: f.update({"config.json": b"[]"}), qwen3(quantization=None)), "no object")
    fault("config-lfs", "lfs-pointer", lambda: with_files(lambda f: f.update({"config.json": LFS}), qwen3(quantization=None)), "git clone without git lfs")
    fault("config-no-name", "config-invalid", lambda: edited(lambda m: (m.config.pop("architectures"), m.config.pop("model_type"))), "neither architectures nor model_type")
    fault("config-heads-odd", "config-invalid", lambda: configured(num_attention_heads=3, num_key_value_heads=2), "heads are no multiple of KV heads")
    fault("config-hidden-text", "config-invalid", lambda: configured(hidden_size="16"), "a number in quotes")
    fault("config-layers-negative", "config-invalid", lambda: configured(num_hidden_layers=-2), "a negative count")
    fault("config-layers-huge", "config-invalid", lambda: configured(num_hidden_layers=10 ** 9), "a count that no machine holds")
    fault("config-eps", "config-invalid", lambda: configured(rms_norm_eps="small"), "an epsilon in words")
    fault("config-rope-factor", "config-invalid", lambda: configured(rope_scaling={"rope_type": "linear"}), "a scaling without its factor")
    fault("config-rope-llama3", "config-invalid", lambda: configured(rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0, "original_max_position_embeddings": 32}), "bounds in the wrong order")
    fault("config-rope-unknown", "config-unsupported", lambda: configured(rope_scaling={"rope_type": "spiral", "factor": 2.0}), "a kind of rotary embedding that nobody has")
    fault("config-contradiction", "config-unsupported", lambda: configured(model_type="llama"), "architectures and model_type name different models")
    fault("config-activation", "config-unsupported", lambda: configured(hidden_act="gelu"), "an activation that this family does not have")
    fault("config-layer-types", "config-invalid", lambda: configured(layer_types=["full_attention"]), "one layer type for two layers")
    fault("config-layer-type", "config-unsupported", lambda: configured(layer_types=["full_attention", "spiral"]), "an unknown layer type")
    fault("config-eos", "config-invalid", lambda: configured(eos_token_id={"a": 1}), "an end token that is no number")
    fault("config-generation-cut", "config-invalid", lambda: text_files(generation_config__json=b'{"eos_token_id": '), "generation_config.json ends in the middle")
    fault("config-modelopt-file", "quant-config-invalid", modelopt_file, "hf_quant_config.json is no JSON")
    fault("tokenizer-cut", "tokenizer-invalid", lambda: text_files(tokenizer__json=json.dumps(TOKENIZER).encode()[:-50]), "tokenizer.json ends in the middle")
    fault("tokenizer-lfs", "lfs-pointer", lambda: text_files(tokenizer__json=LFS), "git clone without git lfs")
    fault("tokenizer-no-model", "tokenizer-invalid", lambda: text_files(tokenizer__json={k: v for k, v in TOKENIZER.items() if k != "model"}), "no model in tokenizer.json")
    fault("tokenizer-merge", "tokenizer-invalid", lambda: text_files(tokenizer__json={**TOKENIZER, "model": {**TOKENIZER["model"], "merges": ["a zz"]}}), "a merge of a piece that is no token")
    warning("tokenizer-absent", "tokenizer-missing", lambda: qwen3().files(), "prompts have to be token ids")
    warning("tokenizer-other", "tokenizer-too-large", lambda: text_files(tokenizer__json={**TOKENIZER, "model": {**TOKENIZER["model"], "vocab": {chr(0x4e00 + i): i for i in range(99)}}}), "more tokens than rows of the embedding")
    warning("tokenizer-config-cut", "tokenizer-config-invalid", lambda: text_files(tokenizer__json=TOKENIZER, tokenizer_config__json=b'{"bos'), "tokenizer_config.json ends in the middle")
    warning("tokenizer-disagrees", "tokenizer-config-invalid", lambda: text_files(tokenizer__json=TOKENIZER, tokenizer_config__json={"added_tokens_decoder": {"5": {"content": "</s>", "special": True}}}), "an added token that the tokenizer does not have")
    warning("template-broken", "template-invalid", lambda: text_files(tokenizer__json=TOKENIZER, tokenizer_config__json={"chat_template": "{% for m in messages %}{{ m.content }"}), "a loop without its end")
    note("template-absent", "template-missing", lambda: text_files(tokenizer__json=TOKENIZER, tokenizer_config__json={}), "a base model has none")
    control("text-complete", lambda: text_files(tokenizer__json=TOKENIZER, tokenizer_config__json={"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}), "tokenizer and template are sound")
    control("template-own-file", lambda: text_files(tokenizer__json=TOKENIZER, tokenizer_config__json={}, chat_template__jinja=b"{% for m in messages %}{{ m.content }}{% endfor %}"), "the template in a file of its own")
    control("config-unknown-keys", lambda: configured(use_cache=True, auto_map={"AutoModel": "x.y"}, torch_dtype="float16"), "keys that nobody reads")
    control("config-unknown-architecture", lambda: edited_unknown(lambda m: None), "only the checks without a table")
    control("config-no-architectures", lambda: edited(lambda m: m.config.pop("architectures")), "model_type alone names the class")
    control("config-yarn", lambda: configured(rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}), "a scaled rotary embedding")


def modelopt_file():
    m = unknown(None)
    m.linear("wq.weight", 16, 16, suffix="_scale", shape=[])
    m.extra["hf_quant_config.json"] = b'{"producer": '
    return m.files()


# --- partition over ranks

def partition_cases(fault, warning, note, control):
    tp4, tp3, tp2 = "--tp 4", "--tp 3", "--tp 2"
    warning("tp-idle", "ranks-idle", lambda: qwen3().files(), "2 heads for 4 ranks", tp4)
    note("tp-replicated", "kv-replicated", lambda: qwen3().files(), "1 KV head for 2 ranks", tp2)
    note("tp-split-kv", "split-kv", lambda: qwen3().files(), "an even split cuts the KV head", tp2)
    note("tp-head-norm", "norm-per-head", lambda: qwen3().files(), "k_norm is whole on every rank", tp2)
    note("tp-blocks-cut", "blocks-cut", lambda: qwen3().files(), "20 / 2 = 10 rows are 1.25 blocks", tp2)
    note("tp-ffn-uneven", "ffn-uneven", lambda: qwen3().files(), "20 rows for 3 ranks", tp3)
    note("tp-kv-uneven", "kv-heads-uneven", lambda: heads(6, 2), "2 KV heads for 3 ranks", tp3)
    note("tp-heads-uneven", "heads-uneven", lambda: heads(4, 4), "4 heads for 3 ranks", tp3)
    note("tp-vocab-uneven", "vocab-uneven", lambda: qwen3().files(), "24 rows for 5 ranks", "--tp 5")
    note("tp-latent", "kv-latent", lambda: latent(), "a latent cache is whole on every rank", tp2)
    note("tp-experts-uneven", "experts-uneven", lambda: experts(), "6 experts for 4 ranks", "--ep 4")
    note("tp-wide-norm", "norm-full-width", lambda: wide_norm(), "a k_norm over all KV heads", tp4)
    control("tp-legal", lambda: heads(4, 4), "4 heads on 2 ranks", tp2)
    control("ep-legal", lambda: experts(), "6 experts on 3 ranks", "--ep 3")


def heads(n_head, n_kv):
    m = unknown(num_attention_heads=n_head, num_key_value_heads=n_kv, head_dim=8, hidden_size=16, num_hidden_layers=1)
    m.linear("model.layers.0.self_attn.q_proj.weight", 8 * n_head, 16)
    m.linear("model.layers.0.self_attn.k_proj.weight", 8 * n_kv, 16)
    return m.files()


def latent():
    m = unknown(num_attention_heads=4, num_key_value_heads=4, kv_lora_rank=8, qk_rope_head_dim=4, num_hidden_layers=1)
    m.linear("model.layers.0.self_attn.kv_a_proj_with_mqa.weight", 12, 16)
    return m.files()


def experts():
    m = unknown(num_experts=6, moe_intermediate_size=12, hidden_size=16, num_hidden_layers=1)
    for i in range(6):
        m.linear("model.layers.0.mlp.experts.%d.up_proj.weight" % i, 12, 16)
    return m.files()


def wide_norm():
    m = unknown(num_attention_heads=8, num_key_value_heads=2, head_dim=8, hidden_size=16, num_hidden_layers=1)
    m.linear("model.layers.0.self_attn.q_proj.weight", 64, 16)
    m.linear("model.layers.0.self_attn.k_proj.weight", 16, 16)
    m.norm("model.layers.0.self_attn.q_norm.weight", 64)
    m.norm("model.layers.0.self_attn.k_norm.weight", 16)
    return m.files()


def register(fault, warning, note, control):
    for cases in (index_cases, pairing_cases, table_cases, config_cases, partition_cases):
        cases(fault, warning, note, control)
