#!/usr/bin/env python3
"""Writes one JSON line for every Debian package that has a long description and a synopsis.

    extract.py OUT.jsonl

The descriptions come from the archive's own indexes, read with apt: `Packages` names the package, its source, section, and maintainer,
`Translation-en` holds the description. Where the machine's lists lack `Translation-en` (images built for containers do), the script lets
apt fetch it into a private folder; nothing of the system changes. Standard library only; without apt it ends with 1 and says so.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HELPER = "/usr/lib/apt/apt-helper"
FORMAT = "$(CREATED_BY)\t$(ORIGIN)\t$(FILENAME)"


class Missing(Exception):
    """Something this script cannot do without."""


def apt(*arguments):
    """Runs a program of apt and returns what it prints."""
    done = subprocess.run(arguments, capture_output=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Missing(f"{' '.join(arguments[:1])} failed: {reason[-1] if reason else 'no message'}")
    return done.stdout.decode("utf-8", "replace")


def indexes(options):
    """Returns the paths of Debian's own indexes by kind."""
    found = {"Packages": [], "Translations": []}
    for line in apt("apt-get", *options, "indextargets", "--format", FORMAT).splitlines():
        kind, origin, path = line.split("\t")
        if origin == "Debian" and kind in found:
            found[kind].append(path)
    return {kind: sorted(set(paths)) for kind, paths in found.items()}


def english_indexes(scratch):
    """Returns indexes with English descriptions, fetched into `scratch` if the machine has none."""
    found = indexes(["-o", "Acquire::Languages=en"])
    if found["Packages"] and any(path.split("_")[-1].startswith("Translation-en") for path in found["Translations"]):
        return found
    print("no English descriptions in the lists of this machine: fetching them", file=sys.stderr)
    lists, cache = Path(scratch) / "lists", Path(scratch) / "cache"
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    options = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}", "-o", "Acquire::Languages=en"]
    if os.geteuid() == 0:  # apt's own user may not write below a private folder
        options += ["-o", "APT::Sandbox::User=root"]
    apt("apt-get", *options, "update")
    found = indexes(options)
    if not found["Translations"]:
        raise Missing("apt fetched no English descriptions: is a Debian archive among the sources in /etc/apt?")
    return found


def stanzas(path):
    """Yields the paragraphs of an index as dictionaries; continued lines keep their line breaks."""
    fields, name = {}, None
    for line in apt(HELPER, "cat-file", path).split("\n"):
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, None
        elif line[0] in " \t":
            if name:
                fields[name] += "\n" + line[1:]
        else:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    if fields:
        yield fields


def description(text):
    """Splits a description into its synopsis and its long part; a line with a single dot is an empty one."""
    synopsis, _, long = text.partition("\n")
    lines = ["" if line.strip() == "." else line.rstrip() for line in long.split("\n")]
    return synopsis.strip(), "\n".join(lines).strip()


def rows(found):
    """Yields one row a package, in the order of the names."""
    descriptions = {}
    for path in found["Translations"]:
        for fields in stanzas(path):
            if "Description-en" in fields:
                descriptions[fields.get("Package"), fields.get("Description-md5")] = fields["Description-en"]
    packages = {}
    for path in found["Packages"]:
        for fields in stanzas(path):
            packages.setdefault(fields["Package"], fields)
    for name in sorted(packages):
        fields = packages[name]
        synopsis, long = description(descriptions.get((name, fields.get("Description-md5")), ""))
        if synopsis and long:
            yield {
                "package": name,
                "source": fields.get("Source", name).split(" ")[0],
                "section": fields.get("Section", "unknown").split("/")[-1],
                "maintainer": fields.get("Maintainer", ""),
                "description": long,
                "synopsis": synopsis,
            }


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not shutil.which("apt-get") or not os.path.exists(HELPER):
        raise Missing("this machine has no apt: the workflow reads the package descriptions of Debian or one of its descendants")
    with tempfile.TemporaryDirectory() as scratch:
        found = english_indexes(scratch)
        count = 0
        with open(sys.argv[1], "w", encoding="utf-8", newline="\n") as out:
            for row in rows(found):
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
    if count == 0:
        raise Missing("the indexes of apt describe no package")
    print(f"{count} packages", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except Missing as error:
        sys.exit(f"extract.py: {error}")
