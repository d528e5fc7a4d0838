use serde_json::json;

use super::*;
use crate::record::Message;

fn row(prompt: &str, meta: &Value) -> Record {
    let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    Record {
        row_id: prompt.to_owned(),
        source: "s".to_owned(),
        messages: vec![message("user", prompt), message("assistant", "yes")],
        meta: meta.as_object().unwrap().clone(),
    }
}

fn breach(schema: &Value, record: &Record) -> Option<(&'static str, String)> {
    let schema: Schema = serde_json::from_value(schema.clone()).unwrap();
    schema.check(record).map(|breach| (breach.rule, breach.about))
}

#[test]
fn every_rule_of_a_schema_finds_its_breach() {
    let schema = json!({
        "fields": {
            "id": {"type": "integer", "min": 1},
            "tag": {"type": "string", "nullable": true, "in": ["a", "b"]},
            "prompt": {"type": "string", "max": 10},
        },
        "roles": ["user", "assistant"],
        "last_role": "assistant",
    });
    assert_eq!(breach(&schema, &row("hi", &json!({"id": 1, "tag": "a"}))), None);
    for (record, rule, about) in [
        (row("hi", &json!({})), "missing", "id"),
        (row("hi", &json!({"id": "1"})), "type", "id"),
        (row("hi", &json!({"id": 0})), "range", "id"),
        (row("hi", &json!({"id": 1, "tag": "c"})), "value", "tag"),
        (row("far too long a prompt", &json!({"id": 1})), "range", "prompt"),
    ] {
        assert_eq!(breach(&schema, &record), Some((rule, about.to_owned())));
    }
    let mut oracle = row("hi", &json!({"id": 1}));
    oracle.messages[1].role = "oracle".to_owned();
    assert_eq!(breach(&schema, &oracle), Some(("role", "oracle".to_owned())));
    oracle.messages.pop();
    assert_eq!(breach(&schema, &oracle), Some(("last_role", "user".to_owned())));
}

fn outcome(expectation: &Value, rows: &[Record]) -> Outcome {
    let expectation: Expectation = serde_json::from_value(expectation.clone()).unwrap();
    let mut observed = Observed::new(&expectation).unwrap();
    for record in rows {
        observed.observe(record);
    }
    observed.judge()
}

#[test]
fn expectations_are_met_or_not_with_counts_and_examples() {
    let rows: Vec<Record> = (0..10)
        .map(|at| row(&format!("{at}"), &json!({"n": at, "t": if at == 3 { json!(null) } else { json!("x1") }})))
        .collect();
    for (expectation, met, unexpected) in [
        (json!({"expect": "not_null", "column": "t"}), false, 1),
        (json!({"expect": "not_null", "column": "t", "mostly": 0.9}), true, 1),
        (json!({"expect": "unique", "column": "n"}), true, 0),
        (json!({"expect": "unique", "column": "t"}), false, 8),
        (json!({"expect": "in_set", "column": "n", "values": [0, 1, 2], "mostly": 0.3}), true, 7),
        (json!({"expect": "regex", "column": "t", "regex": "^x[0-9]$"}), true, 0),
        (json!({"expect": "length_between", "column": "prompt", "min": 2}), false, 10),
        (json!({"expect": "value_between", "column": "n", "max": 8, "mostly": 0.9}), true, 1),
        (json!({"expect": "mean_between", "column": "n", "min": 4.5, "max": 4.5}), true, 0),
        (json!({"expect": "quantile_between", "column": "n", "q": 1.0, "max": 8}), false, 0),
        (json!({"expect": "row_count_between", "min": 11}), false, 0),
        (json!({"expect": "not_null", "column": "absent"}), false, 10),
        (json!({"expect": "value_between", "column": "absent", "min": 0}), false, 0),
    ] {
        let found = outcome(&expectation, &rows);
        assert_eq!((found.met, found.unexpected), (met, unexpected), "{expectation}: {found:?}");
    }
    assert_eq!(outcome(&json!({"expect": "not_null", "column": "t"}), &rows).examples, ["3"]);
}

#[test]
fn expectations_that_say_too_little_are_refused() {
    for expectation in [
        json!({"expect": "not_null"}),
        json!({"expect": "length_between", "column": "prompt"}),
        json!({"expect": "quantile_between", "column": "n", "min": 1}),
        json!({"expect": "in_set", "column": "n"}),
        json!({"expect": "regex", "column": "n", "regex": "("}),
    ] {
        let expectation: Expectation = serde_json::from_value(expectation).unwrap();
        assert!(Observed::new(&expectation).is_err(), "{expectation:?}");
    }
}

#[test]
fn the_same_rows_do_not_drift_and_another_mixture_does() {
    let profile = |share: usize| {
        let mut profile = Profile::default();
        for at in 0..100 {
            profile.count(&row("a prompt", &json!({"team": if at < share { "a" } else { "b" }, "text": format!("{at}")})));
        }
        profile
    };
    let still = profile(50).drift_from(&profile(50));
    assert!(still.iter().all(|drift| drift.psi.abs() < 1e-12) && still.iter().all(|drift| drift.column != "text"));
    let moved = profile(80).drift_from(&profile(50));
    // (0.8 - 0.5) ln(0.8 / 0.5) + (0.2 - 0.5) ln(0.2 / 0.5)
    assert!(moved[0].column == "team" && (moved[0].psi - 0.415_888).abs() < 1e-4, "{moved:?}");
    let stored: Profile = serde_json::from_value(serde_json::to_value(profile(50)).unwrap()).unwrap();
    assert_eq!(stored, profile(50));
}
