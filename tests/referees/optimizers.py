"""Moves one matrix for many steps by the update rules of torch, transformers, and bitsandbytes.

The gradient of step t is `gradients[t % n] + pull * parameter`, so that an error of one step enters the next.
"""

import argparse

import bitsandbytes
import torch
from transformers.optimization import Adafactor

from models import read_json, write_json


def muon(parameters, rule):
    """PyTorch's Muon; it rounds to bfloat16 inside, which is asked to be 32 bits here."""
    torch.bfloat16 = torch.float32
    momentum = {"momentum": rule["momentum"], "nesterov": rule["nesterov"]}
    return torch.optim.Muon(parameters, lr=rule["lr"], weight_decay=rule["weight_decay"], **momentum)


def adafactor(parameters, rule):
    return Adafactor(parameters, lr=rule["lr"], weight_decay=rule["weight_decay"], relative_step=False, scale_parameter=False)


def sgd(parameters, rule):
    momentum = {"momentum": rule["momentum"], "nesterov": rule["nesterov"]}
    return torch.optim.SGD(parameters, lr=rule["lr"], weight_decay=rule["weight_decay"], **momentum)


def with_betas(optimizer):
    return lambda parameters, rule: optimizer(
        parameters, lr=rule["lr"], betas=tuple(rule["betas"]), weight_decay=rule["weight_decay"]
    )


def nearest_codes(values, code, largest, into, block):
    """Quantizes by the path that finds the nearest code; that for 32 bits looks codes up in a coarse table."""
    codes, scales = torch.ops.bitsandbytes.quantize_blockwise(values.double(), code, block)
    into.copy_(codes)
    largest.copy_(scales)


bitsandbytes.backends.cpu.ops._quant_blockwise_fp32_direct = nearest_codes

RULES = {
    "adamw": with_betas(torch.optim.AdamW),
    "adamw8bit": with_betas(bitsandbytes.optim.AdamW8bit),
    "lion": with_betas(bitsandbytes.optim.Lion32bit),
    "sgd": sgd,
    "adafactor": adafactor,
    # Last: it changes what torch calls bfloat16.
    "muon": muon,
}


def walk(rule, pull, request):
    """Returns the matrix after all steps."""
    parameter = torch.nn.Parameter(torch.tensor(request["start"], dtype=torch.float32))
    gradients = [torch.tensor(gradient, dtype=torch.float32) for gradient in request["gradients"]]
    optimizer = RULES[rule["name"]]([parameter], rule)
    for step in range(request["steps"]):
        parameter.grad = gradients[step % len(gradients)] + pull * parameter.detach()
        optimizer.step()
    return parameter.detach().tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", required=True, help="start, gradients, steps, and rules, JSON")
    parser.add_argument("--out", required=True, help="where the matrices go, JSON")
    arguments = parser.parse_args()
    request = read_json(arguments.request)
    rules = sorted(request["rules"], key=lambda told: told["rule"]["name"] == "muon")
    write_json(arguments.out, {told["rule"]["label"]: walk(told["rule"], told["pull"], request) for told in rules})


if __name__ == "__main__":
    main()
