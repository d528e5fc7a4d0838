#!/usr/bin/env python3
"""What the official `openai` client gets from a server of ours.

    openai_client.py --base-url http://127.0.0.1:PORT/v1 --model NAME --messages MESSAGES.json [--max-tokens N]

Prints `{"text", "finish_reason", "usage", "streamed", "chunks", "models"}`: the greedy answer in one piece, the same answer put together
from the stream, how many pieces it came in, and the names of the served models. Ends with 1 on any error of the client.
"""

import argparse
import json

from openai import OpenAI


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True, help="the server's address with /v1")
    parser.add_argument("--model", required=True, help="the model to ask")
    parser.add_argument("--messages", required=True, help="a conversation, JSON")
    parser.add_argument("--max-tokens", type=int, default=64, help="tokens to produce at most")
    parser.add_argument("--api-key", default="none", help="the key to send")
    arguments = parser.parse_args()
    with open(arguments.messages, encoding="utf-8") as file:
        messages = json.load(file)
    client = OpenAI(base_url=arguments.base_url, api_key=arguments.api_key, max_retries=0, timeout=300)
    asked = {"model": arguments.model, "messages": messages, "temperature": 0, "max_tokens": arguments.max_tokens}
    whole = client.chat.completions.create(**asked)
    pieces = []
    for chunk in client.chat.completions.create(**asked, stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            pieces.append(chunk.choices[0].delta.content)
    print(json.dumps({
        "text": whole.choices[0].message.content,
        "finish_reason": whole.choices[0].finish_reason,
        "usage": whole.usage.model_dump() if whole.usage else None,
        "streamed": "".join(pieces),
        "chunks": len(pieces),
        "models": [model.id for model in client.models.list()],
    }, ensure_ascii=False))


if __name__ == "__main__":
    main()
