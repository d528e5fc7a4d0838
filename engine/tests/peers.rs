//! What current engines were seen to do wrong, each as the test that their behaviour fails: stale results after a swap, a trusted
//! time, a record that one signal empties, and a lock that another run takes away.
//!
//! R5, R9, and R10 are tests of `damage.rs`: what rots, what writes through a link, and what writes through a memory map.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod support;

use std::{fs, path::Path, process::Command, time::Duration};

use flow_engine::{
    run::{Event, History, Hit, Outcome, StageStatus},
    store::Depth,
};
use serde_json::{Value, json};
use support::{Lab, cached, digests, ran, stage};

#[test]
fn role() {
    support::play_role();
}

/// A command that writes its arguments down.
fn told(arguments: [&str; 4]) -> Value {
    let mut run = json!(["sh", "-c", "echo \"$@\" > o.txt", "sh"]);
    run.as_array_mut().unwrap().extend(arguments.map(Value::from));
    json!({"train": {"uses": "cmd@1", "run": run, "out": {"o": {"path": "o.txt"}}}})
}

/// R1: a key over sorted arguments takes the second command for the first.
#[test]
fn r1_swapped_arguments_run_again() {
    let lab = Lab::new();
    lab.run(&told(["--lr", "1", "--wd", "2"]));
    let swapped = lab.run(&told(["--lr", "2", "--wd", "1"]));
    assert!(ran(&swapped, "train"));
    assert_eq!(lab.output(stage(&swapped, "train").outputs.get("o").unwrap().digest), "--lr 2 --wd 1\n");
    assert!(cached(&lab.run(&told(["--lr", "1", "--wd", "2"])), "train"), "and the first one is still known");
}

/// Two files of equal size at two ports of a command.
fn joined(x: &str, y: &str) -> Value {
    json!({
        "one": {"uses": "toy/emit@1", "with": {"text": "one"}},
        "two": {"uses": "toy/emit@1", "with": {"text": "two"}},
        "join": {"uses": "cmd@1", "in": {"x": x, "y": y}, "run": ["sh", "-c", "cat \"$1\" \"$2\" > o.txt", "sh", "${in.x}", "${in.y}"],
                 "out": {"o": {"path": "o.txt"}}},
    })
}

/// R2: a key over the set of inputs forgets which port each came in at.
#[test]
fn r2_swapped_ports_run_again() {
    let lab = Lab::new();
    lab.run(&joined("one.out", "two.out"));
    let swapped = lab.run(&joined("two.out", "one.out"));
    assert!(ran(&swapped, "join") && cached(&swapped, "one"));
    assert_eq!(lab.output(stage(&swapped, "join").outputs.get("o").unwrap().digest), "twoone");
    let parts = |parts: [&str; 2]| {
        let mut flow = joined("one.out", "two.out");
        flow["join"] = json!({"uses": "toy/concat@1", "in": {"parts": parts}});
        flow
    };
    lab.run(&parts(["one.out", "two.out"]));
    assert!(ran(&lab.run(&parts(["two.out", "one.out"])), "join"), "order within a port counts as well");
}

/// Other bytes of the same size, and the modification time put back.
fn edit_unseen(file: &Path, text: &str) {
    let before = fs::metadata(file).unwrap();
    assert_eq!(before.len(), text.len() as u64);
    fs::write(file, text).unwrap();
    fs::File::options().write(true).open(file).unwrap().set_modified(before.modified().unwrap()).unwrap();
    assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), before.modified().unwrap());
}

/// R3: inode, size, and modification time are as they were. A file that counts as unchanged for that serves the old result.
#[test]
fn r3_an_edit_whose_time_was_put_back_runs_again() {
    let lab = Lab::new();
    let old = std::time::SystemTime::now() - Duration::from_hours(24);
    for (name, text) in [("data.txt", "first"), ("tool.sh", "echo 1 > o.txt\n")] {
        let file = lab.root.join(name);
        fs::write(&file, text).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    }
    let flow = json!({
        "data": {"uses": "toy/emit@1", "with": {"files": "data.txt"}},
        "tool": {"uses": "cmd@1", "code": ["tool.sh"], "run": ["sh", "tool.sh"], "out": {"o": {"path": "o.txt"}}},
    });
    lab.run(&flow);
    assert_eq!(lab.run(&flow).cached(), 2);
    edit_unseen(&lab.root.join("data.txt"), "third");
    edit_unseen(&lab.root.join("tool.sh"), "echo 3 > o.txt\n");
    let edited = lab.run(&flow);
    let text = |name: &str, port: &str| lab.output(stage(&edited, name).outputs.get(port).unwrap().digest);
    assert_eq!((text("data", "out").as_str(), text("tool", "o").as_str()), ("third", "3\n"));
}

/// Stages one behind the other: quick ones, and one that would take long.
fn chain(quick: usize) -> Value {
    let mut stages = serde_json::Map::new();
    for index in 0..quick {
        let before = if index == 0 { json!([]) } else { json!([format!("s{}", index - 1)]) };
        stages.insert(format!("s{index}"), json!({"uses": "toy/emit@1", "with": {"text": index.to_string()}, "needs": before}));
    }
    stages.insert(
        "long".to_owned(),
        json!({"uses": "toy/sleep@1", "with": {"steps": 6, "millis": 200}, "needs": [format!("s{}", quick - 1)]}),
    );
    Value::Object(stages)
}

/// Records below a folder that hold nothing; what stages print may well be nothing.
fn empty_records(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut empty = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let record = path.extension().is_some_and(|extension| ["json", "jsonl", "idx"].iter().any(|known| extension == *known));
        if path.is_dir() {
            empty.extend(empty_records(&path));
        } else if record && path.metadata().unwrap().len() == 0 {
            empty.push(path);
        }
    }
    empty
}

/// R4: a record that is written anew for every stage is empty for a part of the time, and one signal leaves it so: everything that
/// was finished is forgotten, and nothing runs until somebody mends it.
#[test]
fn r4_a_request_to_end_forgets_nothing_that_was_finished() {
    let undisturbed = digests(&Lab::new().run(&chain(12)));
    for reached in [1, 4, 8, 11] {
        let lab = Lab::new();
        lab.write(&chain(12));
        let mut engine = lab.engine(None, &[]);
        lab.wait_for(&format!("s{reached}"), |stage| stage.status.has_outputs());
        assert!(Command::new("kill").args(["-TERM", &engine.id().to_string()]).status().unwrap().success());
        assert!(!engine.wait().unwrap().success());
        let history = History::of(&lab.project());
        let ended = history.load(lab.latest()).unwrap();
        let finished: Vec<_> =
            ended.stages.iter().filter(|stage| stage.status.has_outputs()).map(|stage| stage.name.clone()).collect();
        assert!(finished.len() > reached && ended.outcome == Some(Outcome::Interrupted), "{ended:?}");
        // An attempt that was ended before its first word has said nothing; whoever finished has.
        let unsaid = |path: &std::path::PathBuf| {
            let attempt = path.components().skip_while(|part| part.as_os_str() != "att").nth(1);
            attempt.is_some_and(|stage| finished.iter().all(|name| stage.as_os_str() != name.as_str()))
        };
        let empty: Vec<_> = empty_records(&lab.root.join(".flow")).into_iter().filter(|path| !unsaid(path)).collect();
        assert_eq!(empty, Vec::<std::path::PathBuf>::new());
        let again = lab.run(&chain(12));
        assert!(finished.iter().all(|name| cached(&again, name)), "{finished:?}");
        assert_eq!(digests(&again), undisturbed);
        assert!(lab.open_store().verify(Depth::Full).unwrap().is_clean());
    }
}

/// R5, a torn file: the object is shorter than it was, its mode says that nobody wrote to it, and a result names it.
#[test]
fn r5_a_torn_object_is_no_result() {
    let lab = Lab::new();
    let flow = json!({
        "data": {"uses": "toy/emit@1", "with": {"text": "abc", "times": 100}},
        "next": {"uses": "toy/judge@1", "in": {"in": "data.out"}},
    });
    let first = lab.run(&flow);
    let blob = lab.open_store().cas().path(&stage(&first, "data").outputs.get("out").unwrap().digest);
    fs::set_permissions(&blob, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::File::options().write(true).open(&blob).unwrap().set_len(150).unwrap();
    fs::set_permissions(&blob, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    let again = lab.run(&flow);
    assert!(ran(&again, "data") && !stage(&again, "data").lost.is_empty());
    assert_eq!(digests(&again), digests(&first));
    assert!(lab.open_store().verify(Depth::Full).unwrap().is_clean());
}

/// R6: the end of one run takes away what another holds, and a third does the same work beside it.
#[test]
fn r6_the_end_of_a_run_frees_nothing_of_another() {
    let lab = Lab::new();
    let flow = json!({
        "quick": {"uses": "toy/emit@1", "with": {"text": "q"}},
        "slow": {"uses": "toy/sleep@1", "with": {"steps": 5, "millis": 500, "text": "t"}},
    });
    lab.write(&flow);
    let mut second = lab.engine(None, &[]);
    let running = lab.wait_for("slow", |stage| stage.status == StageStatus::Running);
    let first = lab.run(&json!({"quick": flow["quick"]}));
    assert_eq!(first.outcome, Outcome::Succeeded);
    let key = running.key.unwrap();
    let holder = lab.open_store().reservations().holder(&key).unwrap().unwrap();
    assert_eq!(holder.stage, "slow");
    let third = lab.run(&flow);
    assert!(second.wait().unwrap().success());
    assert_eq!(stage(&third, "slow").status, StageStatus::Cached { hit: Hit::Shared });
    let history = History::of(&lab.project());
    let entries = history.runs().into_iter().flat_map(|run| history.entries(run).unwrap());
    let computed = entries.filter(|entry| matches!(entry.event, Event::StageSucceeded { key: of, .. } if of == key)).count();
    assert_eq!(computed, 1);
}
