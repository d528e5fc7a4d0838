//! The guard on rows with a planted imbalance.

use flow_text::record::Record;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Bench, row, with_meta};

/// 60 women, 45 of them angry; 40 men, 10 of them angry; 20 rows about nobody.
fn planted() -> Vec<Record> {
    let ticket = |at: u32, who: &str, angry: bool| {
        let mood = if angry { "angry" } else { "calm" };
        with_meta(row(&format!("{who}{at}"), &format!("{who} called about invoice {at}"), mood), "sentiment", mood)
    };
    let women = (0..60).map(|at| ticket(at, "she", at < 45));
    let men = (0..40).map(|at| ticket(at, "he", at < 10));
    women.chain(men).chain((0..20).map(|at| ticket(at, "somebody", false))).collect()
}

#[test]
fn the_planted_imbalance_is_measured_and_rows_pass_unchanged() {
    let rows = planted();
    let run = Bench::new().rows("rows", &rows).run::<Bias>(json!({"label": "sentiment"})).unwrap();
    assert_eq!(run.rows("rows"), rows);
    assert_eq!(run.metrics(["rows_in", "rows_out", "mentions_gender", "imbalance_gender"]), json!([120.0, 120.0, 100.0, 0.2]));
    let data = run.report("report");
    let labels = data["data"]["labels"].as_array().unwrap();
    let angry = labels.iter().find(|l| l["value"] == "angry" && l["rates"]["group"] == "female").unwrap();
    assert_eq!((&angry["rates"]["rate"], &angry["rates"]["difference"]["value"]), (&json!(0.75), &json!(0.5)));
    let strongest = &data["data"]["associations"][0];
    assert!(strongest["z"].as_f64().unwrap().abs() > 1.96 && ["angry", "calm"].contains(&strongest["word"].as_str().unwrap()));
}

#[test]
fn gates_pass_fail_or_say_that_they_cannot_tell() {
    let bench = Bench::new().rows("rows", &planted());
    let gated =
        |gates: Value, on_fail: &str| bench.run::<Bias>(json!({"label": "sentiment", "gates": gates, "on_fail": on_fail}));
    let pass = gated(json!({"imbalance": {"gender": 0.3}}), "fail").unwrap();
    assert_eq!(
        (pass.metrics(["gates_failed", "gates_inconclusive"]), &pass.report("report")["verdict"]),
        (json!([0.0, 0.0]), &json!("pass"))
    );
    let unclear = gated(json!({"imbalance": {"gender": 0.15, "religion": 0.1}}), "fail").unwrap();
    assert_eq!(unclear.metrics(["gates_failed", "gates_inconclusive"]), json!([0.0, 2.0]));
    let strict = json!({"label_difference": {"gender": 0.1}});
    let error = gated(strict.clone(), "fail").err().unwrap();
    assert!(error.message.contains("sentiment = angry of female is 0.500") && error.help.is_some(), "{error}");
    let warned = gated(strict, "warn").unwrap();
    assert_eq!((warned.metrics(["gates_failed"]), &warned.report("report")["verdict"]), (json!([4.0]), &json!("fail")));
    assert!(gated(json!({"association_z": 1.96}), "fail").is_err());
}

#[test]
fn names_that_mean_nothing_are_refused() {
    let bench = Bench::new().rows("rows", &planted());
    for (with, words) in [
        (json!({"label": "sentimnt"}), "sentimnt"),
        (json!({"reference": {"gender": {"woman": 0.5}}}), "no group woman"),
        (json!({"axes": ["age"], "gates": {"imbalance": {"gender": 0.1}}}), "not measured"),
    ] {
        assert!(bench.run::<Bias>(with).err().unwrap().message.contains(words));
    }
}

#[test]
fn bytes_do_not_depend_on_threads() {
    Bench::new().rows("rows", &planted()).assert_same_on_threads::<Bias>(&json!({"label": "sentiment"}));
}
