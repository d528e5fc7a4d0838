#!/usr/bin/env python3
"""Logits of a model with an adapter of ours, loaded by peft, in float32 and in float64.

    peft_logits.py --model DIR [--gguf FILE] --adapter DIR --prompts PROMPTS.json --out LOGITS.safetensors

The output is that of `logits.py`, and `base.i` (float32) beside it: the same prompts with the adapter switched off.
"""

import torch
from peft import PeftModel

import logits


def with_adapter(model, arguments):
    """Lays the adapter over the model."""
    return PeftModel.from_pretrained(model, arguments.adapter).eval()


def add_arguments(parser):
    """Adds what `logits.py` does not have."""
    parser.add_argument("--adapter", required=True, help="a PEFT folder")


if __name__ == "__main__":
    torch.manual_seed(0)
    logits.main(with_adapter, add_arguments, __doc__)
