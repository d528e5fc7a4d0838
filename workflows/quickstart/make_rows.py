#!/usr/bin/env python3
"""Writes the support tickets of the quickstart: `tickets.jsonl` (mail) and `phone-notes.csv` (calls).

    python3 make_rows.py            # rewrites both files beside this script
    python3 make_rows.py --check    # ends with 1 if they differ from what it would write

Both files are committed; the same seed gives the same bytes. Standard library only.

Every ticket has a right answer that follows from its text by a rule: the kind of trouble gives the category, the category gives the team,
one sentence gives the priority, and one sentence (or its absence) gives the sentiment. Into these clean tickets the script plants what
the data stages exist for: personal data with valid checksums, exact and near duplicates, text decoded with the wrong code page, invisible
characters, women who are called angry more often than men, and lines that cannot be read.
"""

import argparse
import csv
import io
import json
import random
import sys
from pathlib import Path

from families import FAMILIES, PRIORITY, SENTIMENT, TEAMS

SEED = 7
ROWS_PER_FAMILY = 12
PHONE_NOTES = 40

SLOTS = {
    "product": ["router", "label printer", "desk lamp", "coffee machine", "headset", "scanner", "tablet", "projector", "standing desk", "web camera",
                "cash register", "air filter"],
    "other": ["toaster", "paper shredder", "monitor arm", "door lock", "speaker", "charger", "keyboard", "weather station"],
    "area": ["calendar", "inventory", "address book", "dashboard", "timesheet", "order list", "task board", "archive", "price table", "stock report"],
    "city": ["Lyon", "Porto", "Köln", "Graz", "Malmö", "Gdańsk", "Turin", "Brno", "Leuven", "Cork"],
    "month": ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October"],
    "weekday": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
}
WOMEN = ["Ana", "Zoé", "Ingrid", "Marta", "Fatima", "Helen", "Yuki", "Chiara", "Renée", "Olga", "Priya", "Nora"]
MEN = ["Karl", "José", "Jürgen", "Tomás", "Ahmed", "Peter", "Kenji", "Luca", "René", "Ivan", "Arjun", "Oskar"]
SURNAMES = ["Keller", "Müller", "Lindqvist", "García", "Okafor", "Novák", "Rossi", "Dubois", "Sørensen", "Haddad", "Tanaka", "Walsh", "Weiß", "Costa"]
OPENINGS = ["Hello!", "Good morning.", "Hi there.", "Dear team:", "Good day.", ""]


def slot_values(rng):
    """Draws what one ticket is about."""
    values = {name: rng.choice(choices) for name, choices in SLOTS.items()}
    values["order"] = rng.choice("ABKPRT") + str(rng.randrange(10000, 99999))
    values["amount"] = f"{rng.randrange(12, 900)}.{rng.choice(['00', '50', '90'])} euros"
    values["n"] = str(rng.randrange(3, 40))
    values["version"] = f"{rng.randrange(2, 9)}.{rng.randrange(0, 30)}"
    values["code"] = str(rng.randrange(100, 999))
    return values


# -- personal data that passes the checks a validator makes

def luhn_digit(digits):
    """Returns the digit that makes a card number pass the Luhn check."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def card(rng):
    """Draws a payment card number."""
    digits = rng.choice(["4539", "4716", "5275", "5412"]) + "".join(rng.choices("0123456789", k=11))
    digits += luhn_digit(digits)
    return " ".join(digits[i:i + 4] for i in range(0, 16, 4))


def iban(rng):
    """Draws a German bank account number with the check digits of ISO 7064."""
    account = "".join(rng.choices("0123456789", k=18))
    check = 98 - int(account + "131400") % 97
    digits = f"DE{check:02d}{account}"
    return " ".join(digits[i:i + 4] for i in range(0, len(digits), 4))


def email(rng, first, surname):
    """Draws a mail address under a name that can never be registered."""
    plain = str.maketrans({"ü": "ue", "ö": "oe", "é": "e", "í": "i", "á": "a", "ø": "o", "ß": "ss"})
    host = rng.choice(["postbox", "mailhaus", "northwind", "fastpost"])
    return f"{first}.{surname}@{host}.example".lower().translate(plain)


def phone(rng):
    """Draws a phone number in international form."""
    return rng.choice(["+49 30 {}", "+33 1 {}", "+44 20 {}", "+31 20 {}"]).format(f"{rng.randrange(2000, 9999)} {rng.randrange(1000, 9999)}")


def personal_line(rng, category, first, surname):
    """Draws a sentence that gives away something a support desk should not train on."""
    kinds = ["email", "phone", "email", "phone", "iban", "card"] if category == "billing" else ["email", "phone"]
    return {
        "email": lambda: f"Write to me at {email(rng, first, surname)}.",
        "phone": lambda: f"My phone number is {phone(rng)}.",
        "iban": lambda: f"My IBAN is {iban(rng)}.",
        "card": lambda: f"My card number is {card(rng)}.",
    }[rng.choice(kinds)]()


# -- tickets

def person(rng, sentiment):
    """Draws who writes. Angry tickets come from women more often: the bias that `guard/bias` must find."""
    woman = rng.random() < (0.78 if sentiment == "angry" else 0.45)
    first = rng.choice(WOMEN if woman else MEN)
    return ("Mrs" if woman else "Mr"), first, rng.choice(SURNAMES)


def ticket(rng, family, turn):
    """Draws one ticket of a family with its right answer."""
    category, subjects, problems = FAMILIES[family]
    priority = rng.choice(list(PRIORITY))
    sentiment = rng.choice(list(SENTIMENT))
    title, first, surname = person(rng, sentiment)
    values = slot_values(rng)
    said = [problems[turn % len(problems)].format(**values), rng.choice(PRIORITY[priority]).format(**values)]
    feeling = rng.choice(SENTIMENT[sentiment]).format(**values)
    if feeling:
        said.insert(rng.choice([0, 1, 2]) if sentiment == "angry" else 2, feeling)
    if rng.random() < 0.3:
        said.append(personal_line(rng, category, first, surname))
    return {
        "family": family,
        "subject": rng.choice(subjects).format(**values),
        "opening": rng.choice(OPENINGS),
        "said": said,
        "sender": f"{title} {first} {surname}",
        "surname": f"{title} {surname}",
        "category": category,
        "priority": priority,
        "team": TEAMS[category],
        "sentiment": sentiment,
    }


def mail(number, drawn):
    """Lays a ticket out as a row of `tickets.jsonl`."""
    body = " ".join(part for part in [drawn["opening"], *drawn["said"]] if part)
    return {
        "id": f"T-{number:04d}",
        "family": drawn["family"],
        "subject": drawn["subject"],
        "body": f"{body}\n{drawn['sender']}",
        "category": drawn["category"],
        "priority": drawn["priority"],
        "team": drawn["team"],
        "sentiment": drawn["sentiment"],
    }


def phone_note(number, drawn):
    """Lays a ticket out as a row of `phone-notes.csv`."""
    pronoun = "She" if drawn["surname"].startswith("Mrs") else "He"
    words = " ".join(drawn["said"])
    return [f"P-{number:03d}", drawn["family"], f"{drawn['surname']} called. {pronoun} said: {words}", drawn["category"], drawn["priority"],
            drawn["team"], drawn["sentiment"]]


def shingles(text):
    """Returns the word 5-grams of a text."""
    words = text.lower().split()
    return {tuple(words[i:i + 5]) for i in range(max(1, len(words) - 4))}


def distinct_tickets(rng):
    """Draws the tickets, none of which comes near another one."""
    drawn, seen = [], []
    for family in FAMILIES:
        for turn in range(ROWS_PER_FAMILY):
            while True:
                candidate = ticket(rng, family, turn)
                grams = shingles(" ".join(candidate["said"]))
                if all(len(grams & other) < 0.65 * len(grams | other) for other in seen):
                    break
            seen.append(grams)
            drawn.append(candidate)
    rng.shuffle(drawn)
    return drawn


# -- defects

def mojibake(text):
    """Reads the bytes of a text as if they were in code page 1252."""
    return text.encode("utf-8").decode("cp1252")


def with_invisible(rng, text):
    """Puts zero-width, soft-hyphen, and control characters between letters."""
    for character in rng.sample(["\u200b", "\u00ad", "\ufeff", "\u0007", "\u2060"], 3):
        place = rng.randrange(5, len(text) - 5)
        text = text[:place] + character + text[place:]
    return text


def spoil(rng, rows):
    """Spoils the text of some rows in place."""
    accented = [row for row in rows if any(c in row["body"] for c in "üöéíáøßñ")]
    for row in rng.sample(accented, 14):
        row["body"] = mojibake(row["body"])
    for row in rng.sample([row for row in rows if row["body"].isascii()], 14):
        row["body"] = with_invisible(rng, row["body"])
    for row in rng.sample(rows, 10):
        row["body"] = row["body"].replace(" ", "  ", 3).replace("\n", "\r\n\r\n\r\n\r\n")


def duplicates(rng, rows):
    """Returns copies of rows: sent twice as they are, or sent again as a reply."""
    exact = [dict(row) for row in rng.sample(rows, 14)]
    near = []
    for row in rng.sample(rows, 14):
        near.append({**row, "subject": f"Re: {row['subject']}"})
    for number, row in enumerate(exact[4:] + near):
        row["id"] = f"T-{9000 + number}"
    return exact + near


def broken_lines(rows):
    """Returns lines that no reader can take as a row."""
    good = json.dumps(rows[0], ensure_ascii=False)
    return [
        good[:len(good) // 2],
        good.replace('"subject"', '"body"', 1),
        "[" + good + "]",
        good.replace("T-", "\\ud800", 1),
    ]


def files(seed):
    """Returns the content of both files."""
    rng = random.Random(seed)
    drawn = distinct_tickets(rng)
    notes, mails = drawn[:PHONE_NOTES], drawn[PHONE_NOTES:]
    rows = [mail(number, one) for number, one in enumerate(mails, 1)]
    copies = duplicates(rng, rows)
    spoil(rng, rows)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    for line in [json.dumps(row, ensure_ascii=False) for row in copies] + broken_lines(rows):
        lines.insert(rng.randrange(len(lines)), line)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["id", "family", "note", "category", "priority", "team", "sentiment"])
    writer.writerows(phone_note(number, one) for number, one in enumerate(notes, 1))
    return {"tickets.jsonl": "\n".join(lines) + "\n", "phone-notes.csv": table.getvalue()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    here = Path(__file__).parent
    stale = 0
    for name, text in files(SEED).items():
        data = text.encode("utf-8", errors="strict")
        if not arguments.check:
            (here / name).write_bytes(data)
        elif (here / name).read_bytes() != data:
            print(f"{name} is not what this script writes", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
