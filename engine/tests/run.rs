//! What a run does when nothing is killed: caching, cut-off, order, gates, decisions, sources.

mod support;

use std::{fs, sync::Arc, time::Duration};

use flow_engine::{
    context::Decision,
    govern::{GovernError, KeyRing, Signatory},
    run::{Event, History, Hit, Interrupt, Interrupts, Outcome, Reason, RunError, SkipReason, StageStatus, approve, why},
    store::{GcOptions, Store},
};
use serde_json::{Value, json};
use support::{Lab, Witness, cached, digests, ran, stage};

#[test]
fn role() {
    support::play_role();
}

fn pair(text: &str, times: u32, separator: &str) -> Value {
    json!({
        "first": {"uses": "toy/emit@1", "with": {"text": text, "times": times}},
        "second": {"uses": "toy/concat@1", "in": {"parts": ["first.out"]}, "with": {"separator": separator}},
    })
}

fn decision(approved: bool) -> Decision {
    Decision {
        approved,
        by: "ada".to_owned(),
        at: jiff::Timestamp::now().to_string(),
        comment: None,
        via: "command".to_owned(),
        signed: Vec::new(),
    }
}

fn signatory(lab: &Lab) -> Signatory {
    Signatory::new(KeyRing::new(lab.root.join("keys")))
}

#[test]
fn the_same_work_is_not_done_twice_whatever_the_stages_are_called() {
    let lab = Lab::new();
    let first = lab.run(&pair("a", 1, ","));
    assert_eq!(first.outcome, Outcome::Succeeded);
    assert!(ran(&first, "first") && ran(&first, "second"));
    let again = lab.run(&pair("a", 1, ","));
    assert!(cached(&again, "first") && cached(&again, "second"));
    assert_eq!(digests(&first), digests(&again));
    let renamed = lab.run(&json!({
        "other": {"uses": "toy/emit@1", "with": {"times": 1, "text": "a"}},
        "last": {"uses": "toy/concat@1", "in": {"parts": ["other.out"]}, "with": {"separator": ","}},
    }));
    assert_eq!(renamed.cached(), 2);
}

#[test]
fn a_changed_parameter_misses_and_why_names_both_values() {
    let lab = Lab::new();
    lab.run(&pair("a", 1, ","));
    let changed = lab.run(&pair("a", 1, ";"));
    assert!(cached(&changed, "first") && ran(&changed, "second"));
    let answer = why(&lab.project(), "second", None).unwrap();
    let Reason::Changed { than } = answer.reason else { panic!("{:?}", answer.reason) };
    let told: Vec<String> = than.changes.iter().map(ToString::to_string).collect();
    assert_eq!(told, [r#"params.separator "," -> ";""#]);
    let unchanged = why(&lab.project(), "first", None).unwrap();
    assert!(matches!(unchanged.reason, Reason::Unchanged { since: Some(_) }));
}

#[test]
fn equal_bytes_from_upstream_cut_the_rest_off() {
    let lab = Lab::new();
    lab.run(&pair("abab", 1, ","));
    let again = lab.run(&pair("ab", 2, ","));
    assert!(ran(&again, "first"));
    let hit = Hit::CutOff { ran: vec!["first".to_owned()] };
    assert_eq!(stage(&again, "second").status, StageStatus::Cached { hit });
    let answer = why(&lab.project(), "second", None).unwrap();
    assert!(matches!(answer.reason, Reason::CutOff { ref equal_inputs, .. } if equal_inputs.len() == 1));
}

#[test]
fn independent_stages_run_side_by_side() {
    let lab = Lab::new();
    let sleep = |text: &str| json!({"uses": "toy/sleep@1", "with": {"steps": 10, "millis": 50, "text": text}});
    lab.write(&json!({"a": sleep("a"), "b": sleep("b")}));
    let witness = Witness::default();
    lab.watch(&lab.start(None), |_| {}, &witness).unwrap();
    let events = witness.events();
    let first_end = events.iter().position(|event| matches!(event, Event::StageSucceeded { .. })).unwrap();
    let started = events[..first_end].iter().filter(|event| matches!(event, Event::StageStarted { .. })).count();
    assert_eq!(started, 2);
    assert!(!witness.progress.lock().unwrap().is_empty());
}

#[test]
fn faults_of_the_machine_are_repeated_and_errors_of_the_stage_are_not() {
    let lab = Lab::new();
    let fail = |how: &str, times: u32| json!({"uses": "toy/fail@1", "with": {"how": how, "times": times}, "retry": {"infra": 2, "backoff": "1ms"}});
    let summary = lab.run(&json!({"killed": fail("abort", 1), "wrong": fail("input", 1), "panics": fail("panic", 1)}));
    assert_eq!(summary.outcome, Outcome::Failed);
    assert!(ran(&summary, "killed"));
    assert_eq!(stage(&summary, "killed").attempts, 2);
    assert_eq!(stage(&summary, "wrong").attempts, 1);
    let error = stage(&summary, "wrong").error.clone().unwrap();
    assert_eq!((error.message.as_str(), error.help.is_some()), ("this toy fails on purpose", true));
    let panic = stage(&summary, "panics").error.clone().unwrap();
    assert!(panic.message.contains("panicked at") && panic.message.contains("this toy panics on purpose"), "{panic}");
}

#[test]
fn a_failed_stage_blocks_what_follows_and_nothing_else() {
    let lab = Lab::new();
    let summary = lab.run(&json!({
        "bad": {"uses": "toy/fail@1"},
        "after": {"uses": "toy/concat@1", "in": {"parts": ["bad.out"]}},
        "later": {"uses": "toy/emit@1", "needs": ["after"]},
        "apart": {"uses": "toy/emit@1", "with": {"text": "x"}},
    }));
    assert_eq!(stage(&summary, "after").status, StageStatus::Skipped { reason: SkipReason::Blocked { stage: "bad".to_owned() } });
    assert!(matches!(stage(&summary, "later").status, StageStatus::Skipped { reason: SkipReason::Blocked { .. } }));
    assert!(ran(&summary, "apart"));
}

#[test]
fn a_stage_that_takes_too_long_is_stopped_and_goes_on_next_time() {
    let lab = Lab::new();
    let sleep = |timeout: &str| json!({"slow": {"uses": "toy/sleep@1", "with": {"steps": 20, "millis": 50}, "timeout": timeout}});
    let summary = lab.run(&sleep("400ms"));
    assert_eq!(summary.outcome, Outcome::Failed);
    assert!(stage(&summary, "slow").error.clone().unwrap().message.contains("timeout of 0.4 s"));
    let again = lab.run(&sleep("60s"));
    assert!(ran(&again, "slow"));
    assert!(stage(&again, "slow").metrics["first_step"] > 0.0);
}

#[test]
fn a_gate_that_is_not_met_keeps_the_report_and_stops_what_follows() {
    let lab = Lab::new();
    let judged = |gate: &str| {
        json!({
            "data": {"uses": "toy/emit@1", "with": {"text": "x"}},
            "judge": {"uses": "toy/judge@1", "in": {"in": "data.out"}, "with": {"metrics": {"f1": 0.5}}, "gate": [gate]},
            "after": {"uses": "toy/emit@1", "needs": ["judge"]},
        })
    };
    let summary = lab.run(&judged("metrics.f1 >= 0.9"));
    assert_eq!(summary.outcome, Outcome::GateFailed);
    assert_eq!(stage(&summary, "judge").status, StageStatus::GateFailed);
    assert_eq!(stage(&summary, "judge").verdicts[0].detail, "metrics.f1 = 0.5");
    assert!(matches!(stage(&summary, "after").status, StageStatus::Skipped { .. }));
    let report = &summary.stages.iter().find(|stage| stage.state.name == "judge").unwrap().reports["report"];
    assert!(report.join("report.json").is_file());
    let met = lab.run(&judged("metrics.f1 >= 0.4"));
    assert_eq!(met.outcome, Outcome::Succeeded);
    assert!(cached(&met, "judge"));
}

#[test]
fn a_broken_expectation_fails_the_stage() {
    let lab = Lab::new();
    let summary = lab.run(&json!({
        "data": {"uses": "toy/emit@1", "with": {"text": "x"}, "expect": {"bytes": ">= 100"}},
        "after": {"uses": "toy/concat@1", "in": {"parts": ["data.out"]}},
    }));
    assert_eq!(summary.outcome, Outcome::Failed);
    assert!(stage(&summary, "data").error.clone().unwrap().message.contains("metrics.bytes = 1"));
}

#[test]
fn conditions_read_metrics_and_skips_follow_the_data() {
    let lab = Lab::new();
    let summary = lab.run(&json!({
        "data": {"uses": "toy/emit@1", "with": {"text": "x"}},
        "big": {"uses": "toy/concat@1", "in": {"parts": ["data.out"]}, "if": "stages.data.metrics.bytes > 10.0"},
        "reader": {"uses": "toy/concat@1", "in": {"parts": ["big.out"]}},
        "later": {"uses": "toy/emit@1", "needs": ["big"]},
    }));
    assert_eq!(summary.outcome, Outcome::Succeeded);
    assert!(matches!(stage(&summary, "big").status, StageStatus::Skipped { reason: SkipReason::Condition { .. } }));
    assert_eq!(
        stage(&summary, "reader").status,
        StageStatus::Skipped { reason: SkipReason::Upstream { stage: "big".to_owned() } }
    );
    assert!(ran(&summary, "later"));
}

fn review(text: &str) -> Value {
    json!({
        "data": {"uses": "toy/emit@1", "with": {"text": text}},
        "ok": {"uses": "toy/decide@1", "in": {"review": ["data.out"]}},
        "after": {"uses": "toy/emit@1", "with": {"text": "published"}, "needs": ["ok"]},
    })
}

#[test]
fn a_decision_is_bound_to_the_bytes_that_were_reviewed() {
    let lab = Lab::new();
    let parked = lab.run(&review("a"));
    assert_eq!(parked.outcome, Outcome::Parked);
    assert_eq!(stage(&parked, "ok").reviewed[0].from, "data.out");
    assert_eq!(stage(&parked, "after").status, StageStatus::Pending);
    approve(&lab.project(), (parked.run, "ok"), decision(true), &signatory(&lab)).unwrap();
    let resumed = lab.resume();
    assert_eq!(resumed.outcome, Outcome::Succeeded);
    assert_eq!(stage(&resumed, "ok").decision.as_ref().map(|decision| decision.by.as_str()), Some("ada"));
    assert!(cached(&lab.run(&review("a")), "ok"));
    assert_eq!(lab.run(&review("b")).outcome, Outcome::Parked);
    let other = approve(&lab.project(), (parked.run, "data"), decision(true), &signatory(&lab));
    assert!(matches!(other, Err(RunError::NotParked { .. })));
}

#[test]
fn a_rejection_stands_until_the_content_changes() {
    let lab = Lab::new();
    let parked = lab.run(&review("a"));
    approve(&lab.project(), (parked.run, "ok"), decision(false), &signatory(&lab)).unwrap();
    let rejected = lab.resume();
    assert_eq!(rejected.outcome, Outcome::Failed);
    assert!(matches!(stage(&rejected, "after").status, StageStatus::Skipped { .. }));
    let again = lab.run(&review("a"));
    assert_eq!(again.outcome, Outcome::Failed);
    let overruled = approve(&lab.project(), (again.run, "ok"), decision(true), &signatory(&lab));
    assert!(matches!(overruled, Err(RunError::Govern(GovernError::Refused { .. }))));
    assert_eq!(lab.run(&review("b")).outcome, Outcome::Parked);
}

#[test]
fn decisions_are_taken_by_flag_or_at_the_terminal() {
    let lab = Lab::new();
    lab.write(&review("a"));
    let flagged = lab.execute(&lab.start(None), |options| options.approve = vec!["ok".to_owned()]).unwrap();
    assert_eq!(flagged.outcome, Outcome::Succeeded);
    assert_eq!(stage(&flagged, "ok").decision.as_ref().unwrap().via, "flag");
    lab.write(&review("b"));
    let asked = lab
        .execute(&lab.start(None), |options| {
            options.ask = Some(Box::new(|request| {
                assert_eq!((request.stage.as_str(), request.reviewed.len()), ("ok", 1));
                Some(decision(true))
            }));
        })
        .unwrap();
    assert_eq!(asked.outcome, Outcome::Succeeded);
    let unknown = lab.execute(&lab.start(None), |options| options.approve = vec!["oks".to_owned()]);
    assert!(matches!(unknown, Err(RunError::UnknownApproval { .. })));
    let idle = lab.execute(&lab.start(None), |options| options.approve = vec!["data".to_owned()]);
    assert!(matches!(idle, Err(RunError::NothingToApprove { asking, .. }) if asking == "ok"));
}

#[test]
fn an_interrupted_run_goes_on_from_its_checkpoint() {
    let lab = Lab::new();
    lab.write(&json!({"slow": {"uses": "toy/sleep@1", "with": {"steps": 12, "millis": 100}}}));
    let (press, interrupts) = Interrupts::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            lab.wait_for("slow", |stage| stage.status == StageStatus::Running);
            std::thread::sleep(Duration::from_millis(500));
            press.send(Interrupt::Press).unwrap();
        });
        let summary = lab.execute(&lab.start(None), |options| options.interrupts = interrupts).unwrap();
        assert_eq!(summary.outcome, Outcome::Interrupted);
        assert_eq!(stage(&summary, "slow").status, StageStatus::Interrupted);
    });
    let resumed = lab.resume();
    assert_eq!(resumed.outcome, Outcome::Succeeded);
    assert!(stage(&resumed, "slow").metrics["first_step"] > 0.0);
    assert_eq!(stage(&resumed, "slow").attempts, 2);
}

#[test]
fn a_second_request_to_stop_kills_and_the_run_can_still_go_on() {
    let lab = Lab::new();
    // One long step: it does not look for requests to stop.
    lab.write(&json!({"deaf": {"uses": "toy/sleep@1", "with": {"steps": 1, "millis": 60_000}}}));
    let (press, interrupts) = Interrupts::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            lab.wait_for("deaf", |stage| stage.status == StageStatus::Running);
            // Before its first heartbeat the process would simply end.
            let paths = History::of(&lab.project()).paths(lab.latest());
            while !paths.attempt("deaf", 1).join("hb").exists() {
                std::thread::sleep(Duration::from_millis(20));
            }
            press.send(Interrupt::Press).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            press.send(Interrupt::Press).unwrap();
        });
        let summary = lab.execute(&lab.start(None), |options| options.interrupts = interrupts).unwrap();
        assert_eq!(summary.outcome, Outcome::Interrupted);
        assert_eq!(stage(&summary, "deaf").status, StageStatus::Interrupted);
        assert!(!History::of(&lab.project()).is_live(summary.run));
    });
}

#[test]
fn files_enter_the_key_by_content_and_a_pattern_without_files_is_an_error() {
    let lab = Lab::new();
    let flow = json!({"read": {"uses": "toy/emit@1", "with": {"files": "data/*.txt"}}});
    let missing = lab.run(&flow);
    let error = stage(&missing, "read").error.clone().unwrap();
    assert!(error.message.contains("data/*.txt") && error.help.is_some());
    fs::create_dir(lab.root.join("data")).unwrap();
    fs::write(lab.root.join("data/a.txt"), "one").unwrap();
    assert!(ran(&lab.run(&flow), "read"));
    fs::write(lab.root.join("data/a.txt"), "one").unwrap();
    assert!(cached(&lab.run(&flow), "read"));
    fs::write(lab.root.join("data/a.txt"), "two").unwrap();
    assert!(ran(&lab.run(&flow), "read"));
    fs::rename(lab.root.join("data/a.txt"), lab.root.join("data/b.txt")).unwrap();
    assert!(ran(&lab.run(&flow), "read"));
}

#[test]
fn a_command_is_keyed_by_its_code_and_sees_only_what_it_declares() {
    let lab = Lab::new();
    fs::write(lab.root.join("tool.sh"), "cat \"$1\" > \"$2\"; env | sort >> \"$2\"\n").unwrap();
    let flow = json!({
        "data": {"uses": "toy/emit@1", "with": {"text": "abc\n"}},
        "tool": {
            "uses": "cmd@1",
            "in": {"text": "data.out"},
            "code": ["tool.sh"],
            "run": ["sh", "tool.sh", "${in.text}", "${out.result}"],
            "env": {"LANG": "C.UTF-8"},
            "out": {"result": {"path": "result.txt", "kind": "file"}},
        },
    });
    let first = lab.run(&flow);
    assert_eq!(first.outcome, Outcome::Succeeded, "{:?}", stage(&first, "tool").error);
    let store = Store::open(&lab.store).unwrap();
    let result = fs::read_to_string(store.cas().path(&stage(&first, "tool").outputs.get("result").unwrap().digest)).unwrap();
    assert!(result.starts_with("abc\n") && result.contains("LANG=C.UTF-8") && !result.contains("CARGO"), "{result}");
    assert!(cached(&lab.run(&flow), "tool"));
    fs::write(lab.root.join("tool.sh"), "cat \"$1\" > \"$2\"\n").unwrap();
    let edited = lab.run(&flow);
    assert!(cached(&edited, "data") && ran(&edited, "tool"));
}

#[test]
fn what_was_published_is_published_again_when_it_is_gone() {
    let lab = Lab::new();
    let flow = json!({
        "data": {"uses": "toy/emit@1", "with": {"text": "abc"}},
        "push": {"uses": "toy/publish@1", "in": {"in": "data.out"}, "with": {"name": "model"}},
    });
    assert!(ran(&lab.run(&flow), "push"));
    assert!(cached(&lab.run(&flow), "push"));
    fs::remove_file(lab.root.join("registry/model")).unwrap();
    let again = lab.run(&flow);
    assert!(cached(&again, "data") && ran(&again, "push"));
    assert_eq!(fs::read_to_string(lab.root.join("registry/model")).unwrap(), "abc");
}

/// The lineage of a stage may be ten thousand others: it is described to whoever reads it, and to nobody else.
#[test]
fn only_a_stage_that_reads_its_lineage_is_told_of_it() {
    let lab = Lab::new();
    lab.run(&json!({
        "data": {"uses": "toy/emit@1", "with": {"text": "abc"}},
        "other": {"uses": "toy/emit@1", "with": {"text": "x"}},
        "twice": {"uses": "toy/concat@1", "in": {"parts": ["data.out"]}, "with": {"separator": ","}},
        "push": {"uses": "toy/publish@1", "in": {"in": "twice.out"}, "with": {"name": "model"}, "needs": ["other"]},
    }));
    assert_eq!(fs::read_to_string(lab.root.join("registry/model.lineage")).unwrap(), "data twice");
    let described = |stage: &str| {
        let pattern = lab.root.join(format!(".flow/runs/*/att/{stage}*/*/spec-*.json"));
        let place = glob::glob(pattern.to_str().unwrap()).unwrap().next().unwrap().unwrap();
        let spec: serde_json::Value = serde_json::from_slice(&fs::read(place).unwrap()).unwrap();
        spec["ancestors"].as_array().unwrap().len()
    };
    assert_eq!((described("twice"), described("push")), (0, 2));
}

#[test]
fn a_pinned_source_must_keep_its_content() {
    let lab = Lab::new();
    let flow = json!({"read": {"uses": "toy/pinned@1", "with": {"uri": "toy:model.bin"}}});
    fs::write(lab.root.join("model.bin"), "weights").unwrap();
    assert!(ran(&lab.run(&flow), "read"));
    let lock = fs::read_to_string(lab.root.join("flow.lock")).unwrap();
    assert!(lock.contains("toy:model.bin"), "{lock}");
    // Once fetched it is used from the store, whatever happens to the original.
    fs::write(lab.root.join("model.bin"), "other weights").unwrap();
    assert!(cached(&lab.run(&flow), "read"));
    let other = lab.beside();
    fs::create_dir_all(&other.root).unwrap();
    fs::copy(lab.root.join("flow.lock"), other.root.join("flow.lock")).unwrap();
    fs::write(other.root.join("model.bin"), "tampered").unwrap();
    fs::remove_dir_all(lab.store.join("src")).unwrap();
    fs::create_dir(lab.store.join("src")).unwrap();
    let tampered = other.run(&flow);
    let message = stage(&tampered, "read").error.clone().unwrap().message;
    let (expected, got) = (flow_engine::Digest::of(b"weights"), flow_engine::Digest::of(b"tampered"));
    assert!(message.contains(&expected.to_string()) && message.contains(&got.to_string()), "{message}");
}

#[test]
fn two_engines_on_one_store_compute_a_key_once() {
    let one = Lab::new();
    let other = one.beside();
    let flow = json!({"slow": {"uses": "toy/sleep@1", "with": {"steps": 6, "millis": 100}}});
    let summaries: Vec<_> = std::thread::scope(|scope| {
        let runs = [&one, &other].map(|lab| scope.spawn(|| lab.run(&flow)));
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(summaries.iter().filter(|summary| ran(summary, "slow")).count(), 1);
    assert_eq!(summaries.iter().filter(|summary| cached(summary, "slow")).count(), 1);
    assert_eq!(digests(&summaries[0]), digests(&summaries[1]));
}

#[test]
fn a_damaged_blob_is_found_and_made_again() {
    let lab = Lab::new();
    let first = lab.run(&pair("abc", 1, ","));
    let store = Store::open(&lab.store).unwrap();
    let digest = stage(&first, "first").outputs.get("out").unwrap().digest;
    let blob = store.cas().path(&digest);
    let mut writable = fs::metadata(&blob).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "the blob is the test's own")]
    writable.set_readonly(false);
    fs::set_permissions(&blob, writable).unwrap();
    fs::write(&blob, "xyz").unwrap();
    let again = lab.run(&pair("abc", 1, ","));
    assert!(ran(&again, "first"));
    assert_eq!(digests(&first), digests(&again));
    assert!(fs::read_dir(lab.store.join("quarantine")).unwrap().count() >= 2);
}

#[test]
fn the_collector_keeps_what_runs_refer_to_and_frees_the_rest() {
    let lab = Lab::new();
    let first = lab.run(&pair("abc", 1, ","));
    let store = Store::open(&lab.store).unwrap();
    let now = Duration::ZERO;
    let referenced = History::referenced_in(&store).unwrap();
    let eager = GcOptions { older_than: now, grace: now, ..GcOptions::default() };
    let kept = store.collect(&GcOptions { referenced, ..eager.clone() }).unwrap();
    assert_eq!(kept.results, 0);
    assert_eq!(lab.run(&pair("abc", 1, ",")).cached(), 2);
    let swept = store.collect(&eager).unwrap();
    assert_eq!(swept.results, 2);
    assert!(!store.cas().path(&stage(&first, "first").outputs.get("out").unwrap().digest).exists());
    let again = lab.run(&pair("abc", 1, ","));
    assert!(ran(&again, "first"));
    assert!(matches!(why(&lab.project(), "first", None).unwrap().reason, Reason::Repeated { .. }));
}

#[test]
fn a_workflow_with_other_stages_cannot_resume_a_run() {
    let lab = Lab::new();
    let run = lab.run(&pair("a", 1, ",")).run;
    lab.write(&json!({"first": {"uses": "toy/emit@1", "with": {"text": "a"}}}));
    let resumed = lab.execute(&lab.start(Some(run)), |_| {});
    let Err(RunError::Changed { changes, .. }) = resumed else { panic!("{resumed:?}") };
    assert_eq!(changes, ["second is gone"]);
}

#[test]
fn a_preview_says_what_would_run_and_why() {
    use flow_engine::run::{Forecast, Preimages, preview};
    let lab = Lab::new();
    lab.run(&pair("a", 1, ","));
    lab.write(&pair("b", 1, ","));
    let previews = preview(&lab.plan(), &lab.project(), &Arc::new(support::registry()), Preimages::Left).unwrap();
    let Forecast::Run { reason: Reason::Changed { than } } = &previews[0].forecast else { panic!("{:?}", previews[0]) };
    assert_eq!(than.changes[0].to_string(), r#"params.text "a" -> "b""#);
    assert!(matches!(&previews[1].forecast, Forecast::Wait { on } if on == &["first".to_owned()]));
    assert_eq!(History::of(&lab.project()).runs().len(), 1);
}
