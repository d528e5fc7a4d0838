//! Kills in the middle of training: nothing is lost, and the trained bytes are those of a run that nobody killed.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{fixtures::desk, support::TestProject};

/// Enough steps that three kills fit in between.
const TRAINING: [&str; 5] = ["--approve", "approve", "--quiet", "-p", "steps=160"];
/// Kills happen once a checkpoint of at least this step is there.
const MOMENTS: [u64; 3] = [10, 55, 100];
const INTERVAL: u64 = 5;
const PATIENCE: Duration = Duration::from_mins(2);

/// The adapter of a run that nobody killed.
fn undisturbed() -> &'static str {
    static DIGEST: OnceLock<String> = OnceLock::new();
    DIGEST.get_or_init(|| {
        let project = desk();
        project.flow(&[&["run", "--only", "train"], &TRAINING[..]].concat()).expect(0);
        project.digest("train", "adapter")
    })
}

fn started(project: &TestProject, first: &str) -> Child {
    let arguments = match first {
        "run" => [&["run", "--only", "train"], &TRAINING[..]].concat(),
        other => vec![other, "--quiet"],
    };
    project.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts")
}

fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The step of the newest checkpoint in a store.
fn newest_checkpoint(folder: &Path) -> Option<u64> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    // A record is `STEP-ACTION`; one that is being written has an ending.
    let name =
        |path: &Path| path.file_name().and_then(|name| name.to_str()).filter(|name| !name.contains('.')).map(str::to_owned);
    let step = |path: &Path| name(path)?.split_once('-')?.0.parse().ok();
    let found =
        entries.filter_map(|entry| if entry.path().is_dir() { newest_checkpoint(&entry.path()) } else { step(&entry.path()) });
    found.max()
}

fn wait_for_checkpoint(project: &TestProject, step: u64) -> u64 {
    let folder = project.store().join("ckpt");
    wait_until("a checkpoint", || newest_checkpoint(&folder).filter(|newest| *newest >= step))
}

/// The process that trains, whether this run's engine started it or waits for it.
fn training(project: &TestProject) -> Option<u32> {
    let stage = project.stage("train");
    let pid = match stage["status"]["state"].as_str() {
        Some("running") => &stage["pid"],
        Some("waiting") => &stage["status"]["owner"]["process"]["pid"],
        _ => return None,
    };
    pid.as_u64().and_then(|pid| u32::try_from(pid).ok())
}

fn kill(pid: u32) {
    let done = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
    assert!(done.success(), "process {pid} was gone already");
}

/// The first step that each attempt of the training told of.
fn first_steps(project: &TestProject) -> Vec<u64> {
    let runs = fs::read_dir(project.path().join(".flow/runs")).expect("a folder").flatten();
    let run = runs.map(|run| run.path()).find(|run| run.join("att/train").exists()).expect("train ran");
    let attempts = (1..).map(|attempt| run.join(format!("att/train/{attempt}/seg.jsonl"))).take_while(|path| path.exists());
    let first = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path).expect("reads");
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["type"] == "progress").find_map(|line| line["done"].as_u64()).unwrap_or_default()
    };
    attempts.map(first).collect()
}

#[test]
fn a_killed_engine_finds_its_training_alive() {
    let project = desk();
    let mut engine = started(&project, "run");
    for moment in MOMENTS {
        wait_for_checkpoint(&project, moment);
        let pid = wait_until("a training process", || training(&project));
        engine.kill().expect("is killed");
        engine.wait().expect("is reaped");
        assert!(Path::new(&format!("/proc/{pid}")).exists(), "the training outlives its engine");
        engine = started(&project, "resume");
    }
    assert!(engine.wait().expect("ends").success());
    assert_eq!(project.digest("train", "adapter"), undisturbed());
    assert_eq!(project.stage("train")["attempts"], 1, "the one attempt was waited for");
}

#[test]
fn a_killed_training_goes_on_from_its_last_checkpoint() {
    let project = desk();
    let mut engine = started(&project, "run");
    let mut saved = Vec::new();
    let mut last = 0;
    for moment in MOMENTS {
        saved.push(wait_for_checkpoint(&project, moment));
        last = wait_until("another training process", || training(&project).filter(|pid| *pid != last));
        kill(last);
        // Dead for good, the engine gives up after a few repeats; then a person resumes.
        thread::sleep(Duration::from_millis(300));
        if engine.try_wait().expect("can be asked").is_some() {
            engine = started(&project, "resume");
        }
    }
    if !engine.wait().expect("ends").success() {
        project.flow(&["resume", "--quiet"]).expect(0);
    }
    assert_eq!(project.digest("train", "adapter"), undisturbed());
    let starts = first_steps(&project);
    assert_eq!(starts.len(), 4, "{starts:?}");
    for (start, saved) in starts.iter().skip(1).zip(&saved) {
        assert!(start + INTERVAL > *saved, "an attempt began again at step {start} after a checkpoint at {saved}");
    }
}

#[test]
fn a_power_cut_takes_both_and_costs_one_checkpoint_interval() {
    let project = desk();
    let mut engine = started(&project, "run");
    for moment in MOMENTS {
        wait_for_checkpoint(&project, moment);
        let pid = wait_until("a training process", || training(&project));
        engine.kill().expect("is killed");
        engine.wait().expect("is reaped");
        kill(pid);
        engine = started(&project, "resume");
    }
    assert!(engine.wait().expect("ends").success());
    assert_eq!(project.digest("train", "adapter"), undisturbed());
    let starts = first_steps(&project);
    assert!(starts.iter().skip(1).zip(MOMENTS).all(|(start, moment)| *start + INTERVAL > moment), "{starts:?}");
}
