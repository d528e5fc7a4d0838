#!/usr/bin/env python3
"""ROUGE F1 by the `rouge-score` package.

    rouge.py --pairs PAIRS.json [--out SCORES.json]

PAIRS.json is a list of `{"reference": TEXT, "prediction": TEXT}`. The output is a list of `{"rouge1", "rouge2", "rougeL", "rougeLsum"}`.
"""

import argparse
import json
import sys

from rouge_score.rouge_scorer import RougeScorer

KINDS = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", required=True, help="references and predictions, JSON")
    parser.add_argument("--out", default="-", help="the JSON file to write, `-` prints it")
    parser.add_argument("--stemmer", action="store_true", help="use the Porter stemmer")
    arguments = parser.parse_args()
    scorer = RougeScorer(KINDS, use_stemmer=arguments.stemmer)
    with open(arguments.pairs, encoding="utf-8") as file:
        pairs = json.load(file)
    scores = []
    for pair in pairs:
        found = scorer.score(pair["reference"], pair["prediction"])
        scores.append({kind: found[kind].fmeasure for kind in KINDS})
    target = sys.stdout if arguments.out == "-" else open(arguments.out, "w", encoding="utf-8")
    with target:
        json.dump(scores, target)


if __name__ == "__main__":
    main()
