//! What happens when the ground moves: inputs that are written to, sources that change, objects that rot or vanish.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod support;

use std::{fs, io::Write, path::Path, process::Command, time::Duration};

use flow_engine::{
    Digest,
    run::{Event, RunError, StageStatus},
    store::{Depth, StoreError},
};
use serde_json::{Value, json};
use support::{Lab, Witness, cached, digests, ran, stage};

#[test]
fn role() {
    support::play_role();
}

/// R9: a mode protects nothing from root, and a hard link leads straight into the store.
#[test]
fn a_stage_that_writes_to_its_input_fails_and_the_stored_object_is_made_again() {
    for (producer, file) in [("toy/emit@1", ""), ("toy/judge@1", "report.json")] {
        let lab = Lab::new();
        let mut flow = json!({
            "data": {"uses": "toy/emit@1", "with": {"text": "abc"}},
            "made": {"uses": producer},
            "bad": {"uses": "toy/scribble@1", "with": {"file": file}, "retry": {"infra": 0}},
        });
        let port = if file.is_empty() { "out" } else { "report" };
        if !file.is_empty() {
            flow["made"]["in"] = json!({"in": "data.out"});
        }
        flow["bad"]["in"] = json!({"in": format!("made.{port}")});
        let summary = lab.run(&flow);
        let error = stage(&summary, "bad").error.clone().unwrap();
        assert!(error.message.contains("written to while the stage ran") && error.message.contains("\"in\""), "{error}");
        assert!(error.message.contains(file) && error.help.unwrap().contains(&format!("made.{port}")));
        assert_eq!(stage(&summary, "bad").attempts, 1);
        assert!(lab.open_store().verify(Depth::Full).unwrap().damaged.is_empty());
        flow.as_object_mut().unwrap().remove("bad");
        let again = lab.run(&flow);
        assert!(ran(&again, "made"), "{file}");
        assert_eq!(stage(&again, "made").outputs, stage(&summary, "made").outputs);
        assert!(lab.open_store().verify(Depth::Full).unwrap().is_clean());
    }
}

/// R5: the object has the right size, mode, and modification time, and other bytes. It is read before it is used again.
#[test]
fn a_rotten_object_is_not_passed_on_after_the_machine_was_started_again() {
    let lab = Lab::new();
    let flow = |separator: &str| {
        json!({
            "data": {"uses": "toy/emit@1", "with": {"text": "abc"}},
            "next": {"uses": "toy/concat@1", "in": {"parts": ["data.out", "data.out"]}, "with": {"separator": separator}},
        })
    };
    let first = lab.run(&flow(","));
    let blob = lab.open_store().cas().path(&stage(&first, "data").outputs.get("out").unwrap().digest);
    rot(&blob, "abX");
    let second = lab.run(&flow(";"));
    assert_eq!(lab.output(stage(&second, "next").outputs.get("out").unwrap().digest), "abc;abc");
    assert!(ran(&second, "data") && !stage(&second, "data").lost.is_empty());
}

/// Other bytes, everything else as the store left it before the machine was started again.
fn rot(blob: &Path, text: &str) {
    let mode = |mode| fs::set_permissions(blob, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(0o644);
    fs::write(blob, text).unwrap();
    let pinned = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().append(true).open(blob).unwrap().set_modified(pinned).unwrap();
    mode(0o444);
}

fn fork() -> Value {
    json!({
        "data": {"uses": "toy/emit@1", "with": {"text": "abc"}},
        "judge": {"uses": "toy/judge@1", "in": {"in": "data.out"}, "with": {"metrics": {"f1": 0.5}}},
        "copy": {"uses": "toy/concat@1", "in": {"parts": ["data.out", "data.out"]}},
        "slow": {"uses": "toy/sleep@1", "in": {"in": "judge.report"}, "with": {"steps": 5, "millis": 100, "text": "t"}},
        "last": {"uses": "toy/concat@1", "in": {"parts": ["copy.out", "data.out"]}, "needs": ["slow"]},
    })
}

/// T14: objects that went missing before a run are made again, and the run says by whom.
#[test]
fn missing_objects_are_made_again_whichever_they_are() {
    let lab = Lab::new();
    let first = lab.run(&fork());
    let mut blobs: Vec<_> = walk(&lab.store.join("cas")).into_iter().chain(walk(&lab.store.join("tree"))).collect();
    blobs.sort();
    for skip in 0..3 {
        let gone: Vec<_> = blobs.iter().skip(skip).step_by(3).collect();
        for blob in &gone {
            fs::remove_file(blob).unwrap();
        }
        let again = lab.run(&fork());
        assert_eq!(digests(&again), digests(&first));
        assert!(again.stages.iter().any(|stage| !stage.state.lost.is_empty()));
        assert!(gone.iter().all(|blob| blob.exists()), "{gone:?}");
        assert!(lab.open_store().verify(Depth::Full).unwrap().is_clean());
    }
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let shards = fs::read_dir(folder).unwrap().map(|shard| shard.unwrap().path());
    shards.flat_map(|shard| fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()).collect()
}

/// T14: an object vanishes between its producer and its consumer. The producer runs again inside the same run.
#[test]
fn an_object_that_vanishes_during_a_run_is_made_again_within_it() {
    let undisturbed = digests(&Lab::new().run(&fork()));
    let lab = Lab::new();
    lab.write(&fork());
    let witness = Witness::default();
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            lab.wait_for("slow", |stage| stage.status == StageStatus::Running);
            let copy = lab.wait_for("copy", |stage| stage.status.has_outputs());
            for digest in [Digest::of(b"abc"), copy.outputs.get("out").unwrap().digest] {
                fs::remove_file(lab.open_store().cas().path(&digest)).unwrap();
            }
        });
        lab.watch(&lab.start(None), |_| {}, &witness).unwrap()
    });
    assert_eq!(digests(&summary), undisturbed);
    assert!(ran(&summary, "data") && ran(&summary, "copy") && ran(&summary, "last"));
    assert_eq!((stage(&summary, "data").attempts, stage(&summary, "judge").attempts), (2, 1));
    assert_eq!(stage(&summary, "data").lost[0].digest, Digest::of(b"abc"));
    let found = witness.events().into_iter().any(
        |event| matches!(event, Event::StageLost { stage, found_by: Some(by), .. } if stage == "data" && (by == "last" || by == "copy")),
    );
    assert!(found);
    assert!(lab.open_store().verify(Depth::Full).unwrap().is_clean());
}

fn linger() -> Value {
    json!({
        "read": {"uses": "toy/linger@1", "with": {"files": "data/*.txt", "millis": 1500}},
        "next": {"uses": "toy/concat@1", "in": {"parts": ["read.out"]}},
    })
}

/// Runs the workflow and calls `edit` when the source has been read.
fn run_and(lab: &Lab, edit: impl FnOnce() + Send) -> flow_engine::run::RunSummary {
    lab.write(&linger());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let running = lab.wait_for("read", |stage| stage.status == StageStatus::Running);
            let attempt = flow_engine::run::History::of(&lab.project()).paths(lab.latest()).attempt("read", running.attempts);
            while !fs::read_to_string(attempt.join("seg.jsonl")).is_ok_and(|text| text.contains("files")) {
                std::thread::sleep(Duration::from_millis(10));
            }
            edit();
        });
        lab.execute(&lab.start(None), |_| {}).unwrap()
    })
}

fn lab_with_source() -> (Lab, std::path::PathBuf) {
    let lab = Lab::new();
    fs::create_dir(lab.root.join("data")).unwrap();
    let source = lab.root.join("data/a.txt");
    fs::write(&source, "first").unwrap();
    (lab, source)
}

/// The run uses what was read, says so, and leaves nothing under a key that means other content.
#[track_caller]
fn assert_tainted(lab: &Lab, summary: &flow_engine::run::RunSummary, source: &Path) {
    let read = stage(summary, "read");
    assert!(ran(summary, "read") && ran(summary, "next"), "{read:?}");
    assert_eq!(read.tainted, [source]);
    assert_eq!(lab.output(stage(summary, "next").outputs.get("out").unwrap().digest), "first");
    let key = read.key.unwrap();
    assert_eq!(lab.open_store().actions().peek(&key).unwrap(), None);
}

/// T5: written to, replaced, and written to through a memory map.
#[test]
fn a_source_that_changes_while_it_is_read_taints_the_result() {
    let (lab, source) = lab_with_source();
    let written = run_and(&lab, || fs::write(&source, "third").unwrap());
    assert_tainted(&lab, &written, &source);
    let next = lab.run(&linger());
    assert_eq!(lab.output(stage(&next, "read").outputs.get("out").unwrap().digest), "third");
    assert!(stage(&next, "read").tainted.is_empty() && cached(&lab.run(&linger()), "read"));

    let (lab, source) = lab_with_source();
    let replaced = run_and(&lab, || {
        fs::write(lab.root.join("new"), "third").unwrap();
        fs::rename(lab.root.join("new"), &source).unwrap();
    });
    assert_tainted(&lab, &replaced, &source);
}

/// Opens a map, writes through it once, and again when it reads a line: the second write moves no time of the file (R10).
const MAPPED: &str = "
import mmap, sys
file = open(sys.argv[1], 'r+b')
view = mmap.mmap(file.fileno(), 0)
view[0:1] = b'f'
print('mapped', flush=True)
sys.stdin.readline()
view[0:5] = b'third'
print('written', flush=True)
sys.stdin.readline()
";

#[test]
fn a_write_through_a_memory_map_taints_the_result_though_no_time_moves() {
    use std::io::{BufRead, BufReader};
    let (lab, source) = lab_with_source();
    let python = Command::new("python3")
        .args(["-c", MAPPED])
        .arg(&source)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        assert!(std::env::var_os("CI").is_none(), "python3 is missing");
        eprintln!("skipped: there is no python3 to map a file with");
        return;
    };
    let (mut input, mut lines) = (python.stdin.take().unwrap(), BufReader::new(python.stdout.take().unwrap()).lines());
    assert_eq!(lines.next().unwrap().unwrap(), "mapped");
    let before = fs::metadata(&source).unwrap().modified().unwrap();
    let summary = run_and(&lab, || {
        input.write_all(b"\n").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "written");
    });
    let silent = fs::metadata(&source).unwrap().modified().unwrap() == before;
    input.write_all(b"\n").unwrap();
    python.wait().unwrap();
    eprintln!("the write was {}", if silent { "silent" } else { "visible in the file's times" });
    assert_tainted(&lab, &summary, &source);
}

#[test]
fn a_store_that_may_only_be_read_is_a_clear_error() {
    let lab = Lab::new();
    lab.run(&json!({"data": {"uses": "toy/emit@1"}}));
    // Root may write anywhere, so the store is mounted for reading only where that is allowed, in a namespace of its own.
    let script = "mount --bind -o ro \"$STORE\" \"$STORE\" && mount -o remount,bind,ro \"$STORE\" || exit 99; \
                  \"$EXE\" --exact role --nocapture -- engine \"$ROOT\" \"$STORE\" new 2>&1; echo ended=$?";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .env("EXE", std::env::current_exe().unwrap())
        .envs([("ROOT", lab.root.as_os_str()), ("STORE", lab.store.as_os_str())])
        .output();
    let told = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if told.contains("ended=") {
        assert!(told.contains("ReadOnly") && !told.contains("ended=0"), "{told}");
    } else {
        eprintln!("skipped: nothing can be mounted here");
    }
    assert!(lab.open_store().verify(Depth::Full).unwrap().is_clean());
}

#[test]
fn a_run_never_writes_over_what_is_no_store() {
    let lab = Lab::new();
    fs::create_dir(&lab.store).unwrap();
    fs::write(lab.store.join("thesis.txt"), "words").unwrap();
    lab.write(&json!({"data": {"uses": "toy/emit@1"}}));
    let refused = lab.execute(&lab.start(None), |_| {});
    assert!(matches!(refused, Err(RunError::Store(StoreError::Foreign { .. }))));
    assert_eq!(fs::read_dir(&lab.store).unwrap().count(), 1);
}

/// An attempt that cannot begin gives its key back at once: others would wait for it until this run ends.
#[test]
fn a_stage_without_room_for_its_attempt_holds_no_reservation() {
    let lab = Lab::new();
    lab.write(&json!({
        "data": {"uses": "toy/sleep@1", "with": {"steps": 20, "millis": 100, "text": "t"}},
        "next": {"uses": "toy/concat@1", "in": {"parts": ["data.out", "data.out"]}},
    }));
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            lab.wait_for("data", |stage| stage.status == StageStatus::Running);
            // A file where the folder of its attempts belongs.
            let attempt = flow_engine::run::History::of(&lab.project()).paths(lab.latest()).attempt("next", 1);
            fs::write(attempt.parent().unwrap(), "in the way").unwrap();
        });
        lab.execute(&lab.start(None), |_| {}).unwrap()
    });
    assert!(stage(&summary, "next").error.is_some(), "{:?}", stage(&summary, "next"));
    let key = stage(&summary, "next").key.unwrap();
    assert_eq!(lab.open_store().reservations().holder(&key).unwrap(), None);
}
