#!/usr/bin/env python3
"""Conversations as text by transformers' `apply_chat_template`.

    templates.py --model DIR [--gguf FILE] --conversations CONVERSATIONS.json [--out TEXTS.json]

CONVERSATIONS.json is a list of `{"messages": [{"role", "content"}, ...], "template": "..."}`; without `template` the model's own is used.
The output is a list of `{"plain": TEXT, "prompted": TEXT}`, without and with the generation prompt, or `{"error": TEXT}` where the
template itself refuses the conversation.
"""

import argparse

from models import add_model_arguments, load_tokenizer, read_json, write_json


def rendered(tokenizer, conversation):
    """Returns a conversation as text in both forms."""
    options = {"tokenize": False}
    if "template" in conversation:
        options["chat_template"] = conversation["template"]
    try:
        return {
            "plain": tokenizer.apply_chat_template(conversation["messages"], add_generation_prompt=False, **options),
            "prompted": tokenizer.apply_chat_template(conversation["messages"], add_generation_prompt=True, **options),
        }
    except Exception as error:  # whatever the template raises is its answer
        return {"error": str(error)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument("--conversations", required=True, help="conversations, JSON")
    parser.add_argument("--out", default="-", help="the JSON file to write, `-` prints it")
    arguments = parser.parse_args()
    tokenizer = load_tokenizer(arguments)
    write_json(arguments.out, [rendered(tokenizer, one) for one in read_json(arguments.conversations)])


if __name__ == "__main__":
    main()
