//! Who runs when, with what, for how long, and how often again: admission, order, retries, limits, and requests to stop.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod support;

use std::{fs, process::Command, time::Duration};

use flow_engine::{
    plan::{Plan, PlanRequest},
    run::{Event, Interrupt, Interrupts, Outcome, RunError, RunSummary, StageStatus, Urgency, cancel},
};
use serde_json::{Value, json};
use support::{Lab, Witness, ran, stage};

#[test]
fn role() {
    support::play_role();
}

fn settings(lab: &Lab, text: &str) {
    fs::write(lab.root.join("flow.toml"), text).unwrap();
}

fn sleep(text: &str, millis: u64) -> Value {
    json!({"uses": "toy/sleep@1", "with": {"steps": 1, "millis": millis, "text": text}})
}

fn with(mut stage: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        stage[key] = value.clone();
    }
    stage
}

fn message(summary: &RunSummary, name: &str) -> String {
    stage(summary, name).error.clone().unwrap().message
}

/// The stages in the order in which they were started.
fn started(witness: &Witness) -> Vec<String> {
    let started = witness.events().into_iter().filter_map(|event| match event {
        Event::StageStarted { stage, .. } => Some(stage),
        _ => None,
    });
    started.collect()
}

#[test]
fn the_stage_with_the_longest_way_behind_it_starts_first() {
    let lab = Lab::new();
    settings(&lab, "[machine]\ncpus = 1\n");
    let flow = |text: &str| {
        json!({
            "alone": sleep(&format!("{text}1"), 1),
            "head": sleep(&format!("{text}2"), 1),
            "slow": with(sleep(&format!("{text}3"), 400), &json!({"in": {"in": "head.out"}})),
        })
    };
    lab.write(&flow("a"));
    let witness = Witness::default();
    lab.watch(&lab.start(None), |_| {}, &witness).unwrap();
    // Two stages behind each other count for more than one, also when nothing is known of them.
    assert_eq!(started(&witness), ["head", "alone", "slow"]);
    let other = json!({
        "alone": sleep("b1", 1),
        "head": sleep("b2", 1),
        "tail": with(sleep("b4", 1), &json!({"in": {"in": "head.out"}})),
        "slow": sleep("b3", 400),
    });
    lab.write(&other);
    let witness = Witness::default();
    lab.watch(&lab.start(None), |_| {}, &witness).unwrap();
    assert_eq!(started(&witness).first().map(String::as_str), Some("slow"));
}

#[test]
fn cores_are_consumed() {
    let lab = Lab::new();
    let two = |text: &str| with(sleep(text, 150), &json!({"resources": {"cpus": 2}}));
    lab.write(&json!({"a": two("a"), "b": two("b")}));
    let witness = Witness::default();
    lab.watch(&lab.start(None), |_| {}, &witness).unwrap();
    let events = witness.events();
    let end = events.iter().position(|event| matches!(event, Event::StageSucceeded { .. })).unwrap();
    let before = events[..end].iter().filter(|event| matches!(event, Event::StageStarted { .. })).count();
    assert_eq!(before, 1);
}

#[test]
fn a_demand_beyond_the_machine_is_a_problem_of_the_workflow() {
    let lab = Lab::new();
    settings(&lab, "[machine]\ncpus = 2\nmem = \"1GiB\"\ngpus = 0\ntokens = {licence = 1}\n");
    let demand = json!({"resources": {"cpus": 3, "mem": "2GiB", "gpus": 1, "tokens": {"licence": 2}}});
    lab.write(&json!({"big": with(sleep("a", 1), &demand), "small": sleep("b", 1)}));
    let (project, registry) = (lab.project(), support::registry());
    let request = PlanRequest { project: &project, registry: &registry, params: &[], only: &[], limit: None, profile: None };
    let problems = Plan::load(&request).unwrap_err();
    let told: Vec<&str> = problems.problems().iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "the stage needs 3 cores and this machine has 2",
            "the stage needs 2 GiB of memory and this machine has 1 GiB",
            "the stage needs 1 graphics cards and this machine has 0",
            "the stage needs 2 of `licence` and this machine has 1",
        ]
    );
    let text = fs::read_to_string(lab.root.join("workflow.yaml")).unwrap();
    for (problem, key) in problems.problems().iter().zip(["3", "\"2GiB\"", "1", "\"tokens\""]) {
        assert!(text[problem.span.start..].starts_with(key), "{problem:?}");
        assert_eq!(problem.code, "flow::plan::resources");
    }
}

#[test]
fn resources_stay_out_of_the_key() {
    let lab = Lab::new();
    lab.run(&json!({"a": sleep("a", 1)}));
    let again = lab.run(&json!({"a": with(sleep("a", 1), &json!({
        "resources": {"cpus": 2, "mem": "1MiB"}, "queue_timeout": "1h", "stall": "off", "retry": {"preempt": "unlimited", "oom": 2},
    }))}));
    assert_eq!(again.cached(), 1);
}

#[test]
fn a_stage_that_finds_no_room_gives_up_after_its_queue_timeout() {
    let lab = Lab::new();
    let demand = json!({"resources": {"cpus": 2}, "queue_timeout": "200ms"});
    let summary = lab
        .run(&json!({"long": with(sleep("a", 900), &json!({"resources": {"cpus": 2}})), "late": with(sleep("b", 1), &demand)}));
    assert!(ran(&summary, "long"));
    let told = message(&summary, "late");
    assert!(told.contains("not started within 0.2 s") && told.contains("2 cores") && told.contains("waits for cores"), "{told}");
    assert_eq!(stage(&summary, "late").attempts, 0);
}

#[test]
fn leased_cards_are_told_to_the_stage() {
    let lab = Lab::new();
    settings(&lab, "[machine]\ngpus = [\"GPU-a\", \"GPU-b\"]\n");
    let summary = lab.run(&json!({"cards": {
        "uses": "cmd@1",
        "run": ["sh", "-c", "printf %s \"$CUDA_VISIBLE_DEVICES\" > \"$1\"", "sh", "${out.seen}"],
        "out": {"seen": {"path": "seen", "kind": "file"}},
        "resources": {"gpus": 2},
    }}));
    assert_eq!(summary.outcome, Outcome::Succeeded, "{:?}", stage(&summary, "cards").error);
    assert_eq!(stage(&summary, "cards").outputs.get("seen").unwrap().digest, flow_engine::Digest::of(b"GPU-a,GPU-b"));
    let leases = fs::read_dir(lab.store.join("slots")).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != "lock");
    assert_eq!(leases.count(), 0);
}

#[test]
fn a_stage_that_hangs_is_told_where_and_tried_again() {
    let lab = Lab::new();
    let patience = json!({"stall": "400ms", "retry": {"infra": 1}});
    let summary = lab.run(&json!({"deaf": with(sleep("a", 60_000), &patience)}));
    assert_eq!(summary.outcome, Outcome::Failed);
    assert_eq!(stage(&summary, "deaf").attempts, 2);
    assert!(message(&summary, "deaf").contains("0.4 s without output, progress, or work"));
    let log = fs::read_to_string(summary.directory.join("att/deaf/2/stderr")).unwrap();
    assert!(log.contains("no sign of life") && log.contains("thread"), "{log}");
}

#[test]
fn a_stage_that_shows_life_does_not_hang() {
    let lab = Lab::new();
    let steps = json!({"uses": "toy/sleep@1", "with": {"steps": 12, "millis": 100}, "stall": "600ms", "retry": {"infra": 0}});
    assert!(ran(&lab.run(&json!({"slow": steps})), "slow"));
}

#[test]
fn memory_beyond_its_cap_is_explained_and_given_once_more() {
    let lab = Lab::new();
    let hog = |mebibytes: u32, oom: u32| {
        json!({
            "uses": "toy/hog@1", "with": {"mebibytes": mebibytes},
            "resources": {"mem": "128MiB", "enforce": true}, "retry": {"oom": oom, "infra": 0},
        })
    };
    let summary = lab.run(&json!({"hog": hog(150, 1), "pig": hog(400, 1), "once": hog(160, 0)}));
    assert!(ran(&summary, "hog"), "{:?}", stage(&summary, "hog").error);
    assert_eq!(stage(&summary, "hog").attempts, 2);
    assert_eq!((stage(&summary, "pig").attempts, stage(&summary, "once").attempts), (2, 1));
    let told = message(&summary, "once");
    assert!(told.starts_with("out of memory: the stage reached its cap of 128 MiB"), "{told}");
    assert!(stage(&summary, "once").error.clone().unwrap().help.unwrap().contains("resources: {mem: "));
}

#[test]
fn a_preempted_stage_goes_on_as_long_as_its_checkpoints_advance() {
    let lab = Lab::new();
    let steps = json!({"uses": "toy/sleep@1", "with": {"steps": 14, "millis": 100}, "retry": {"infra": 0}});
    lab.write(&json!({"slow": steps}));
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            for attempt in 1..=2 {
                let running = lab.wait_for("slow", |stage| stage.status == StageStatus::Running && stage.attempts == attempt);
                std::thread::sleep(Duration::from_millis(350));
                let pid = running.pid.unwrap().to_string();
                assert!(Command::new("kill").args(["-TERM", &pid]).status().is_ok_and(|status| status.success()));
            }
        });
        lab.execute(&lab.start(None), |_| {}).unwrap()
    });
    assert_eq!(summary.outcome, Outcome::Succeeded, "{:?}", stage(&summary, "slow").error);
    assert_eq!(stage(&summary, "slow").attempts, 3);
    assert!(stage(&summary, "slow").metrics["first_step"] > 1.0);
}

/// Runs one deaf step and sends requests once it beats.
fn interrupted(requests: &[Interrupt], grace: Duration) -> (RunSummary, Duration) {
    let lab = Lab::new();
    lab.write(&json!({"deaf": sleep("a", 60_000)}));
    let (press, interrupts) = Interrupts::channel();
    let begun = std::time::Instant::now();
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            lab.wait_for("deaf", |stage| stage.status == StageStatus::Running);
            lab.wait_for_heartbeat("deaf", 1);
            for request in requests {
                // A stage that was asked before its step began stops at once, and nobody listens any more.
                if press.send(*request).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        let change = |options: &mut flow_engine::run::RunOptions| {
            options.interrupts = interrupts;
            options.grace = grace;
        };
        lab.execute(&lab.start(None), change).unwrap()
    });
    assert_eq!(summary.outcome, Outcome::Interrupted);
    assert_eq!(stage(&summary, "deaf").status, StageStatus::Interrupted);
    (summary, begun.elapsed())
}

#[test]
fn a_request_to_end_kills_after_its_grace() {
    let (_, took) = interrupted(&[Interrupt::Terminate], Duration::from_millis(700));
    assert!(took > Duration::from_millis(700) && took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_second_press_ends_a_stage_that_does_not_listen() {
    let (_, took) = interrupted(&[Interrupt::Press, Interrupt::Press], Duration::from_mins(1));
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_kill_waits_for_nothing() {
    let (_, took) = interrupted(&[Interrupt::Kill], Duration::from_mins(1));
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_run_is_cancelled_from_outside_and_can_be_resumed() {
    let lab = Lab::new();
    lab.write(&json!({"slow": {"uses": "toy/sleep@1", "with": {"steps": 20, "millis": 100}}}));
    let mut engine = lab.engine(None, &[]);
    lab.wait_for("slow", |stage| stage.status == StageStatus::Running);
    lab.wait_for_heartbeat("slow", 1);
    std::thread::sleep(Duration::from_millis(250));
    let cancelled = cancel(&lab.project(), lab.latest(), Urgency::Gently).unwrap();
    assert_eq!(cancelled.engine, Some(engine.id()));
    engine.wait().unwrap();
    assert!(matches!(cancel(&lab.project(), lab.latest(), Urgency::Now), Err(RunError::NotRunning { .. })));
    let resumed = lab.resume();
    assert!(ran(&resumed, "slow") && stage(&resumed, "slow").metrics["first_step"] > 0.0);
}

#[test]
fn stages_that_outlived_their_engine_are_cancelled_themselves() {
    let lab = Lab::new();
    lab.write(&json!({"slow": {"uses": "toy/sleep@1", "with": {"steps": 40, "millis": 100}}}));
    let mut engine = lab.engine(None, &[]);
    lab.wait_for("slow", |stage| stage.status == StageStatus::Running);
    lab.wait_for_heartbeat("slow", 1);
    std::thread::sleep(Duration::from_millis(250));
    engine.kill().unwrap();
    engine.wait().unwrap();
    let cancelled = cancel(&lab.project(), lab.latest(), Urgency::Gently).unwrap();
    assert_eq!((cancelled.engine, cancelled.stages), (None, vec!["slow".to_owned()]));
    let resumed = lab.resume();
    assert!(ran(&resumed, "slow") && stage(&resumed, "slow").metrics["first_step"] > 0.0);
}
