#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What 2 to 16 hosts would spend on communication: a model from bytes per step, no measurement.

    bench/communication_model.py MODEL/config.json [--tokens 1] [--memory-bandwidth 200e9]

Assumptions, all of them in the code below:
  - One rank per host. Every rank reads 1/n of the weights that a token needs at --memory-bandwidth (active experts only, spread
    evenly, which is the best case); that is the compute time of a decode step of one token. With more tokens a mixture of experts
    reads more, so its share of communication is smaller than shown. A prefill has more arithmetic than this and the same
    messages, so its share of communication is smaller than the one for as many tokens shown here.
  - Per step: one sum for the embedding, two per layer (MiniMax-M2: one more of two floats a token for its norms over the full
    width), float32, hidden_size elements a token; the step's descriptor (2 KiB); logits of one token to rank 0.
  - The algorithm of src/comm/collective.c: up to 32 KiB everybody sends all to everybody (one message time, n-1 times the data);
    more is cut into a piece per rank, summed, and sent on (two message times, 2 (n-1)/n times the data).
  - A message takes `latency` plus its bytes over `bandwidth` of the host's one link, sending and receiving at the same time;
    messages of one rank follow each other on the link, and each costs the sender `overhead`. No congestion in the switch.
  - Nothing overlaps: ranks compute, then talk.
"""
import argparse
import json

NETWORKS = {  # one-way latency in seconds, bytes per second, sender's seconds per message
    "10 GbE, TCP": (25e-6, 1.1e9, 3e-6),
    "25 GbE, TCP": (15e-6, 2.8e9, 3e-6),
    "100 Gb RoCE/IB": (2.5e-6, 11e9, 0.3e-6),
}
WHOLE_BYTES = 32 << 10
DESCRIPTOR_BYTES = 2 << 10


def sum_seconds(n_bytes, n, network):
    latency, bandwidth, overhead = network
    if n == 1:
        return 0
    if n_bytes <= WHOLE_BYTES:
        return latency + (n - 1) * max(overhead, n_bytes / bandwidth)
    piece = n_bytes / n
    return 2 * (latency + (n - 1) * max(overhead, piece / bandwidth))


def step_seconds(config, n, tokens, network):
    latency, bandwidth, overhead = network
    layers, d = config["num_hidden_layers"], config["hidden_size"]
    seconds = (2 * layers + 1) * sum_seconds(4 * d * tokens, n, network)
    if config.get("model_type") == "minimax_m2":
        seconds += layers * sum_seconds(8 * tokens, n, network)
    if n > 1:
        seconds += latency + (n - 1) * max(overhead, DESCRIPTOR_BYTES / bandwidth)
        seconds += latency + 4 * config["vocab_size"] * (n - 1) / n / bandwidth
    return seconds


def active_weight_bytes(config):
    """bf16 bytes that one token reads, without the embedding."""
    d, layers = config["hidden_size"], config["num_hidden_layers"]
    heads, kv = config["num_attention_heads"], config.get("num_key_value_heads") or config["num_attention_heads"]
    if config.get("kv_lora_rank"):
        nope, rope, v = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
        q_rank, kv_rank = config.get("q_lora_rank"), config["kv_lora_rank"]
        q = d * q_rank + q_rank * heads * (nope + rope) if q_rank else d * heads * (nope + rope)
        attention = q + d * (kv_rank + rope) + kv_rank * heads * (nope + v) + heads * v * d
    else:
        head = config.get("head_dim") or d // heads
        attention = d * head * (2 * heads + 2 * kv)
    experts = config.get("n_routed_experts") or config.get("num_local_experts") or config.get("num_experts") or 0
    dense = layers if not experts else config.get("first_k_dense_replace", 0)
    width = config["intermediate_size"] if config.get("model_type") == "minimax_m2" else config.get("moe_intermediate_size", 0)
    active = config.get("num_experts_per_tok", 0) + config.get("n_shared_experts", 0)
    total = layers * attention + dense * 3 * d * config["intermediate_size"]
    total += (layers - dense) * (active * 3 * d * width + 2 * experts * d)  # the router is float32
    return 2 * (total + d * config["vocab_size"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--tokens", type=int, default=1, help="tokens of a step (sequences that decode together)")
    parser.add_argument("--memory-bandwidth", type=float, default=200e9, help="bytes per second of one host")
    args = parser.parse_args()
    with open(args.config, encoding="utf-8") as file:
        config = json.load(file)
    weights = active_weight_bytes(config)
    print(f"{config['model_type']}: {weights / 1e9:.2f} GB of weights a token, {args.tokens} tokens a step, "
          f"{args.memory_bandwidth / 1e9:.0f} GB/s a host")
    print("| hosts | weights, ms |" + "".join(f" {name}, ms (share) |" for name in NETWORKS))
    print("| --- | --- |" + " --- |" * len(NETWORKS))
    for n in (1, 2, 4, 8, 16):
        compute = weights / n / args.memory_bandwidth
        row = f"| {n} | {compute * 1e3:.2f} |"
        for network in NETWORKS.values():
            talk = step_seconds(config, n, args.tokens, network)
            row += f" {talk * 1e3:.2f} ({100 * talk / (talk + compute):.0f} %) |"
        print(row)


if __name__ == "__main__":
    main()
