//! T13: large things come to their end in bounded memory. How fast is the business of `docs/benchmarks.md`.
//!
//! `FLOW_STAGES` and `FLOW_FILES` make them larger.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod support;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use flow_engine::{
    Artifact, ArtifactKind, Digest,
    plan::{Action, Plan},
    run::{History, RunState, StageStatus},
    store::{ActionResult, Staged, Store},
};
use support::Lab;

/// What an engine may hold beyond what its stages and files need, in kibibytes.
const BASE: usize = 100 << 10;

#[test]
fn role() {
    support::play_role();
}

fn size(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// An engine whose memory can be looked at.
fn engine(lab: &Lab) -> Child {
    let arguments =
        ["--exact", "role", "--nocapture", "--", "engine", lab.root.to_str().unwrap(), lab.store.to_str().unwrap(), "new"];
    let silent = || Stdio::null();
    Command::new(std::env::current_exe().unwrap())
        .args(arguments)
        .stdin(silent())
        .stdout(silent())
        .stderr(silent())
        .spawn()
        .unwrap()
}

/// Waits for the end of an engine and gives the most memory that it held, in kibibytes.
fn peak_of(mut engine: Child) -> usize {
    let place = format!("/proc/{}/status", engine.id());
    let read = || {
        let status = fs::read_to_string(&place).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse::<usize>().ok()
    };
    let mut peak = 0;
    loop {
        peak = peak.max(read().unwrap_or(0));
        if let Some(status) = engine.try_wait().unwrap() {
            assert!(status.success());
            return peak;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Layers of a hundred stages that read two of the layer before.
fn layers(stages: usize) -> String {
    let mut text = "flow: 1\nname: many\nstages:\n".to_owned();
    for index in 0..stages {
        if index < 100 {
            writeln!(text, "  s{index}: {{uses: toy/emit@1, with: {{text: '{index}'}}}}").unwrap();
        } else {
            let above = index / 100 * 100 - 100;
            let (one, other) = (above + index % 100, above + (index * 7 + 3) % 100);
            writeln!(
                text,
                "  s{index}: {{uses: toy/concat@1, in: {{parts: [s{one}.out, s{other}.out]}}, with: {{separator: '{index}'}}}}"
            )
            .unwrap();
        }
    }
    text
}

/// Commands of which so many differ; the others repeat them under other names. Every tenth begins anew, the others read the two
/// before them.
const DISTINCT: usize = 50;

fn commands(stages: usize) -> String {
    let mut text = "flow: 1\nname: commands\nstages:\n".to_owned();
    for index in 0..stages {
        let place = index % DISTINCT;
        let reads: Vec<(usize, &str)> = (1..=2.min(place % 10)).map(|back| index - back).zip(["a", "b"]).collect();
        let bound: Vec<String> = reads.iter().map(|(read, port)| format!("{port}: s{read}.o")).collect();
        let named: Vec<String> = reads.iter().map(|(_, port)| format!(", \"${{in.{port}}}\"")).collect();
        writeln!(text, "  s{index}:\n    uses: cmd@1\n    in: {{{}}}", bound.join(", ")).unwrap();
        writeln!(text, "    run: [sh, -c, 'echo {place} > o', sh{}]\n    out: {{o: {{path: o}}}}", named.concat()).unwrap();
    }
    text
}

/// A stage with so many instances, and one that reads them all.
fn fanned(instances: usize) -> String {
    let values: Vec<String> = (0..instances).map(|index| format!("n{index}")).collect();
    let many = format!(
        "{{foreach: {{n: [{}]}}, uses: cmd@1, run: [sh, -c, 'echo same > o'], out: {{o: {{path: o}}}}}}",
        values.join(", ")
    );
    let count = format!("test $# -eq {instances} && echo $# > o");
    let all =
        format!("{{uses: cmd@1, in: {{all: many@*.o}}, run: [sh, -c, '{count}', sh, \"${{in.all}}\"], out: {{o: {{path: o}}}}}}");
    format!("flow: 1\nname: fanned\nstages:\n  many: {many}\n  all: {all}\n")
}

/// Runs a workflow in an engine of its own; what came of it, and the memory it took in kibibytes.
fn run(lab: &Lab, workflow: &str) -> (RunState, usize) {
    fs::write(lab.root.join("workflow.yaml"), workflow).unwrap();
    let peak = peak_of(engine(lab));
    (History::of(&lab.project()).load(lab.latest()).unwrap(), peak)
}

/// How many stages were there already.
fn cached(summary: &RunState) -> usize {
    summary.stages.iter().filter(|stage| matches!(stage.status, StageStatus::Cached { .. }) && stage.attempts == 0).count()
}

/// Records a result for every stage without running any: all give the same blob.
fn record_all(lab: &Lab, plan: &Plan) {
    let store = Store::open(&lab.store).unwrap();
    let path = lab.root.join("blob");
    fs::write(&path, "x").unwrap();
    let artifact = store.cas().ingest(&[Staged { path, kind: ArtifactKind::File }]).unwrap().remove(0);
    let result = |node: petgraph::graph::NodeIndex| -> ActionResult {
        let stage = &plan.graph[node];
        let input = |port: &String| flow_engine::plan::ActionInput {
            port: port.clone(),
            kind: ArtifactKind::File,
            digest: artifact.digest,
        };
        let inputs = stage.inputs.iter().flat_map(|binding| binding.from.iter().map(|_| input(&binding.port)));
        let key: Digest = Action::new(stage, None, inputs.collect(), BTreeMap::new()).key().unwrap();
        let mut result = ActionResult::new(key, stage.stage.kind());
        result.outputs.insert("out".to_owned(), Artifact { ..artifact.clone() });
        result
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(node) = plan.order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    store.actions().put(&result(*node)).unwrap();
                }
            });
        }
    });
}

/// A run in which everything is cached ends in memory that grows with the stages by a little each.
#[test]
fn a_run_of_many_cached_stages_ends_in_bounded_memory() {
    let stages = size("FLOW_STAGES", 10_000);
    let lab = Lab::new();
    fs::write(lab.root.join("workflow.yaml"), layers(stages)).unwrap();
    record_all(&lab, &lab.plan());
    let (ended, peak) = run(&lab, &layers(stages));
    assert_eq!((ended.stages.len(), cached(&ended)), (stages, stages));
    // The goal is 300 MB for 100,000 stages: two kibibytes each.
    assert!(peak > 0 && peak < BASE + 2 * stages, "{peak} KiB for {stages} stages");
    eprintln!("{stages} stages: {} MiB", peak / 1024);
}

/// The same for commands, of which most are the same: ten times as many.
#[test]
fn a_run_of_many_equal_commands_ends_in_bounded_memory() {
    let stages = 10 * size("FLOW_STAGES", 10_000);
    let lab = Lab::new();
    run(&lab, &commands(DISTINCT));
    let (ended, peak) = run(&lab, &commands(stages));
    assert_eq!((ended.stages.len(), cached(&ended)), (stages, stages));
    assert!(peak < BASE + 4 * stages, "{peak} KiB for {stages} stages");
    eprintln!("{stages} commands: {} MiB", peak / 1024);
}

/// A stage of ten thousand instances that all do the same is gathered by one that reads them all.
#[test]
fn many_instances_are_gathered_in_bounded_memory() {
    let instances = size("FLOW_STAGES", 10_000);
    let lab = Lab::new();
    run(&lab, &fanned(1));
    let (first, peak) = run(&lab, &fanned(instances));
    assert_eq!((first.stages.len(), cached(&first)), (instances + 1, instances));
    let (second, again) = run(&lab, &fanned(instances));
    assert_eq!(cached(&second), instances + 1);
    assert!(peak.max(again) < BASE + 6 * instances, "{peak} and {again} KiB for {instances} instances");
    eprintln!("{instances} instances: {} and {} MiB", peak / 1024, again / 1024);
}

/// A folder of many files is read once, and a second run looks at each without reading or keeping much of it.
#[test]
fn many_files_of_one_source_are_read_once_in_bounded_memory() {
    let files = size("FLOW_FILES", 100_000);
    let lab = Lab::new();
    for folder in 0..files.div_ceil(1000) {
        let place = lab.root.join(format!("data/{folder}"));
        fs::create_dir_all(&place).unwrap();
        for file in 0..1000.min(files - folder * 1000) {
            fs::write(place.join(format!("{file}.txt")), format!("{folder}-{file} ")).unwrap();
        }
    }
    lab.write(&serde_json::json!({"read": {"uses": "toy/emit@1", "with": {"files": "data/**/*.txt"}}}));
    let first = peak_of(engine(&lab));
    let read = lab.latest();
    let second = peak_of(engine(&lab));
    let history = History::of(&lab.project());
    let (before, after) = (history.load(read).unwrap(), history.load(lab.latest()).unwrap());
    assert!(matches!(after.stages[0].status, StageStatus::Cached { .. }), "{:?}", after.stages[0].error);
    assert_eq!((before.stages[0].attempts, after.stages[0].attempts), (1, 0));
    let text =
        fs::read_to_string(Store::open(&lab.store).unwrap().cas().path(&after.stages[0].outputs.get("out").unwrap().digest))
            .unwrap();
    assert_eq!(text.split_whitespace().count(), files);
    // A path, a name, a digest, and what the file looked like.
    assert!(first.max(second) < BASE + 2 * files, "{first} and {second} KiB for {files} files");
    eprintln!("{files} files: {} and {} MiB", first / 1024, second / 1024);
}
