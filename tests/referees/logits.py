#!/usr/bin/env python3
"""Logits of transformers for given token ids, in float32 and in float64.

    logits.py --model DIR [--gguf FILE] --prompts PROMPTS.json --out LOGITS.safetensors

PROMPTS.json is a list of lists of ids. For prompt i the output holds `positions.i` (int64: which positions follow), `float32.i` and
`float64.i` (positions x vocabulary). Long prompts keep every eighth position and the last one, so that the file stays small.
"""

import argparse

import torch
from safetensors.torch import save_file

from models import add_model_arguments, in_float64, load_model, read_json

KEEP_ALL = 64
EVERY = 8


def kept_positions(length):
    """Returns the positions whose logits are written."""
    if length <= KEEP_ALL:
        return list(range(length))
    return sorted({*range(0, length, EVERY), length - 1})


def measure(model, prompts, name, tensors):
    """Adds the logits of every prompt under `name.i`."""
    for number, ids in enumerate(prompts):
        positions = kept_positions(len(ids))
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, positions]
        tensors[f"{name}.{number}"] = logits.contiguous()
        tensors[f"positions.{number}"] = torch.tensor(positions)


def main(prepare=lambda model, _: model, add_arguments=lambda _: None, description=__doc__):
    """Runs the comparison; `prepare` may lay something over the model first."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument("--prompts", required=True, help="a JSON list of lists of token ids")
    parser.add_argument("--out", required=True, help="the safetensors file to write")
    add_arguments(parser)
    arguments = parser.parse_args()
    prompts = read_json(arguments.prompts)
    model = prepare(load_model(arguments), arguments)
    tensors = {}
    if hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            measure(model, prompts, "base", tensors)
    measure(model, prompts, "float32", tensors)
    measure(in_float64(model), prompts, "float64", tensors)
    save_file(tensors, arguments.out)


if __name__ == "__main__":
    main()
