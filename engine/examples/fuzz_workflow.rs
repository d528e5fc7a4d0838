//! Reads mutated workflows until the time is up and checks every answer: `fuzz_workflow MINUTES [SEED] [FOLDER]...`.
//!
//! Folders hold seeds: the corpus of malformed files, the workflows of this repository. Mutations know the grammar: they
//! misspell keys, move and repeat lines, exchange values for difficult ones, and insert parts of a workflow. An answer is good
//! when there was no panic, when it took bounded time and memory, and when every problem has a place inside its file, a reason,
//! and help. `tests/long/fuzz-workflow` builds and runs it.

#![expect(clippy::print_stdout, reason = "a driver tells how far it is")]
#![expect(clippy::unwrap_used, reason = "a driver that cannot be set up ends")]

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use flow_engine::{
    plan::{Plan, PlanErrors, PlanRequest},
    project::Project,
    testing::toys,
    workflow::Problem,
};

/// The largest document.
const BYTES: usize = 64 << 10;
/// Processor time that one document may take.
const TIME: Duration = Duration::from_secs(5);
/// Memory that all documents together may need.
const MEMORY_KIB: usize = 1 << 20;

/// Values that are easy to get wrong.
const VALUES: &[&str] = &[
    "",
    "~",
    "null",
    "true",
    "yes",
    "0",
    "-1",
    "1.5",
    "1e400",
    ".inf",
    ".nan",
    "0x7fffffffffffffff",
    "99999999999999999999",
    "[]",
    "{}",
    "[[[]]]",
    "{a: {b: {c: 1}}}",
    "''",
    "\"\"",
    "'it''s'",
    "\"\\u0000\"",
    "\"\\x1b[31m\"",
    "ünï",
    "漢字",
    "\u{202e}abc",
    "a\u{301}",
    "${params.x}",
    "${params.n}",
    "${each.lang}",
    "${each.}",
    "${secrets.TOKEN}",
    "${",
    "$${params.x}",
    "${in.parts}",
    "${out.o}",
    "${params.x",
    "a.out",
    "a@*.out",
    "a@fr.out",
    "a@fr,s.out",
    "a@.out",
    "@",
    "inputs.text",
    ".",
    "..",
    "a..b",
    "metrics.x > 1",
    "stages.a.metrics.x",
    "stages[\"a@fr\"].status == 'x'",
    "[1,2].all(x, x > 0)",
    "((((((((((1))))))))))",
    "1h30m",
    "-5m",
    "0s",
    "64GiB",
    "toy/emit@1",
    "toy/concat@1",
    "cmd@1",
    "./parts/good.yaml",
    "./parts/broken.yaml",
    "../x.yaml",
    "/etc/passwd",
    "**/*",
    "[a-",
    "&a 1",
    "*a",
    "!tag x",
    "!!str 1",
    "<<",
    "? x",
    "- x",
    "|",
    ">",
    "| x",
    "# x",
    "---",
    "%YAML 1.2",
    "\t",
    "a: b: c",
];

/// Parts of a workflow.
const PARTS: &[&str] = &[
    "foreach: {lang: [en, fr], size: {s: 1, m: [2]}, exclude: [{lang: en, size: m}], include: [{lang: de, size: s}]}",
    "foreach: {lang: '${params.langs}'}",
    "with: {text: '${each.lang}', times: '${params.n}'}",
    "in: {parts: [a.out, 'b@*.out']}",
    "in: {parts: 'a@${each.lang}.out'}",
    "needs: [a, b@*]",
    "if: 'params.n > 1 && stages[\"a\"].metrics.bytes > 0'",
    "gate: ['metrics.x >= params.n', 'baseline == null']",
    "expect: {rows: '>= 100', a.b: ['> 0', '< 2']}",
    "retry: {infra: 3, error: 1, backoff: 10s}",
    "timeout: 1h",
    "run: [cp, '${in.parts}', '${out.o}']",
    "out: {o: {path: o.txt, kind: file}}",
    "env: {TOKEN: '${secrets.TOKEN}', LANG: C}",
    "params: {n: {type: int, default: 2, min: 1}, langs: {type: list, default: [en, fr]}, x: {type: string, default: y}}",
    "profiles: {smoke: {params: {n: 1}, set: {a.with.text: z, b.expect.a.b: '> 1'}}}",
    "hooks: {failure: [{notify: 'webhook:https://x/${secrets.TOKEN}'}, {run: [a], env: {A: 1}}]}",
    "defaults: {timeout: 1h, retry: {infra: 1}}",
    "inputs: {text: {kind: file, optional: true}}",
    "outputs: {out: {from: a.out, kind: file}}",
    "c: {uses: toy/emit@1}",
    "d: {uses: ./parts/good.yaml, in: {text: a.out}, with: {mark: x}}",
    "stages: {a: {uses: toy/emit@1}}",
];

/// Well-formed workflows to begin with.
const GOOD: &[&str] = &[
    "flow: 1\nname: two\nseed: 7\nparams:\n  n: {type: int, default: 2}\n  langs: {type: list, default: [en, fr]}\nstages:\n  a:\n    uses: toy/emit@1\n    with: {text: x, times: '${params.n}'}\n  b:\n    foreach: {lang: '${params.langs}'}\n    uses: toy/concat@1\n    in: {parts: [a.out]}\n    with: {separator: '${each.lang}'}\n  all:\n    uses: toy/concat@1\n    in: {parts: b@*.out}\n    needs: [a]\n    gate: metrics.parts == params.n\n    expect: {parts: '>= 1'}\n",
    "flow: 1\nprofiles:\n  smoke:\n    params: {n: 1}\n    set: {a.with.times: 3}\nhooks:\n  failure:\n    - notify: 'webhook:https://example.org/${secrets.TOKEN}'\nparams: {n: {type: int, default: 2}}\ndefaults: {timeout: 1h, retry: {infra: 2, backoff: 1s}}\nstages:\n  a: {uses: toy/emit@1, with: {times: '${params.n}'}}\n  c:\n    uses: cmd@1\n    in: {a: a.out}\n    env: {TOKEN: '${secrets.TOKEN}'}\n    run: [cp, '${in.a}', '${out.o}']\n    out: {o: {path: o.txt}}\n  j: {uses: toy/judge@1, in: {in: c.o}, with: {metrics: {f1: 0.5}}, if: 'params.n > 0', timeout: 2m}\n  k: {uses: ./parts/good.yaml, in: {text: a.out}, with: {mark: y}, needs: j}\n  l: {uses: toy/concat@1, in: {parts: [k.out]}}\n",
];

const COMPONENT: &str = "flow: 1\nparams: {mark: {type: string}}\ninputs: {text: {kind: file}}\noutputs: {out: {from: i.out, kind: file}}\nstages:\n  m: {uses: toy/emit@1, with: {text: '${params.mark}'}}\n  i: {uses: toy/concat@1, in: {parts: [inputs.text, m.out]}}\n";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let minutes: f64 = arguments.next().map_or(10.0, |text| text.parse().unwrap());
    let seed: u64 = arguments.next().map_or(1, |text| text.parse().unwrap());
    let seeds = seeds(arguments.map(PathBuf::from));
    let folder = tempfile::tempdir().unwrap();
    let mut fuzz = Fuzz::new(folder.path(), seed);
    std::panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    fuzz.watch();
    while begun.elapsed().as_secs_f64() < minutes * 60.0 {
        let document = mutated(&seeds, &mut fuzz.random);
        if let Err(reason) = fuzz.one(&document) {
            let place = std::env::temp_dir().join(format!("fuzz-workflow-{seed}-{}.yaml", fuzz.documents));
            std::fs::write(&place, &document).unwrap();
            say(&format!("fuzz-workflow: {reason}; seed {seed}, document {} kept at {}", fuzz.documents, place.display()));
            std::process::exit(1);
        }
    }
    say(&fuzz.summary(begun.elapsed(), seed));
}

fn say(line: &str) {
    println!("{line}");
}

/// Every YAML file below the folders, and the good ones.
fn seeds(folders: impl Iterator<Item = PathBuf>) -> Vec<Vec<u8>> {
    let mut open: Vec<PathBuf> = folders.collect();
    let mut found: Vec<Vec<u8>> = GOOD.iter().map(|text| text.as_bytes().to_vec()).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let mut below: Vec<PathBuf> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            below.sort();
            open.extend(below);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(std::fs::read(&path).unwrap());
        }
    }
    found
}

/// A generator whose stream depends on the seed alone (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when there is none.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }

    fn of<'t, T: ?Sized>(&mut self, items: &[&'t T]) -> &'t T {
        items[self.below(items.len())]
    }
}

fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut document = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(5) {
        let other = &seeds[random.below(seeds.len())];
        document = if random.below(8) == 0 { bytes(document, random) } else { lines(&document, other, random) };
        document.truncate(BYTES);
    }
    document
}

/// Changes single bytes.
fn bytes(mut document: Vec<u8>, random: &mut Random) -> Vec<u8> {
    const BYTE: &[u8] = b"\0\t\r\n\xff\xc3:{}[]\"'#&*!|>%@`,-? $";
    for _ in 0..=random.below(3) {
        let at = random.below(document.len() + 1);
        let byte = BYTE[random.below(BYTE.len())];
        match random.below(3) {
            0 => document.insert(at, byte),
            1 if at < document.len() => drop(document.remove(at)),
            _ if at < document.len() => document[at] = byte,
            _ => document.push(byte),
        }
    }
    document
}

/// Changes lines.
fn lines(document: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let text = String::from_utf8_lossy(document).into_owned();
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let at = random.below(lines.len());
    match random.below(11) {
        0 => lines[at] = misspelled(&lines[at], random),
        1 | 2 => lines[at] = with_value(&lines[at], random.of(VALUES)),
        3 => lines.insert(at, lines[at].clone()),
        4 => drop(lines.remove(at)),
        5 => {
            let with = random.below(lines.len());
            lines.swap(at, with);
        }
        6 => lines[at].insert_str(0, random.of(&[" ", "  ", "    ", "\t", "- "])),
        7 => lines[at] = lines[at].strip_prefix("  ").map_or_else(|| lines[at].clone(), str::to_owned),
        8 => {
            let indent: String = lines[at].chars().take_while(|letter| *letter == ' ').collect();
            lines.insert(at, format!("{indent}{}", random.of(PARTS)));
        }
        9 => {
            let other = String::from_utf8_lossy(other).into_owned();
            let theirs: Vec<&str> = other.split('\n').collect();
            let from = random.below(theirs.len());
            let until = (from + 1 + random.below(6)).min(theirs.len());
            lines.splice(at..at, theirs[from..until].iter().map(|line| (*line).to_owned()));
        }
        _ => {
            let until = (at + 1 + random.below(6)).min(lines.len());
            let block = lines[at..until].to_vec();
            for _ in 0..random.below(20) {
                lines.splice(at..at, block.iter().cloned());
            }
        }
    }
    lines.join("\n").into_bytes()
}

/// A line in which one word is spelled otherwise.
fn misspelled(line: &str, random: &mut Random) -> String {
    let mut letters: Vec<char> = line.chars().collect();
    if letters.is_empty() {
        return line.to_owned();
    }
    let at = random.below(letters.len());
    match random.below(4) {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letters[at]),
        2 if at + 1 < letters.len() => letters.swap(at, at + 1),
        _ => letters.insert(at, 's'),
    }
    letters.into_iter().collect()
}

/// A line with another value after its first colon.
fn with_value(line: &str, value: &str) -> String {
    match line.split_once(": ") {
        Some((key, rest)) if rest.trim_start().starts_with('{') => match rest.split_once(": ") {
            Some((inner, _)) => format!("{key}: {inner}: {value}}}"),
            None => format!("{key}: {value}"),
        },
        Some((key, _)) => format!("{key}: {value}"),
        None => format!("{line} {value}"),
    }
}

struct Fuzz {
    file: PathBuf,
    project: Project,
    random: Random,
    documents: u64,
    plans: u64,
    problems: u64,
    codes: BTreeSet<&'static str>,
    slowest: Duration,
    /// Documents that are done, for the watchman.
    done: Arc<AtomicU64>,
}

impl Fuzz {
    fn new(folder: &Path, seed: u64) -> Self {
        let file = folder.join("workflow.yaml");
        std::fs::create_dir(folder.join("parts")).unwrap();
        std::fs::write(folder.join("parts/good.yaml"), COMPONENT).unwrap();
        std::fs::write(
            folder.join("parts/broken.yaml"),
            COMPONENT.replace("i.out", "j.out").replace("type: string", "type: int"),
        )
        .unwrap();
        std::fs::write(&file, COMPONENT).unwrap();
        let home = |name: &str| (name == "HOME").then(|| "/nowhere".to_owned());
        let project = Project::locate(&file, &home).unwrap();
        let (codes, done) = (BTreeSet::new(), Arc::new(AtomicU64::new(0)));
        Self { file, project, random: Random(seed), documents: 0, plans: 0, problems: 0, codes, slowest: Duration::ZERO, done }
    }

    /// Ends the process when one document takes for ever.
    fn watch(&self) {
        let (done, file) = (self.done.clone(), self.file.clone());
        std::thread::spawn(move || {
            let mut last = u64::MAX;
            loop {
                std::thread::sleep(Duration::from_mins(2));
                let now = done.load(Ordering::Relaxed);
                if now == last {
                    let kept = std::env::temp_dir().join("fuzz-workflow-hang.yaml");
                    std::fs::copy(&file, &kept).unwrap();
                    say(&format!("fuzz-workflow: document {now} takes for ever; kept at {}", kept.display()));
                    std::process::exit(1);
                }
                last = now;
            }
        });
    }

    fn one(&mut self, document: &[u8]) -> Result<(), String> {
        std::fs::write(&self.file, document).unwrap();
        let profile = (self.random.below(3) == 0).then_some("smoke");
        let params = if self.random.below(4) == 0 { vec![("n".to_owned(), "3".to_owned())] } else { Vec::new() };
        let only = if self.random.below(6) == 0 { vec!["a@*".to_owned()] } else { Vec::new() };
        let registry = toys();
        let request =
            PlanRequest { project: &self.project, registry: &registry, params: &params, only: &only, limit: None, profile };
        let before = processor_time();
        let answer = catch_unwind(AssertUnwindSafe(|| Plan::load(&request))).map_err(|_| "a panic".to_owned())?;
        let took = processor_time().saturating_sub(before);
        self.documents += 1;
        self.done.store(self.documents, Ordering::Relaxed);
        self.slowest = self.slowest.max(took);
        if took > TIME {
            return Err(format!("{took:.1?} for one document"));
        }
        if peak_kib() > MEMORY_KIB {
            return Err(format!("{} MiB of memory", peak_kib() / 1024));
        }
        match answer {
            Ok(plan) => self.check_plan(&plan),
            Err(errors) => self.check_errors(&errors),
        }
    }

    fn check_plan(&mut self, plan: &Plan) -> Result<(), String> {
        self.plans += 1;
        let names: BTreeSet<&str> = plan.graph.node_weights().map(|stage| stage.name.as_str()).collect();
        if names.len() != plan.graph.node_count() || plan.order.len() != plan.graph.node_count() {
            return Err("a plan with two stages of one name, or one without a place in the order".to_owned());
        }
        let lost = names.iter().find(|name| plan.find(name).is_none_or(|index| plan.graph[index].name != **name));
        lost.map_or(Ok(()), |name| Err(format!("stage {name} is not found by its name")))
    }

    fn check_errors(&mut self, errors: &PlanErrors) -> Result<(), String> {
        if errors.problems().is_empty() {
            return Err("an error without a problem".to_owned());
        }
        for problem in errors.problems() {
            self.problems += 1;
            self.codes.insert(problem.code);
            check(problem)?;
        }
        if self.random.below(8) == 0 {
            let mut text = String::new();
            let rendered = catch_unwind(AssertUnwindSafe(|| {
                miette::NarratableReportHandler::new().render_report(&mut text, errors).is_ok()
            }));
            return rendered.map_err(|_| "a panic while rendering".to_owned()).map(drop);
        }
        Ok(())
    }

    fn summary(&self, took: Duration, seed: u64) -> String {
        format!(
            "fuzz-workflow: seed {seed}, {} documents in {:.1} minutes, {} plans, {} problems of {} codes, slowest {:.1?}, peak {} MiB: ok",
            self.documents,
            took.as_secs_f64() / 60.0,
            self.plans,
            self.problems,
            self.codes.len(),
            self.slowest,
            peak_kib() / 1024
        )
    }
}

fn check(problem: &Problem) -> Result<(), String> {
    let text = problem.file.text();
    let span = problem.span;
    let wrong = |what: &str| Err(format!("{what}: {} {}", problem.code, problem.message));
    if text.get(span.start..span.end).is_none() {
        return wrong("a place outside the file");
    }
    if problem.message.trim().is_empty() || problem.message.ends_with('.') && !problem.message.ends_with("..") {
        return wrong("no reason, or a sentence");
    }
    if problem.help.trim().len() < 6 {
        return wrong("no help");
    }
    if !problem.code.starts_with("flow::") {
        return wrong("no code");
    }
    Ok(())
}

/// Time that this thread spent on a processor.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// The most memory this process ever held.
fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
