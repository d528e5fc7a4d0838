#!/usr/bin/env python3
"""What `huggingface_hub` reads in a model card of ours.

    card.py README.md

Prints the card's data as JSON. Ends with 1 if the card does not load.
"""

import json
import sys

from huggingface_hub import ModelCard


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    card = ModelCard.load(sys.argv[1])
    print(json.dumps({"data": card.data.to_dict(), "text": card.text}, ensure_ascii=False, default=str))


if __name__ == "__main__":
    main()
