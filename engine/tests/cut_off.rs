//! Early cut-off: a stage that runs again and writes the same bytes ends the matter, and `flow why` says so.

mod support;

use flow_engine::run::{Hit, Reason, StageStatus, why};
use serde_json::{Value, json};
use support::{Lab, cached, digests, ran, stage};

#[test]
fn role() {
    support::play_role();
}

/// A producer, two stages that read it, one that reads both of them, and one behind that.
fn diamond(text: &str, times: u32) -> Value {
    let join = |parts: &[&str], separator: &str| json!({"uses": "toy/concat@1", "in": {"parts": parts}, "with": {"separator": separator}});
    json!({
        "source": {"uses": "toy/emit@1", "with": {"text": text, "times": times}},
        "left": join(&["source.out"], "l"),
        "right": join(&["source.out", "source.out"], "r"),
        "bottom": join(&["left.out", "right.out"], "b"),
        "end": join(&["bottom.out"], "e"),
    })
}

#[test]
fn a_producer_that_repeats_its_bytes_runs_nothing_below_it() {
    let lab = Lab::new();
    let first = lab.run(&diamond("abab", 1));
    let again = lab.run(&diamond("ab", 2));
    assert!(ran(&again, "source"));
    for name in ["left", "right"] {
        let hit = Hit::CutOff { ran: vec!["source".to_owned()] };
        assert_eq!(stage(&again, name).status, StageStatus::Cached { hit }, "{name}");
    }
    assert!(cached(&again, "bottom") && cached(&again, "end"));
    assert_eq!(digests(&again), digests(&first));

    let reason = |name: &str| why(&lab.project(), name, None).unwrap().reason;
    let Reason::CutOff { ran, equal_inputs } = reason("right") else { panic!("{:?}", reason("right")) };
    assert_eq!((ran, equal_inputs.len()), (vec!["source".to_owned()], 2));
    for name in ["bottom", "end"] {
        assert_eq!(reason(name), Reason::Unchanged { since: Some(first.run) }, "nothing above it ran");
    }
    let Reason::Changed { than } = reason("source") else { panic!("{:?}", reason("source")) };
    assert_eq!(than.changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["params.text", "params.times"]);
}

#[test]
fn a_producer_with_other_bytes_runs_all_that_reads_it() {
    let lab = Lab::new();
    lab.run(&diamond("abab", 1));
    let other = lab.run(&diamond("ab", 3));
    assert!(["source", "left", "right", "bottom", "end"].iter().all(|name| ran(&other, name)));
}

/// The cut is where the bytes are equal again, not where a stage ran.
#[test]
fn a_cut_in_the_middle_saves_what_is_below_it() {
    let lab = Lab::new();
    let line = |text: &str| {
        json!({
            "top": {"uses": "toy/emit@1", "with": {"text": text}},
            "length": {"uses": "cmd@1", "in": {"text": "top.out"}, "run": ["sh", "-c", "wc -c < \"$1\" > \"$2\"", "sh", "${in.text}", "${out.count}"],
                       "env": {"PATH": "/usr/bin:/bin"}, "out": {"count": {"path": "count"}}},
            "below": {"uses": "toy/concat@1", "in": {"parts": ["length.count"]}},
        })
    };
    lab.run(&line("abc"));
    let again = lab.run(&line("xyz"));
    assert!(ran(&again, "top") && ran(&again, "length"));
    assert_eq!(stage(&again, "below").status, StageStatus::Cached { hit: Hit::CutOff { ran: vec!["length".to_owned()] } });
}
