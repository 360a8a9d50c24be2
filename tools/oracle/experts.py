# SPDX-License-Identifier: Apache-2.0
"""Mixture of experts in the goldens: names of the hub and of the library, and routers that leave no doubt.

The library keeps the experts of a layer in one tensor; checkpoints of the hub hold one tensor for each projection of each
expert, some under other names.

Which experts a token gets is a comparison of scores. Where two scores lie close together a bf16 run may choose another
expert than float32 does, and be as right. `widen` moves a router so that, over the sequence of the golden, the chosen
experts (and groups) lead by a margin far above the error of bf16; what they are is left as the random router had it.
"""
import torch

FAMILIES = {   # model_type: the block's name on the hub, its gate, up and down projections
    "qwen3_moe": ("mlp", "gate_proj", "up_proj", "down_proj"),
    "minimax_m2": ("block_sparse_moe", "w1", "w3", "w2"),
    "deepseek_v3": ("mlp", "gate_proj", "up_proj", "down_proj"),
}
ROUNDS, NORM_COST = 400, 0.1   # of the search for a router


def is_sparse(config):
    return config.model_type in FAMILIES


def is_float32(config, name):
    """What the hub stores in float32: the correction bias everywhere, and the router of MiniMax-M2."""
    return name.endswith("e_score_correction_bias") or \
        (config.model_type == "minimax_m2" and name.endswith(".gate.weight"))


# ------------------------------------------------------------------------------- names

def hub_shapes(model):
    """Name and shape of every tensor, spelled as on the hub; in the library's order."""
    shapes = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    if not is_sparse(model.config):
        return shapes
    block, gate, up, down = FAMILIES[model.config.model_type]
    out = {}
    for name, shape in shapes.items():
        name = name.replace(".mlp.", f".{block}.")
        if name.endswith("experts.gate_up_proj"):
            stem, (n, rows, cols) = name.removesuffix("gate_up_proj"), shape
            for e in range(n):
                out[f"{stem}{e}.{gate}.weight"] = out[f"{stem}{e}.{up}.weight"] = (rows // 2, cols)
        elif name.endswith("experts.down_proj"):
            stem, (n, rows, cols) = name.removesuffix("down_proj"), shape
            for e in range(n):
                out[f"{stem}{e}.{down}.weight"] = (rows, cols)
        else:
            out[name] = shape
    return out | prediction_layers(model.config, out)


def prediction_layers(config, shapes):
    """The layers of multi-token prediction, behind the last one: a layer like the last, and what joins and ends it."""
    out = {}
    for i in range(config.num_hidden_layers, config.num_hidden_layers + (getattr(config, "num_mtp_layers", 0) or 0)):
        stem, last = f"model.layers.{i}.", f"model.layers.{config.num_hidden_layers - 1}."
        out |= {stem + name.removeprefix(last): shape for name, shape in shapes.items() if name.startswith(last)}
        out |= {stem + "enorm.weight": (config.hidden_size,), stem + "hnorm.weight": (config.hidden_size,),
                stem + "eh_proj.weight": (config.hidden_size, 2 * config.hidden_size),
                stem + "shared_head.norm.weight": (config.hidden_size,)}
    return out


def add_copies(config, stored):
    """The embedding and the head once more for each layer of multi-token prediction."""
    for i in range(config.num_hidden_layers, config.num_hidden_layers + (getattr(config, "num_mtp_layers", 0) or 0)):
        stored[f"model.layers.{i}.embed_tokens.weight"] = stored["model.embed_tokens.weight"].clone()
        stored[f"model.layers.{i}.shared_head.head.weight"] = stored["lm_head.weight"].clone()


def library_weights(model, weights):
    """The library's state from a checkpoint's weights; layers of multi-token prediction fall away."""
    config = model.config
    if not is_sparse(config):
        return weights
    block, gate, up, down = FAMILIES[config.model_type]
    kept = {name: w for name, w in weights.items() if layer_of(name) < config.num_hidden_layers}
    out = {name.replace(f".{block}.", ".mlp."): w for name, w in kept.items() if ".experts." not in name}
    for name, p in model.state_dict().items():
        stem = name.replace(".mlp.", f".{block}.").rpartition(".")[0]
        if name.endswith("experts.gate_up_proj"):
            out[name] = torch.stack([torch.cat([kept[f"{stem}.{e}.{gate}.weight"], kept[f"{stem}.{e}.{up}.weight"]])
                                     for e in range(p.shape[0])])
        elif name.endswith("experts.down_proj"):
            out[name] = torch.stack([kept[f"{stem}.{e}.{down}.weight"] for e in range(p.shape[0])])
    return out


def layer_of(name):
    parts = name.split(".")
    return int(parts[2]) if parts[1] == "layers" else -1


# ------------------------------------------------------------------------------- routing

def selection_scores(config, logits, bias):
    """What the choice compares: logits where softmax follows (it keeps their order), biased sigmoids elsewhere."""
    return logits if bias is None else logits.sigmoid() + bias


def group_scores(config, scores):
    """The two best experts of each group, summed; None without groups."""
    n_group = getattr(config, "n_group", None)
    if not n_group or n_group == 1:
        return None
    return scores.unflatten(-1, (n_group, -1)).topk(2, dim=-1).values.sum(-1)


def best(scores, n):
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, scores.topk(n, dim=-1).indices, True)


def choose(config, scores):
    """Masks of the chosen experts and of those that were allowed, [tokens, experts], and of the chosen groups."""
    groups, grouped = None, group_scores(config, scores)
    allowed = torch.ones_like(scores, dtype=torch.bool)
    if grouped is not None:
        groups = best(grouped, config.topk_group)
        allowed = groups.repeat_interleave(scores.shape[-1] // config.n_group, dim=-1)
    return best(scores.masked_fill(~allowed, -torch.inf), config.num_experts_per_tok), allowed, groups


def gap(scores, chosen, allowed):
    """By how much the last chosen one leads the best of the others, for each token."""
    return scores.masked_fill(~chosen, torch.inf).amin(-1) - scores.masked_fill(chosen | ~allowed, -torch.inf).amax(-1)


def gaps(config, scores, chosen, allowed, groups):
    found = [gap(scores, chosen, allowed)]
    if groups is not None:
        found.append(gap(group_scores(config, scores), groups, torch.ones_like(groups)))
    return torch.stack(found)


def widen(config, weight, bias, x, wish):
    """A small router whose choice for the inputs x [tokens, hidden] is the one of `weight` and leads by `wish`.

    Small, because the error of a score grows with the router's rows: among the routers of that lead Adam looks for the one
    of least norm.
    """
    masks = choose(config, selection_scores(config, x @ weight.T, bias))
    weight = weight.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([weight], lr=0.02)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, ROUNDS)
    for _ in range(ROUNDS):
        lead = gaps(config, selection_scores(config, x @ weight.T, bias), *masks)
        loss = (1.1 - lead / wish).clamp(min=0).square().sum() + NORM_COST * weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return weight.detach()


def routers(model):
    """Each sparse layer's number and the library's router, first layer first."""
    return [(i, layer.mlp) for i, layer in enumerate(model.model.layers) if hasattr(layer.mlp, "gate")]


@torch.no_grad()
def listen(model, ids):
    """One pass over ids: what each sparse layer's router got and answered, (input, logits, weights, experts)."""
    heard, hooks = {}, []
    for i, block in routers(model):
        def note(module, inputs, outputs, i=i):
            heard[i] = (inputs[0].float().flatten(0, -2), *outputs)
        hooks.append(block.gate.register_forward_hook(note))
    model(input_ids=torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return heard


def bias_of(block):
    for owner in (block, block.gate):
        if hasattr(owner, "e_score_correction_bias"):
            return owner.e_score_correction_bias
    return None


def shape_routers(model, weights, ids, put):
    """Widen every router along ids, layer by layer: each sees what the ones before it give."""
    block_name = FAMILIES[model.config.model_type][0]
    for i, block in routers(model):
        name = f"model.layers.{i}.{block_name}.gate.weight"
        x = listen(model, ids)[i][0]
        bias = bias_of(block)
        wish = 0.5 if bias is None else 0.1   # logits; sigmoids, whose slope is a quarter at most
        w = widen(model.config, weights[name], bias, x, wish)
        weights[name] = w if is_float32(model.config, name) else w.to(torch.bfloat16).float()
        put(model, weights)


def compare_routing(model, half, ids):
    """The routing of the float32 model over ids, and how far it is from being another one in bf16.

    Returns None when the two choose differently, some expert is never chosen, or a bias or the groups decide nothing.
    """
    config = model.config
    found, low = listen(model, ids), listen(half, ids)
    margin, deviation, experts, shares = torch.inf, 0.0, [], []
    for i, block in routers(model):
        bias = bias_of(block)
        scores = [selection_scores(config, heard[i][1].float(), bias) for heard in (found, low)]
        masks = choose(config, scores[0])
        if not torch.equal(masks[0], choose(config, scores[1])[0]) or not masks[0].any(0).all():
            return None
        if bias is not None:
            unbiased = choose(config, scores[0] - bias)[0]
            ungrouped = best(scores[0], config.num_experts_per_tok)
            if torch.equal(masks[0], unbiased) or (masks[2] is not None and torch.equal(masks[0], ungrouped)):
                return None
        lead, low_lead = (gaps(config, s, *masks) for s in scores)
        margin, deviation = min(margin, lead.min().item()), max(deviation, (low_lead - lead).abs().max().item())
        order = found[i][3].argsort(-1)
        experts.append(found[i][3].gather(-1, order))
        shares.append(found[i][2].float().gather(-1, order))
    return {"margin": margin, "deviation": deviation, "experts": torch.stack(experts), "weights": torch.stack(shares)}
