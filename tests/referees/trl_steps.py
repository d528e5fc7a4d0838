#!/usr/bin/env python3
"""Optimizer steps of TRL's SFTTrainer from a given adapter on given token rows.

    trl_steps.py --model DIR [--gguf FILE] --adapter DIR --rows ROWS.json --settings SETTINGS.json --out DIR

ROWS.json is a list of `{"input_ids": [...], "labels": [...]}` with -100 where nothing is learned; the rows are taken in this order.
SETTINGS.json holds `steps`, `batch`, `accumulation`, `lr`, `warmup_steps`, `schedule`, and optionally `weight_decay`, `max_grad_norm`.
DIR receives the trained adapter (PEFT) and `steps.json`: for every step the loss over its supervised tokens, the learning rate it was
taken with, and the gradient's norm before clipping.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from peft import PeftModel
from torch.utils.data import SequentialSampler
from trl import SFTConfig, SFTTrainer

from models import add_model_arguments, load_model, load_tokenizer, read_json, write_json


class InOrder(SFTTrainer):
    """Takes the rows in their order and keeps every number unrounded."""

    def __init__(self, *positional, **named):
        super().__init__(*positional, **named)
        self.micro_losses = []
        self.taken = []

    def _get_train_sampler(self, dataset=None):
        return SequentialSampler(dataset if dataset is not None else self.train_dataset)

    def training_step(self, *positional, **named):
        loss = super().training_step(*positional, **named)
        self.micro_losses.append(loss.item())
        return loss

    def _clip_grad_norm(self, model):
        norm = super()._clip_grad_norm(model)
        self.taken.append({"loss": sum(self.micro_losses), "lr": self.lr_scheduler.get_last_lr()[0], "grad_norm": float(norm)})
        self.micro_losses.clear()
        return norm


def configuration(settings, scratch):
    """Returns TRL's settings: plain AdamW, no dropout, no packing, no shuffling."""
    return SFTConfig(
        output_dir=scratch,
        max_steps=settings["steps"],
        per_device_train_batch_size=settings["batch"],
        gradient_accumulation_steps=settings["accumulation"],
        learning_rate=settings["lr"],
        lr_scheduler_type=settings["schedule"],
        warmup_steps=settings["warmup_steps"],
        weight_decay=settings.get("weight_decay", 0.0),
        max_grad_norm=settings.get("max_grad_norm", 1.0),
        optim="adamw_torch",
        max_length=None,
        packing=False,
        shuffle_dataset=False,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument("--adapter", required=True, help="the PEFT folder to begin with")
    parser.add_argument("--rows", required=True, help="token rows with labels, JSON")
    parser.add_argument("--settings", required=True, help="steps, batch, and optimizer, JSON")
    parser.add_argument("--out", required=True, help="the folder to write")
    arguments = parser.parse_args()
    settings = read_json(arguments.settings)
    tokenizer = load_tokenizer(arguments)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = PeftModel.from_pretrained(load_model(arguments), arguments.adapter, is_trainable=True, autocast_adapter_dtype=False)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = InOrder(
            model=model,
            args=configuration(settings, scratch),
            train_dataset=Dataset.from_list(read_json(arguments.rows)),
            processing_class=tokenizer,
        )
        trainer.train()
    trainer.model.save_pretrained(arguments.out)
    write_json(str(Path(arguments.out) / "steps.json"), trainer.taken)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
