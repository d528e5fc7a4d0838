#!/usr/bin/env python3
"""Runs a script of this folder over many argument lists in one process: importing torch takes longer than most answers.

    each.py SCRIPT CASES.json

CASES.json is a list of argument lists. The first that fails ends the process with its error.
"""

import json
import runpy
import sys
from pathlib import Path


def main():
    script, cases = sys.argv[1:]
    path = str(Path(__file__).parent / script)
    for arguments in json.loads(Path(cases).read_text(encoding="utf-8")):
        sys.argv = [path, *arguments]
        runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    main()
