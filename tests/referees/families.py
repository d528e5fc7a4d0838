#!/usr/bin/env python3
"""Tiny random models of a family, with what transformers says about each: logits, gradients, and rotary angles.

    families.py --out DIR --family llama|mistral|qwen2|qwen3|falcon|all --seed N [--count N] [--tokenizer]

Every configuration is drawn anew from the seed. DIR/FAMILY-I receives `config.json` and `model.safetensors` as `save_pretrained` writes
them, and `expected.safetensors`, computed in float64:
- `ids.J` (int64) and `logits.J` (float32, tokens x vocabulary) for three prompts;
- `gradient.NAME`, the gradient of the mean next-token loss of the last prompt with respect to every parameter;
- `positions` (int64), `cos`, and `sin` (positions x head width).
With `--tokenizer` the vocabulary is that of `tiny_llama.py`, and the folder holds the tokenizer.
"""

import argparse
import copy
import os
import random
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, FalconConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from tiny_llama import tokenizer

CLASSES = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config, "falcon": FalconConfig}
# Cycled through rather than drawn: six configurations of Falcon hold each of its architectures.
FALCONS = [
    {"new_decoder_architecture": False, "multi_query": True, "parallel_attn": True},
    {"new_decoder_architecture": True},
    {"new_decoder_architecture": True, "num_ln_in_parallel_attn": 1},
    {"new_decoder_architecture": False, "multi_query": False, "parallel_attn": False},
    {"new_decoder_architecture": True, "bias": True},
    {"new_decoder_architecture": False, "multi_query": False, "parallel_attn": True, "bias": True},
]
SCALINGS = ["default", "linear", "dynamic", "llama3", "yarn", "default"]
PROMPTS = [1, 6, 19]
# Angles of far positions are compared too, but where the base depends on the longest one.
FAR = 4095


def rope(draw, index, context):
    """Draws rotary parameters."""
    kind = SCALINGS[index % len(SCALINGS)]
    parameters = {"rope_type": kind, "rope_theta": draw.choice([10000.0, 500000.0, 1000000.0])}
    if kind != "default":
        parameters["factor"] = draw.choice([2.0, 4.0, 8.0])
    if kind in ("llama3", "yarn"):
        parameters["original_max_position_embeddings"] = context // 2
    if kind == "llama3":
        parameters |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    if kind == "yarn" and draw.random() < 0.5:
        parameters |= {"beta_fast": 16.0, "beta_slow": 2.0, "truncate": False}
    return parameters


def configuration(family, seed, index):
    """Draws a configuration small enough that its files stay below 100 KB."""
    draw = random.Random(f"{family} {seed} {index}")
    heads = draw.choice([2, 4, 6])
    kv_heads = draw.choice([count for count in (1, 2, 3) if heads % count == 0])
    width = 4 if heads == 6 else draw.choice([4, 8])
    context = draw.choice([64, 96])
    settings = {
        "vocab_size": draw.randint(31, 61),
        "hidden_size": heads * width,
        "num_hidden_layers": draw.choice([1, 2]) if heads * width <= 24 else 1,
        "num_attention_heads": heads,
        "max_position_embeddings": context,
        "rope_parameters": rope(draw, index, context),
        "tie_word_embeddings": draw.random() < 0.5,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "dtype": "float32",
    }
    if family == "falcon":
        shape = FALCONS[index % len(FALCONS)]
        if shape["new_decoder_architecture"]:
            settings["num_kv_heads"] = kv_heads
        return settings | {"ffn_hidden_size": draw.randint(17, 43)} | shape
    settings |= {
        "num_key_value_heads": kv_heads,
        "intermediate_size": draw.randint(17, 43),
        "rms_norm_eps": draw.choice([1e-5, 1e-6]),
    }
    if family in ("llama", "mistral") and draw.random() < 0.5 or family == "qwen3":
        settings["head_dim"] = draw.choice([6, 10, 16])
    if family == "llama":
        settings |= {"attention_bias": draw.random() < 0.5, "mlp_bias": draw.random() < 0.5}
    if family == "qwen3":
        settings["attention_bias"] = draw.random() < 0.5
    if family == "mistral":
        settings["sliding_window"] = draw.choice([None, 3, 7, 4096])
    return settings


def fill(model, generator):
    """Gives every parameter values that matter: scales beside one, biases beside zero, states near one.

    Logits stay near a half: float32 itself moves those of 5 by 4e-6, which would leave nothing for the code under test.
    """
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1:
            centre = 1.0 if name.endswith("weight") else 0.0
            values = centre + 0.2 * values
        elif "embed" in name:
            values = 0.1 * values
        elif name.startswith("lm_head"):
            values = 0.5 * values / parameter.shape[1] ** 0.5
        else:
            values = values / parameter.shape[1] ** 0.5
        parameter.data.copy_(values)


def angles(model, config, family):
    """Returns positions with their cosines and sines: the start, a reset in the middle, the end, and far beyond."""
    base = model.transformer if family == "falcon" else model.model
    positions = [0, 1, 2, 0, 1, config.max_position_embeddings - 1]
    if config.rope_parameters["rope_type"] != "dynamic":
        positions.append(FAR)
    positions = torch.tensor([positions])
    cos, sin = base.rotary_emb(torch.zeros(1, dtype=torch.float32), positions)
    return {"positions": positions[0], "cos": cos[0].contiguous(), "sin": sin[0].contiguous()}


def expectations(model, config, family, generator):
    """Returns what transformers says, without what float32 would add to it: of a draw that is badly conditioned that is a fifth of the bound."""
    exact = copy.deepcopy(model).double()
    tensors = {}
    for number, length in enumerate(PROMPTS):
        ids = torch.randint(0, config.vocab_size, (1, length), generator=generator)
        logits = exact(input_ids=ids, use_cache=False).logits
        tensors |= {f"ids.{number}": ids[0], f"logits.{number}": logits[0].detach().float()}
    torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:]).backward()
    tensors |= {f"gradient.{name}": parameter.grad.float() for name, parameter in exact.named_parameters()}
    return tensors | angles(model, config, family)


def make(family, index, arguments):
    """Writes one model, and what transformers says about it."""
    settings = configuration(family, arguments.seed, index)
    words = tokenizer() if arguments.tokenizer else None
    if words:
        settings["vocab_size"] = len(words)
    config = CLASSES[family](**settings)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").to(torch.float32).eval()
    generator = torch.Generator().manual_seed(1000 * arguments.seed + index)
    fill(model, generator)
    folder = Path(arguments.out) / f"{family}-{index}"
    model.save_pretrained(folder, safe_serialization=True)
    save_file(expectations(model, config, family, generator), folder / "expected.safetensors")
    if words:
        words.save_pretrained(folder)
    # Nothing of it says how the network computes.
    (folder / "generation_config.json").unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="the folder to fill")
    parser.add_argument("--family", required=True, choices=[*sorted(CLASSES), "all"])
    parser.add_argument("--seed", type=int, required=True, help="seed of configurations, weights, and prompts")
    parser.add_argument("--count", type=int, default=6, help="how many models")
    parser.add_argument("--tokenizer", action="store_true", help="write a tokenizer beside each")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    for family in CLASSES if arguments.family == "all" else [arguments.family]:
        for index in range(arguments.count):
            make(family, index, arguments)


if __name__ == "__main__":
    main()
