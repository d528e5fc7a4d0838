//! What surroundings may do to a project and its store: clocks that are set back, names that are no text or fold to one, links that
//! lead out. Each has a clear answer, and nothing is lost.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod support;

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use flow_engine::{
    run::{History, Outcome, StageStatus},
    store::{Depth, GcOptions, Store, failpoint::VARIABLE},
};
use serde_json::{Value, json};
use support::{Lab, cached, digests, ran, stage};

#[test]
fn role() {
    support::play_role();
}

fn flow() -> Value {
    json!({
        "data": {"uses": "toy/emit@1", "with": {"files": "data/*.txt"}},
        "judge": {"uses": "toy/judge@1", "in": {"in": "data.out"}, "with": {"metrics": {"f1": 0.5}}},
        "slow": {"uses": "toy/sleep@1", "in": {"in": "judge.report"}, "with": {"steps": 4, "millis": 50, "text": "t"}},
        "walk": {"uses": "toy/walk@1", "with": {"steps": 6, "every": 2}},
    })
}

fn lab() -> Lab {
    let lab = Lab::new();
    fs::create_dir(lab.root.join("data")).unwrap();
    fs::write(lab.root.join("data/a.txt"), "first").unwrap();
    lab
}

/// Moves the modification time of everything below a folder ahead, as if the clock had been set back since.
fn move_ahead(folder: &Path, by: Duration) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            move_ahead(&path, by);
        }
        if !metadata.is_symlink() {
            fs::File::open(&path).unwrap().set_modified(SystemTime::now() + by).unwrap();
        }
    }
}

/// T3: the clock is set back by an hour between two runs, one of which was killed. What was finished is found again, what was edited
/// since is seen, the newest run stays the newest, nobody is waited for, and nothing is collected that is in use.
#[test]
fn a_clock_that_is_set_back_an_hour_costs_nothing() {
    let undisturbed = digests(&{
        let lab = lab();
        lab.run(&flow())
    });
    let hour = Duration::from_hours(1);
    let lab = lab();
    lab.write(&flow());
    let ahead = ulid::Ulid::from_datetime(SystemTime::now() + hour).to_string().parse().unwrap();
    let first = lab.execute(&lab.start(None), |options| options.run = Some(ahead)).unwrap();
    assert_eq!((first.run, digests(&first)), (ahead, undisturbed.clone()));
    // A second run dies with its leases, its reservations, and its temporary files, all of which lie ahead as well.
    fs::write(lab.root.join("data/a.txt"), "other").unwrap();
    assert!(!lab.engine(None, &[(VARIABLE, "commit-4-ingested:abort")]).wait().unwrap().success());
    fs::write(lab.root.join("data/a.txt"), "first").unwrap();
    for folder in [&lab.root, &lab.store] {
        move_ahead(folder, hour);
    }

    let again = lab.run(&flow());
    assert!(again.run > ahead && lab.latest() == again.run, "the run that began last is the latest");
    assert_eq!((again.cached(), digests(&again)), (4, undisturbed.clone()));
    fs::write(lab.root.join("data/a.txt"), "third").unwrap();
    let edited = lab.run(&flow());
    assert!(ran(&edited, "data") && cached(&edited, "walk"));
    assert_eq!(lab.latest(), edited.run);

    let store = Store::open(&lab.store).unwrap();
    let referenced = History::referenced_in(&store).unwrap();
    store.collect(&GcOptions { referenced, older_than: Duration::ZERO, grace: Duration::ZERO, ..GcOptions::default() }).unwrap();
    assert_eq!(lab.run(&flow()).cached(), 4);
    fs::write(lab.root.join("data/a.txt"), "first").unwrap();
    assert_eq!(digests(&lab.run(&flow())), undisturbed);
    assert!(store.verify(Depth::Full).unwrap().is_clean());
}

/// Heartbeats and reservations lie ahead while their owner lives: it is waited for, and its work is not done twice.
#[test]
fn a_clock_that_is_set_back_during_a_run_breaks_no_reservation() {
    let lab = Lab::new();
    lab.write(&json!({"slow": {"uses": "toy/sleep@1", "with": {"steps": 8, "millis": 250, "text": "t"}}}));
    let mut engine = lab.engine(None, &[]);
    lab.wait_for("slow", |stage| stage.status == StageStatus::Running);
    for folder in ["lease", "res", "tmp"] {
        move_ahead(&lab.store.join(folder), Duration::from_hours(1));
    }
    let store = Store::open(&lab.store).unwrap();
    let eager =
        GcOptions { older_than: Duration::ZERO, grace: Duration::ZERO, trash_for: Duration::ZERO, ..GcOptions::default() };
    store.collect(&eager).unwrap();
    let second = lab.execute(&lab.start(None), |_| {}).unwrap();
    assert!(engine.wait().unwrap().success());
    assert!(cached(&second, "slow") && stage(&second, "slow").attempts == 0, "{second:?}");
}

/// A file system knows bytes: names that are no text are read, kept, and told apart.
#[test]
fn names_that_are_no_text_are_sources_and_outputs_like_others() {
    let lab = Lab::new();
    fs::create_dir(lab.root.join("data")).unwrap();
    for (name, text) in [(&b"\xff.txt"[..], "one "), (b"\xfe.txt", "two "), ("\u{e9}.txt".as_bytes(), "three ")] {
        fs::write(lab.root.join("data").join(OsStr::from_bytes(name)), text).unwrap();
    }
    let make = "mkdir \"$1\" && printf 1 > \"$1/$(printf '\\377')\" && printf 2 > \"$1/$(printf '\\376')\"";
    let flow = json!({
        "read": {"uses": "toy/emit@1", "with": {"files": "data/*.txt"}},
        "made": {"uses": "cmd@1", "run": ["sh", "-c", make, "sh", "${out.d}"], "out": {"d": {"path": "d", "kind": "dir"}}},
        "use": {"uses": "cmd@1", "in": {"d": "made.d"}, "run": ["sh", "-c", "cat \"$1\"/* > o.txt", "sh", "${in.d}"],
                "out": {"o": {"path": "o.txt"}}},
    });
    let first = lab.run(&flow);
    assert_eq!(first.outcome, Outcome::Succeeded, "{first:?}");
    let store = Store::open(&lab.store).unwrap();
    let text = |name: &str, port: &str| {
        fs::read_to_string(store.cas().path(&stage(&first, name).outputs.get(port).unwrap().digest)).unwrap()
    };
    assert_eq!(text("read", "out").split(' ').collect::<std::collections::BTreeSet<_>>().len(), 4);
    assert_eq!(text("use", "o").len(), 2);
    assert_eq!(lab.run(&flow).cached(), 3);
    fs::write(lab.root.join("data").join(OsStr::from_bytes(b"\xff.txt")), "ONE ").unwrap();
    assert!(ran(&lab.run(&flow), "read"));
}

/// Two files whose names a file system that ignores case takes for one stay two here.
#[test]
fn names_that_fold_to_one_stay_two() {
    let lab = Lab::new();
    let make = "mkdir \"$1\" && printf 1 > \"$1/Train\" && printf 2 > \"$1/train\"";
    let flow = json!({
        "made": {"uses": "cmd@1", "run": ["sh", "-c", make, "sh", "${out.d}"], "out": {"d": {"path": "d", "kind": "dir"}}},
        "Use": {"uses": "cmd@1", "in": {"d": "made.d"}, "run": ["sh", "-c", "cat \"$1/Train\" > o.txt", "sh", "${in.d}"],
                "out": {"o": {"path": "o.txt"}}},
        "use": {"uses": "cmd@1", "in": {"d": "made.d"}, "run": ["sh", "-c", "cat \"$1/train\" > o.txt", "sh", "${in.d}"],
                "out": {"o": {"path": "o.txt"}}},
    });
    let first = lab.run(&flow);
    assert_eq!(first.outcome, Outcome::Succeeded, "{first:?}");
    assert_ne!(digests(&first)["Use"], digests(&first)["use"]);
    assert_eq!(lab.run(&flow).cached(), 3);
}

/// An output that leads out of itself would show another file on another machine, or to another user.
#[test]
fn a_link_that_leads_out_of_an_output_fails_its_stage() {
    for target in ["/etc/passwd", "../../../secret", "inner/../../x"] {
        let lab = Lab::new();
        fs::write(lab.root.join("secret"), "s").unwrap();
        let make = format!("mkdir -p \"$1/inner\" && ln -s {target} \"$1/link\"");
        let flow = json!({"made": {"uses": "cmd@1", "run": ["sh", "-c", make, "sh", "${out.d}"],
                                   "out": {"d": {"path": "d", "kind": "dir"}}}});
        let summary = lab.run(&flow);
        let error = stage(&summary, "made").error.clone().unwrap();
        assert!(error.message.contains("link"), "{target}: {error}");
        assert!(error.help.unwrap().contains("stay inside"), "{target}");
        assert_eq!(Store::open(&lab.store).unwrap().actions().peek(&stage(&summary, "made").key.unwrap()).unwrap(), None);
    }
}

/// A link to a source counts with what it leads to; one that leads nowhere or in a circle is told and not followed for ever.
#[test]
fn links_of_sources_are_read_through() {
    let lab = lab();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("real"), "real").unwrap();
    symlink(elsewhere.path().join("real"), lab.root.join("data/b.txt")).unwrap();
    let flow = json!({"read": {"uses": "toy/emit@1", "with": {"files": "data/*.txt"}}});
    assert!(ran(&lab.run(&flow), "read") && cached(&lab.run(&flow), "read"));
    fs::write(elsewhere.path().join("real"), "edit").unwrap();
    assert!(ran(&lab.run(&flow), "read"), "the file that the link leads to is the source");
    fs::remove_file(elsewhere.path().join("real")).unwrap();
    let broken = lab.run(&flow);
    assert_eq!(broken.outcome, Outcome::Failed);
    assert!(stage(&broken, "read").error.clone().unwrap().to_string().contains("b.txt"));
}
