//! What survives when processes are killed: nothing finished is lost, and the outputs are those of an undisturbed run.

mod support;

use std::{collections::BTreeMap, fs, process::Command, time::Duration};

use flow_engine::{
    run::{Event, History, Hit, Outcome, StageStatus},
    store::{
        Depth, Store,
        failpoint::{COMMIT_SITES, VARIABLE},
    },
};
use serde_json::{Value, json};
use support::{Lab, Witness, digests, stage, stage_digests};

#[test]
fn role() {
    support::play_role();
}

/// A folder, a file, and a stage that reads both.
fn chain(millis: u32, infra: u32) -> Value {
    json!({
        "data": {"uses": "toy/emit@1", "with": {"text": "abc"}, "retry": {"infra": infra}},
        "judge": {"uses": "toy/judge@1", "in": {"in": "data.out"}, "with": {"metrics": {"f1": 0.5}}, "retry": {"infra": infra}},
        "slow": {"uses": "toy/sleep@1", "in": {"in": "judge.report"}, "with": {"steps": 8, "millis": millis, "text": "t"},
                 "retry": {"infra": infra}},
    })
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().is_ok_and(|status| status.success()));
}

#[test]
fn a_killed_runner_costs_one_step_and_changes_nothing() {
    let undisturbed = digests(&Lab::new().run(&chain(1, 0)));
    let lab = Lab::new();
    lab.write(&chain(100, 0));
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            let running = lab.wait_for("slow", |stage| stage.status == StageStatus::Running);
            std::thread::sleep(Duration::from_millis(450));
            kill(running.pid.unwrap());
        });
        lab.execute(&lab.start(None), |_| {}).unwrap()
    });
    assert_eq!(summary.outcome, Outcome::Failed);
    assert!(stage(&summary, "slow").error.clone().unwrap().message.contains("signal 9"));
    let resumed = lab.resume();
    assert_eq!(resumed.outcome, Outcome::Succeeded);
    assert!(stage(&resumed, "slow").metrics["first_step"] >= 1.0);
    assert_eq!(digests(&resumed), undisturbed);
}

#[test]
fn a_killed_runner_is_started_again_within_the_run() {
    let lab = Lab::new();
    lab.write(
        &json!({"slow": {"uses": "toy/sleep@1", "with": {"steps": 8, "millis": 100}, "retry": {"infra": 1, "backoff": "1ms"}}}),
    );
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            let running = lab.wait_for("slow", |stage| stage.status == StageStatus::Running);
            std::thread::sleep(Duration::from_millis(300));
            kill(running.pid.unwrap());
        });
        lab.execute(&lab.start(None), |_| {}).unwrap()
    });
    assert_eq!(summary.outcome, Outcome::Succeeded);
    assert_eq!(stage(&summary, "slow").attempts, 2);
}

#[test]
fn an_attempt_that_outlives_its_engine_is_adopted() {
    let undisturbed = digests(&Lab::new().run(&chain(1, 0)));
    let lab = Lab::new();
    lab.write(&chain(250, 0));
    let mut engine = lab.engine(None, &[]);
    lab.wait_for("slow", |stage| stage.status == StageStatus::Running);
    std::thread::sleep(Duration::from_millis(300));
    engine.kill().unwrap();
    engine.wait().unwrap();
    let witness = Witness::default();
    let resumed = lab.watch(&lab.start(Some(lab.latest())), |_| {}, &witness).unwrap();
    assert_eq!(resumed.outcome, Outcome::Succeeded);
    assert_eq!(stage(&resumed, "slow").status, StageStatus::Cached { hit: Hit::Recovered });
    assert_eq!(stage(&resumed, "slow").attempts, 1);
    let waited = witness.events().into_iter().any(|event| {
        matches!(event, Event::StageWaiting { ref stage, ref owner, .. } if stage == "slow" && owner.run == lab.latest().to_string())
    });
    assert!(waited);
    assert!(witness.progress.lock().unwrap().iter().any(|progress| progress.stage == "slow"));
    assert_eq!(digests(&resumed), undisturbed);
}

#[test]
fn an_attempt_that_finished_unseen_is_recovered() {
    let lab = Lab::new();
    lab.write(&chain(60, 0));
    let mut engine = lab.engine(None, &[]);
    let running = lab.wait_for("slow", |stage| stage.status == StageStatus::Running);
    engine.kill().unwrap();
    engine.wait().unwrap();
    while fs::exists(format!("/proc/{}", running.pid.unwrap())).unwrap() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let resumed = lab.resume();
    assert_eq!(stage(&resumed, "slow").status, StageStatus::Cached { hit: Hit::Recovered });
}

#[test]
fn a_crash_at_every_step_of_a_commit_leaves_a_run_that_ends_the_same() {
    let undisturbed = digests(&Lab::new().run(&chain(1, 0)));
    for site in COMMIT_SITES {
        let lab = Lab::new();
        lab.write(&chain(1, 0));
        let status = lab.engine(None, &[(VARIABLE, &format!("{site}:abort"))]).wait().unwrap();
        // A result that is recorded counts, however its process ended.
        assert_eq!(status.success(), site == "commit-7-recorded", "{site}");
        let resumed = lab.resume();
        assert_eq!(resumed.outcome, Outcome::Succeeded, "{site}");
        assert_eq!(digests(&resumed), undisturbed, "{site}");
        assert!(Store::open(&lab.store).unwrap().verify(Depth::Full).unwrap().is_clean(), "{site}");
        // Nobody has to unlock anything, and nothing is done twice.
        assert_eq!(lab.run(&chain(1, 0)).cached(), 3, "{site}");
    }
}

/// A broken or full disk at any step is told and costs nothing that was finished.
#[test]
fn a_disk_that_fails_at_any_step_of_a_commit_loses_nothing() {
    let undisturbed = digests(&Lab::new().run(&chain(1, 0)));
    for (site, action) in COMMIT_SITES.into_iter().zip(["eio", "enospc"].into_iter().cycle()) {
        let lab = Lab::new();
        lab.write(&chain(1, 0));
        let status = lab.engine(None, &[(VARIABLE, &format!("{site}:{action}"))]).wait().unwrap();
        // What is recorded counts, and a disk that is full only once is enough for the second try.
        let expected = site == "commit-7-recorded" || (site, action) == ("commit-6-node", "enospc");
        assert_eq!(status.success(), expected, "{site}:{action}");
        if site.starts_with("commit-4") {
            let failed = History::of(&lab.project()).load(lab.latest()).unwrap();
            let told = failed.stages.iter().find_map(|stage| stage.error.clone()).unwrap();
            let full = told.message.contains("disk is full") && told.help.clone().unwrap().contains("flow gc");
            let broken = told.causes.iter().any(|cause| cause.contains("Input/output error"));
            assert_eq!((full, broken), (action == "enospc", action == "eio"), "{told:?}");
        }
        let resumed = lab.resume();
        assert_eq!(resumed.outcome, Outcome::Succeeded, "{site}:{action}");
        assert_eq!(digests(&resumed), undisturbed, "{site}:{action}");
        assert!(Store::open(&lab.store).unwrap().verify(Depth::Full).unwrap().is_clean());
    }
}

#[test]
fn a_torn_journal_is_cut_back_and_gone_on_with() {
    let lab = Lab::new();
    let first = lab.run(&chain(1, 0));
    let journal = first.directory.join("journal.jsonl");
    let whole = fs::read(&journal).unwrap();
    for cut in [1, 40, whole.len() / 3] {
        fs::write(&journal, &whole[..whole.len() - cut]).unwrap();
        let resumed = lab.resume();
        assert_eq!(resumed.outcome, Outcome::Succeeded);
        assert_eq!(digests(&resumed), digests(&first));
    }
}

#[test]
fn a_lost_journal_loses_no_result() {
    let lab = Lab::new();
    let first = lab.run(&chain(1, 0));
    fs::remove_dir_all(lab.root.join(".flow")).unwrap();
    let again = lab.run(&chain(1, 0));
    assert_eq!(again.cached(), 3);
    assert_eq!(digests(&again), digests(&first));
}

/// Runs in a mount namespace of its own, on a disk that is too small first and large enough then.
const ON_A_SMALL_DISK: &str = r#"
mount -t tmpfs -o size="$SIZE" none "$STORE" || exit 99
"$EXE" --exact role --nocapture -- engine "$ROOT" "$STORE" new
echo "first=$?"
mount -o remount,size=64m "$STORE"
"$EXE" --exact role --nocapture -- engine "$ROOT" "$STORE" new
echo "second=$?"
"#;

#[test]
fn a_full_disk_is_a_clear_error_and_leaves_nothing_torn() {
    let flow = json!({
        "big": {"uses": "toy/emit@1", "with": {"text": "0123456789abcdef", "times": 75_000}, "retry": {"infra": 0}},
        "small": {"uses": "toy/judge@1", "in": {"in": "big.out"}, "retry": {"infra": 0}},
    });
    let undisturbed = digests(&Lab::new().run(&flow));
    for size in ["1m", "1184k", "1192k", "1200k"] {
        let lab = Lab::new();
        lab.write(&flow);
        fs::create_dir(&lab.store).unwrap();
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK])
            .env("EXE", std::env::current_exe().unwrap())
            .envs([("SIZE", size.as_ref()), ("ROOT", lab.root.as_os_str()), ("STORE", lab.store.as_os_str())])
            .output();
        let told = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        if !told.contains("first=") {
            eprintln!("skipped: a small disk cannot be mounted here");
            return;
        }
        assert!(!told.contains("first=0") && told.contains("second=0"), "{size}: {told}");
        let history = History::of(&lab.project());
        let runs: Vec<_> = history.runs().into_iter().map(|run| history.load(run).unwrap()).collect();
        let failed = runs[0].stages.iter().filter_map(|stage| stage.error.as_ref()).map(ToString::to_string).collect::<String>();
        assert!(failed.contains("disk is full"), "{size}: {failed}");
        let ended: BTreeMap<_, _> = runs[1].stages.iter().map(|stage| (stage.name.clone(), stage_digests(stage))).collect();
        assert_eq!(ended, undisturbed, "{size}");
    }
}
