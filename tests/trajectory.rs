//! Training as a way with an end that can be moved: a kill costs one checkpoint interval, and more epochs go on where fewer
//! ended, to the bytes of a training that was that long from the start.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    fixtures::{PIPELINE, desk},
    support::TestProject,
};

const INTERVAL: u64 = 5;
const PATIENCE: Duration = Duration::from_mins(2);

/// The pipeline up to training, with epochs to choose and a schedule.
fn project(schedule: &str) -> TestProject {
    let project = desk();
    let text = PIPELINE
        .replace("steps: {type: int, default: 6, min: 1}", "epochs: {type: int, default: 3, min: 1}")
        .replace("duration: {epochs: 1000, max_steps: \"${params.steps}\"}", "duration: {epochs: \"${params.epochs}\"}")
        .replace("{name: cosine, warmup: 2}", schedule);
    assert!(text.contains("${params.epochs}") && text.contains(schedule), "the replacements found their place");
    project.write("workflow.yaml", &text);
    project
}

/// Trains for some epochs and returns the steps that it has and the step at which it went on.
fn train(project: &TestProject, epochs: &str) -> (u64, Option<u64>) {
    let epochs = format!("epochs={epochs}");
    project.flow(&["run", "--only", "train", "--approve", "approve", "--quiet", "-p", &epochs]).expect(0);
    let metrics = project.stage("train")["metrics"].take();
    let number = |name: &str| metrics[name].as_f64().map(|value| value.to_string().parse().expect("a whole number"));
    (number("steps").expect("steps are measured"), number("volatile.resumed_from_step"))
}

fn outputs(project: &TestProject) -> [String; 2] {
    ["adapter", "report"].map(|port| project.digest("train", port))
}

/// The loss of every step, from the report.
fn losses(project: &TestProject) -> Vec<f64> {
    let runs = fs::read_dir(project.path().join(".flow/runs")).expect("a folder").flatten().map(|run| run.path());
    let latest = runs.max().expect("a run");
    let report = latest.join("reports/train/report.json");
    let report: Value = serde_json::from_slice(&fs::read(&report).expect("a report")).expect("JSON");
    let history = report["data"]["history"].as_array().expect("a history").clone();
    history.iter().map(|step| step["loss"].as_f64().expect("a loss")).collect()
}

/// The farthest step that any checkpoint record tells of.
fn farthest(project: &TestProject) -> u64 {
    let list = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let records = list(project.store().join("ckpt")).flat_map(list).flat_map(list).filter(|path| path.extension().is_none());
    let step = |path: PathBuf| path.file_name()?.to_str()?.split_once('-')?.0.parse().ok();
    records.filter_map(step).max().unwrap_or_default()
}

/// Begins training, kills engine and training once a checkpoint at `step` is there, and returns how far it was.
fn killed_at(project: &TestProject, step: u64) -> u64 {
    let arguments = ["run", "--only", "train", "--approve", "approve", "--quiet", "-p", "epochs=3"];
    let mut engine = project.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
    let begin = Instant::now();
    while farthest(project) < step {
        assert!(begin.elapsed() < PATIENCE, "no checkpoint at step {step}");
        thread::sleep(Duration::from_millis(5));
    }
    let pid = project.stage("train")["pid"].as_u64();
    engine.kill().expect("is killed");
    engine.wait().expect("is reaped");
    if let Some(pid) = pid {
        // It may have finished meanwhile.
        drop(Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status());
    }
    farthest(project)
}

#[test]
fn a_killed_training_resumes_and_more_epochs_begin_where_it_ended() {
    let schedule = "{name: constant_with_warmup, warmup: 2}";
    let straight = project(schedule);
    let (steps, from) = train(&straight, "5");
    assert_eq!((steps % 5, from), (0, None));
    let epoch = steps / 5;

    let grown = project(schedule);
    let saved = killed_at(&grown, epoch * 3 * 3 / 5 / INTERVAL * INTERVAL);
    let (three, from) = train(&grown, "3");
    assert_eq!(three, 3 * epoch);
    assert!(from.is_some_and(|from| from + INTERVAL > saved), "went on at {from:?} after a checkpoint at {saved}");

    let plan = grown.flow(&["plan", "-p", "epochs=5"]).expect(0);
    assert!(plan.stdout.contains(&format!("goes on from step {three}")), "{}", plan.stdout);
    assert_eq!(train(&grown, "5"), (steps, Some(three)), "the fourth epoch is the first one to be trained");
    assert_eq!(outputs(&grown), outputs(&straight), "the bytes are those of five epochs in one go");
    assert_eq!(losses(&grown), losses(&straight), "the curve has no seam");
}

#[test]
fn under_a_cosine_more_epochs_start_anew_and_the_plan_says_why() {
    let project = project("{name: cosine, warmup: 2}");
    let (steps, _) = train(&project, "2");
    let plan = project.flow(&["plan", "-p", "epochs=3"]).expect(0);
    let told = plan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("starts anew") && told.contains("cosine") && told.contains("constant_with_warmup"), "{told}");
    assert_eq!(train(&project, "3"), (steps / 2 * 3, None));
}

#[test]
fn an_option_that_only_looks_at_training_trains_nothing_again() {
    let project = project("{name: cosine, warmup: 2}");
    let (steps, _) = train(&project, "2");
    let adapter = project.digest("train", "adapter");
    let text = fs::read_to_string(project.path().join("workflow.yaml")).expect("reads");
    project.write("workflow.yaml", &text.replace("checkpoint: {every_steps: 5}", "checkpoint: {every_steps: 7}"));
    assert_eq!(train(&project, "2"), (steps, Some(steps)));
    assert_eq!(project.digest("train", "adapter"), adapter);
}
