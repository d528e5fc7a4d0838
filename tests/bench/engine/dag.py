"""Graphs of small commands, and one writer a tool: the same graph, the same commands, the same files."""

import json
import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

def step(counter: Path) -> str:
    """Hashes a word and the content of files: cheap, different for every stage, and never longer than a line.

    It leaves a mark outside the project, so that a run which should have nothing to do can be held to it.
    """
    return (
        f'echo ran >> "{counter}"\nout="$1"; word="$2"; shift 2\n'
        '{ echo "$word"; for file; do cat "$file"; done; } | cksum > "$out"\n'
    )


def marks(root: Path) -> int:
    """How many commands of a project have run."""
    counter = counter_of(root)
    return counter.stat().st_size // len("ran\n") if counter.exists() else 0


def counter_of(root: Path) -> Path:
    return root.with_name(root.name + ".count")


@dataclass
class Stage:
    """One command: it reads outputs of earlier stages and files of its own."""

    reads: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    # A whole folder that it reads, instead of files by name.
    folder: str | None = None
    word: str = ""


def layered(count: int, files: int, seed: int, words: int) -> list[Stage]:
    """Stages that read up to three of the fifty before them; every tenth begins anew. `files` are spread evenly.

    After `words` stages the graph repeats, reading nothing from before, so that without files no more than these are distinct.
    """
    draw = random.Random(seed)
    reach = []
    for place in range(min(count, words)):
        before = range(max(0, place - 50), place)
        reads = sorted(draw.sample(before, min(len(before), draw.randint(1, 3)))) if place % 10 else []
        reach.append([place - read for read in reads])
    stages = []
    for number in range(count):
        place = number % words
        stages.append(Stage(reads=[number - back for back in reach[place]], word=str(place)))
    for number in range(files):
        stages[number % count].files.append(f"{number // count}.txt")
    return stages


def chain(count: int) -> list[Stage]:
    """Stages that each read the one before: no tool can run two of them at once."""
    return [Stage(reads=[number - 1] if number else [], word=str(number)) for number in range(count)]


def folder(files: int) -> list[Stage]:
    """One stage that reads a folder of many files."""
    return [Stage(files=[f"{number % 100}/{number}.txt" for number in range(files)], folder="data/0", word="0")]


def write(tool: str, stages: list[Stage], root: Path) -> None:
    """Writes a project of one tool."""
    root.mkdir(parents=True)
    WRITERS[tool](stages, root)


def data(stages: list[Stage], place) -> None:
    """Writes the stages' own files to where `place(number)` says."""
    for number, stage in enumerate(stages):
        for name in stage.files:
            path = place(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{number} {name}\n")


def common(stages: list[Stage], root: Path) -> None:
    (root / "step.sh").write_text(step(counter_of(root)))
    data(stages, lambda number: root / "data" / str(number))


def own(number: int, stage: Stage) -> list[str]:
    return [] if stage.folder else [f"data/{number}/{name}" for name in stage.files]


def flow(stages: list[Stage], root: Path) -> None:
    common(stages, root)
    (root / "flow.toml").write_text("")
    with (root / "workflow.yaml").open("w") as out:
        out.write("flow: 1\nname: bench\nstages:\n")
        for number, stage in enumerate(stages):
            code = ["step.sh"] + ([f"data/{number}"] if stage.files else [])
            # Named by position: the name of a port is part of what a stage is.
            inputs = [f'"${{in.i{port}}}"' for port in range(len(stage.reads))]
            words = ["sh", "step.sh", '"${out.o}"', f'"{stage.word}"', *inputs, *own(number, stage)]
            out.write(f"  s{number}:\n    uses: cmd@1\n")
            if stage.reads:
                bound = ", ".join(f"i{port}: s{read}.o" for port, read in enumerate(stage.reads))
                out.write(f"    in: {{{bound}}}\n")
            out.write(f"    code: [{', '.join(code)}]\n    run: [{', '.join(words)}]\n    out: {{o: {{path: o}}}}\n")


def dvc(stages: list[Stage], root: Path) -> None:
    common(stages, root)
    (root / "out").mkdir()
    described = {}
    for number, stage in enumerate(stages):
        inputs = [f"out/{read}" for read in stage.reads]
        deps = ["step.sh", *inputs] + ([f"data/{number}"] if stage.files else [])
        command = " ".join(["sh step.sh", f"out/{number}", stage.word, *inputs, *own(number, stage)])
        described[f"s{number}"] = {"cmd": command, "deps": deps, "outs": [f"out/{number}"]}
    (root / "dvc.yaml").write_text(json.dumps({"stages": described}, indent=1))


def snakemake(stages: list[Stage], root: Path) -> None:
    common(stages, root)
    graph = {}
    for number, stage in enumerate(stages):
        graph[number] = {"reads": [f"out/{read}" for read in stage.reads] + own(number, stage), "word": stage.word}
        if stage.folder:
            graph[number]["folder"] = stage.folder
    (root / "dag.json").write_text(json.dumps(graph))
    # One rule for all stages is the form that costs Snakemake least.
    (root / "Snakefile").write_text(
        "import json\n"
        'GRAPH = json.load(open("dag.json"))\n'
        'rule all:\n    input: ["out/" + n for n in GRAPH]\n'
        "rule step:\n"
        '    input: script="step.sh", reads=lambda w: GRAPH[w.n]["reads"], folder=lambda w: GRAPH[w.n].get("folder", [])\n'
        '    output: "out/{n}"\n'
        '    params: word=lambda w: GRAPH[w.n]["word"]\n'
        '    wildcard_constraints: n="[0-9]+"\n'
        '    shell: "sh step.sh {output} {params.word} {input.reads}"\n'
    )


def turbo(stages: list[Stage], root: Path) -> None:
    (root / "step.sh").write_text(step(counter_of(root)))
    packages = {"": {"name": "bench", "workspaces": ["packages/*"]}}
    for number, stage in enumerate(stages):
        name = f"s{number}"
        package = root / "packages" / name
        package.mkdir(parents=True)
        inputs = [f"../s{read}/o" for read in stage.reads] + ([] if stage.folder else [f"data/{one}" for one in stage.files])
        script = " ".join(["sh ../../step.sh o", stage.word, *inputs])
        described = {"name": name, "version": "1.0.0", "scripts": {"build": script}}
        if stage.reads:
            described["dependencies"] = {f"s{read}": "*" for read in stage.reads}
        (package / "package.json").write_text(json.dumps(described))
        packages[f"packages/{name}"] = {"name": name, "version": "1.0.0"}
        packages[f"node_modules/{name}"] = {"resolved": f"packages/{name}", "link": True}
    data(stages, lambda number: root / "packages" / f"s{number}" / "data")
    top = {"name": "bench", "private": True, "packageManager": "npm@10.9.0", "workspaces": ["packages/*"]}
    (root / "package.json").write_text(json.dumps(top))
    (root / "package-lock.json").write_text(json.dumps({"name": "bench", "lockfileVersion": 3, "packages": packages}))
    task = {"dependsOn": ["^build"], "outputs": ["o"]}
    (root / "turbo.json").write_text(json.dumps({"globalDependencies": ["step.sh"], "tasks": {"build": task}}))
    (root / ".gitignore").write_text(".turbo\nnode_modules\no\n")
    # Its fast path reads the index of git.
    settings = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "bench"]):
        subprocess.run(["git", *settings, *command], cwd=root, check=True)


WRITERS = {"flow": flow, "dvc": dvc, "snakemake": snakemake, "turbo": turbo}
