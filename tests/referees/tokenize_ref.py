#!/usr/bin/env python3
"""Token ids by transformers' tokenizer.

    tokenize_ref.py --model DIR [--gguf FILE] --texts TEXTS.json [--out IDS.json]

TEXTS.json is a list of strings. The output is a list of `{"ids": [...], "decoded": TEXT}`: no special tokens are added, and those that
stand in a text are taken for what they name.
"""

import argparse

from models import add_model_arguments, load_tokenizer, read_json, write_json


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument("--texts", required=True, help="a JSON list of strings")
    parser.add_argument("--out", default="-", help="the JSON file to write, `-` prints it")
    arguments = parser.parse_args()
    tokenizer = load_tokenizer(arguments)
    results = []
    for text in read_json(arguments.texts):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        results.append({"ids": ids, "decoded": tokenizer.decode(ids, clean_up_tokenization_spaces=False)})
    write_json(arguments.out, results)


if __name__ == "__main__":
    main()
