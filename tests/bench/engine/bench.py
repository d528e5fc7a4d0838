"""Times flow beside its peers: the same graph, one run of each tool after the other, again and again.

Every figure is the wall time of a whole command, process start included. Ratios are to the median of flow.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import dag

TOOLS = ["flow", "turbo", "snakemake", "dvc"]
# What a peer cannot finish in minutes is not asked of it; `flow` has no limit. (DVC writes its whole lock file per stage.)
LIMITS = {"dvc": 100, "turbo": 1000, "snakemake": 10000}
# More distinct stages would only make the first run longer.
DISTINCT = 10000


@dataclass
class Measured:
    """The runs of one tool in one case."""

    seconds: list[float] = field(default_factory=list)
    megabytes: float = 0.0


class Bench:
    def __init__(self, options):
        self.options = options
        self.scratch = Path(tempfile.mkdtemp(prefix="flow-bench-", dir=options.scratch))
        self.results = {}

    def environment(self) -> dict[str, str]:
        """The same for all tools, with a home of its own."""
        path = os.pathsep.join([f"{self.options.peers}/venv/bin", f"{self.options.peers}/node_modules/.bin", os.environ["PATH"]])
        fixed = {"PATH": path, "HOME": str(self.scratch / "home"), "LANG": "C.UTF-8"}
        return fixed | {"DVC_NO_ANALYTICS": "1", "TURBO_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1", "CI": "1"}

    def command(self, tool: str, root: Path) -> list[str]:
        jobs = str(self.options.jobs)
        return {
            "flow": [self.options.flow, "run", "--quiet"],
            "turbo": ["turbo", "run", "build", f"--concurrency={jobs}", "--output-logs=errors-only", "--ui=stream"],
            "snakemake": ["snakemake", "--cores", jobs, "--quiet", "all"],
            "dvc": ["dvc", "repro", "--quiet"],
        }[tool]

    def run(self, command: list[str], root: Path, into: Measured | None = None, expected: int = 0) -> float:
        """Runs a command to its end; its time, and the memory of its largest process."""
        with (self.scratch / "output").open("wb") as output:
            begun = time.perf_counter()
            process = subprocess.Popen(
                command, cwd=root, env=self.environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != expected:
            text = (self.scratch / "output").read_text(errors="replace")[-3000:]
            sys.exit(f"{' '.join(command)} in {root} ended with {process.returncode}:\n{text}")
        if into is not None:
            into.seconds.append(seconds)
            into.megabytes = max(into.megabytes, usage.ru_maxrss / 1024)
        return seconds

    def project(self, tool: str, case: str, stages: list[dag.Stage]) -> Path:
        root = self.folder(case) / tool
        dag.write(tool, stages, root)
        if tool == "dvc":
            self.run(["dvc", "init", "--no-scm", "--quiet"], root)
        return root

    def folder(self, case: str) -> Path:
        return self.scratch / "".join(letter if letter.isalnum() else "-" for letter in case)

    def forget(self, tool: str, root: Path) -> None:
        """Removes all that a tool remembers of a project, and its outputs."""
        kept = {"flow": [".flow"], "turbo": [".turbo", "node_modules/.cache"], "snakemake": [".snakemake", "out"]}
        kept["dvc"] = [".dvc/cache", ".dvc/tmp", "dvc.lock", "out"]
        for name in kept[tool]:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if tool == "flow":
            shutil.rmtree(self.scratch / "home/.cache/flow", ignore_errors=True)
        if tool == "dvc":
            (root / "out").mkdir()
        for output in root.glob("packages/*/o"):
            output.unlink()

    def tools(self, stages: int) -> list[str]:
        wanted = [tool for tool in TOOLS if tool in self.options.tools]
        return [tool for tool in wanted if stages <= LIMITS.get(tool, stages)]

    def no_op(self, case: str, stages: list[dag.Stage], tools: list[str]) -> None:
        """Runs once to fill the caches, then times runs that have nothing to do."""
        roots = {}
        for tool in tools:
            roots[tool] = self.project(tool, case, stages)
            self.note(f"{case}: first run of {tool} took {self.run(self.command(tool, roots[tool]), roots[tool]):.1f} s")
        if not self.options.hot:
            # Files younger than this are hashed again, by rule; a project of yesterday is the usual case.
            time.sleep(self.options.quiet)
        for tool in tools:
            self.run(self.command(tool, roots[tool]), roots[tool])
        before = {tool: dag.marks(roots[tool]) for tool in tools}
        measured = {tool: Measured() for tool in tools}
        for _ in range(self.options.reps):
            for tool in tools:
                self.run(self.command(tool, roots[tool]), roots[tool], measured[tool])
        for tool in tools:
            if dag.marks(roots[tool]) != before[tool] or before[tool] == 0:
                sys.exit(f"{case}: {tool} ran commands although nothing had changed")
        self.results[case] = measured
        shutil.rmtree(self.folder(case))

    def executed(self, case: str, count: int, tools: list[str]) -> None:
        """Times a chain from nothing, less the same run with nothing to do and less the commands alone, by the stage."""
        stages = dag.chain(count)
        roots = {tool: self.project(tool, case, stages) for tool in tools}
        measured = {tool: Measured() for tool in tools}
        for _ in range(self.options.reps):
            bare = self.bare(count)
            for tool in tools:
                self.forget(tool, roots[tool])
                before = dag.marks(roots[tool])
                cold = self.run(self.command(tool, roots[tool]), roots[tool])
                if dag.marks(roots[tool]) - before != count:
                    sys.exit(f"{case}: {tool} did not run every command")
                idle = self.run(self.command(tool, roots[tool]), roots[tool])
                measured[tool].seconds.append(max(cold - idle - bare, 0.0) / count)
        self.results[case] = measured
        shutil.rmtree(self.folder(case))

    def bare(self, count: int) -> float:
        """The commands of a chain alone, from one shell."""
        root = self.scratch / "bare"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        (root / "step.sh").write_text(dag.step(dag.counter_of(root)))
        lines = [f"sh step.sh {number} {number} {number - 1 if number else ''}" for number in range(count)]
        (root / "all.sh").write_text("\n".join(lines) + "\n")
        return self.run(["sh", "all.sh"], root)

    def version(self) -> None:
        commands = {"flow": [self.options.flow, "--version"]}
        commands |= {tool: [tool, "--version"] for tool in ("turbo", "snakemake", "dvc")}
        wanted = {tool: command for tool, command in commands.items() if tool in self.options.tools}
        measured = {tool: Measured() for tool in wanted}
        for _ in range(max(self.options.reps, 10)):
            for tool, command in wanted.items():
                self.run(command, self.scratch, measured[tool])
        self.results["`--version`"] = measured

    def parked(self) -> str:
        """Parks a run for an approval and looks for anything that is left of it."""
        root = self.scratch / "parked"
        root.mkdir()
        kinds = subprocess.run([self.options.flow, "stages", "--json"], capture_output=True, text=True, env=self.environment())
        known = {kind["name"] for kind in json.loads(kinds.stdout)}
        if "gate/approve" in known:
            gate = "{uses: gate/approve@1, in: {review: [made.o]}}"
        else:
            gate = "{uses: toy/decide@1, in: {review: [made.o]}}"
        made = "{uses: cmd@1, run: [sh, -c, 'echo x > o'], out: {o: {path: o}}}"
        (root / "workflow.yaml").write_text(f"flow: 1\nstages:\n  made: {made}\n  gate: {gate}\n")
        self.run([self.options.flow, "run", "--quiet"], root, expected=5)
        time.sleep(1)
        left = [pid for pid in os.listdir("/proc") if pid.isdigit() and self.belongs(pid)]
        return "no process is left, so it uses no CPU and no memory" if not left else f"{len(left)} processes are left"

    def belongs(self, pid: str) -> bool:
        try:
            return os.readlink(f"/proc/{pid}/cwd").startswith(str(self.scratch / "parked"))
        except OSError:
            return False

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def machine() -> str:
    names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} x {names[0] if names else platform.machine()}, Linux {platform.release()}, load {load:.1f} at the start"


def milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def table(results: dict[str, dict[str, Measured]]) -> str:
    lines = ["| case | tool | min ms | median ms | max ms | times flow | MB |", "|---|---|---|---|---|---|---|"]
    for case, measured in results.items():
        base = statistics.median(measured["flow"].seconds) if "flow" in measured else 0
        for tool, runs in measured.items():
            median = statistics.median(runs.seconds)
            ratio = f"{median / base:.1f}" if base > 0 else ""
            numbers = [milliseconds(value) for value in (min(runs.seconds), median, max(runs.seconds))]
            memory = f"{runs.megabytes:.0f}" if runs.megabytes else ""
            lines.append(f"| {case} | {tool} | {' | '.join(numbers)} | {ratio} | {memory} |")
    return "\n".join(lines)


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flow", required=True, help="the binary to time")
    parser.add_argument("--peers", required=True, help="where the peers are installed")
    parser.add_argument("--tools", type=lambda text: text.split(","), default=TOOLS)
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=[100, 1000, 10000, 100000])
    parser.add_argument("--files", type=int, default=10000, help="input files of the case with 1,000 stages")
    parser.add_argument("--directory", type=int, default=100000, help="files of the case with one folder")
    parser.add_argument("--chain", type=int, default=50, help="stages of the case that runs them")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quiet", type=float, default=45, help="seconds to wait after the first run")
    parser.add_argument("--hot", action="store_true", help="do not wait")
    parser.add_argument("--scratch", default=None, help="a folder on the disk to be timed")
    parser.add_argument("--json", default=None, help="where to write every single time")
    parser.add_argument("--small", action="store_true", help="a trial: small graphs, few repeats")
    found = parser.parse_args()
    if found.small:
        found.sizes, found.files, found.directory, found.chain, found.reps = [20, 100], 200, 500, 5, 2
    found.flow = str(Path(found.flow).resolve())
    return found


def main() -> None:
    chosen = options()
    bench = Bench(chosen)
    (bench.scratch / "home").mkdir()
    place = machine()
    try:
        bench.version()
        for size in chosen.sizes:
            stages = dag.layered(size, 0, chosen.seed, DISTINCT)
            bench.no_op(f"no-op, {size:,} stages", stages, bench.tools(size))
        size = min(1000, max(chosen.sizes))
        stages = dag.layered(size, chosen.files, chosen.seed, DISTINCT)
        bench.no_op(f"no-op, {size:,} stages, {chosen.files:,} input files", stages, bench.tools(size))
        case = f"no-op, one folder of {chosen.directory:,} files"
        bench.no_op(case, dag.folder(chosen.directory), bench.tools(1))
        bench.executed(f"overhead of one executed stage (chain of {chosen.chain})", chosen.chain, bench.tools(chosen.chain))
        print(f"{place}; {chosen.reps} runs of each, alternating.\n\n{table(bench.results)}\n")
        if "flow" in chosen.tools:
            print(f"A parked run: {bench.parked()}.")
        if chosen.json:
            raw = {case: {tool: runs.seconds for tool, runs in measured.items()} for case, measured in bench.results.items()}
            Path(chosen.json).write_text(json.dumps({"machine": place, "seconds": raw}, indent=1))
    finally:
        shutil.rmtree(bench.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
