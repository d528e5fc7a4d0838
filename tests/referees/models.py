"""Loads models the way the outside world does: a GGUF file or a Hugging Face folder, dense weights, no fused kernels."""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def add_model_arguments(parser):
    """Adds the options that name a model."""
    parser.add_argument("--model", required=True, help="a Hugging Face folder, or the folder of the GGUF file")
    parser.add_argument("--gguf", help="the GGUF file's name inside the folder")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")


def load_model(arguments, dtype=torch.float32):
    """Returns the causal language model with dense weights, ready for inference."""
    torch.set_num_threads(arguments.threads)
    options = {"dtype": torch.float32, "attn_implementation": "sdpa"}
    if arguments.gguf:
        options |= {"gguf_file": arguments.gguf, "quantization_config": GgufConfig(dequantize=True)}
    model = AutoModelForCausalLM.from_pretrained(arguments.model, **options)
    # A file that was quantised is refused by trainers, although nothing of it is quantised any more.
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model.to(dtype).eval()


def load_tokenizer(arguments):
    """Returns the tokenizer with its chat template."""
    options = {"gguf_file": arguments.gguf} if arguments.gguf else {}
    return AutoTokenizer.from_pretrained(arguments.model, **options)


def in_float64(model):
    """Turns a model into its float64 self, also where the code of transformers says float32: norms and rotary angles."""
    model = model.to(torch.float64)
    for module in model.modules():
        kind = type(module).__name__
        if kind.endswith("RMSNorm"):
            module.forward = _norm_float64(module)
        elif kind.endswith("RotaryEmbedding"):
            module.forward = _rotary_float64(module)
    return model


def _norm_float64(module):
    def forward(hidden):
        hidden = hidden.to(torch.float64)
        return module.weight * hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + module.variance_epsilon)

    return forward


def _rotary_float64(module):
    theta = module.config.rope_parameters["rope_theta"]
    width = getattr(module.config, "head_dim", None) or module.config.hidden_size // module.config.num_attention_heads
    inverse = 1.0 / theta ** (torch.arange(0, width, 2, dtype=torch.float64) / width)

    def forward(x, position_ids):
        angles = position_ids[:, :, None].to(torch.float64) * inverse[None, None, :]
        both = torch.cat((angles, angles), dim=-1)
        return both.cos(), both.sin()

    return forward


def read_json(path):
    """Reads a JSON file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_json(path, value):
    """Writes a JSON file, or prints it where the path is `-`."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    if path == "-":
        print(text)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")
