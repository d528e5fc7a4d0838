use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

struct World {
    params: BTreeMap<String, Value>,
    metrics: BTreeMap<String, f64>,
    stages: BTreeMap<String, Reading>,
}

impl World {
    fn new() -> Self {
        let train = Reading { status: "succeeded".to_owned(), metrics: BTreeMap::from([("loss".to_owned(), 0.5)]) };
        let metrics = [("f1", 0.7), ("rows", 120.0), ("null_fraction.text", 0.0), ("baseline.f1", 0.6)];
        Self {
            params: BTreeMap::from([
                ("min_f1".to_owned(), json!(0.62)),
                ("epochs".to_owned(), json!(3)),
                ("langs".to_owned(), json!(["en", "fr"])),
            ]),
            metrics: metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            stages: BTreeMap::from([("tune/train".to_owned(), train.clone()), ("eval".to_owned(), train)]),
        }
    }

    fn ask(&self, text: &str, prefix: &str) -> Result<bool, EvaluationError> {
        let scope = Scope { params: &self.params, prefix, metrics: &self.metrics, stages: &self.stages };
        Expression::compile(text, Place::Gate).unwrap().holds(&scope)
    }
}

#[test]
fn numbers_of_both_kinds_compare() {
    let world = World::new();
    for text in [
        "metrics.f1 >= params.min_f1",
        "metrics.rows >= 100",
        "metrics.rows == 120",
        "params.epochs > 1 && params.epochs < 3.5",
        "metrics[\"null_fraction.text\"] == 0",
        "metrics.null_fraction.text <= 0.1",
        "baseline == null || metrics.f1 >= baseline.f1 - 0.005",
        "stages.eval.metrics.loss < 1 && stages.eval.status == 'succeeded'",
        "'en' in params.langs && params.langs.all(x, size(x) == 2)",
    ] {
        assert_eq!(world.ask(text, ""), Ok(true), "{text}");
    }
    assert_eq!(world.ask("metrics.f1 > 0.9", ""), Ok(false));
}

#[test]
fn a_component_sees_its_own_stages() {
    assert_eq!(World::new().ask("stages.train.metrics.loss == 0.5", "tune/"), Ok(true));
}

#[test]
fn without_a_baseline_the_baseline_is_null() {
    let mut world = World::new();
    world.metrics.remove("baseline.f1");
    assert_eq!(world.ask("baseline == null || metrics.f1 >= baseline.f1", ""), Ok(true));
}

#[test]
fn a_missing_metric_and_a_wrong_result_are_explained() {
    let world = World::new();
    let missing = world.ask("metrics.f2 > 0", "").unwrap_err();
    assert!(missing.reason.contains("metrics.f2"), "{missing}");
    assert!(missing.help.unwrap().contains("f1"));
    assert!(world.ask("metrics.f1", "").unwrap_err().reason.contains("not true or false"));
    assert!(world.ask("params.langs > 1", "").is_err());
}

#[test]
fn paths_are_named_once_and_bound_variables_are_not() {
    let text = "stages[\"a/b\"].metrics.x > 1 && params.langs.exists(x, x == params.lang) && metrics.f1 < metrics.f1";
    let expression = Expression::compile(text, Place::Gate).unwrap();
    let names: Vec<_> = expression.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["metrics.f1", "params.lang", "params.langs", "stages.a/b.metrics.x"]);
    assert!(expression.stages().contains("a/b"));
}

#[test]
fn unknown_roots_and_broken_texts_are_refused_with_help() {
    let unknown = Expression::compile("metric.f1 > 1", Place::Gate).unwrap_err();
    assert!(unknown.help.contains("`metrics`"), "{}", unknown.help);
    assert!(Expression::compile("metrics.f1 > 1", Place::Condition).is_err());
    for text in ["metrics.f1 >", "", "a b", "metrics.f1 > 1 &", "(", "\"open"] {
        assert!(Expression::compile(text, Place::Gate).is_err(), "{text:?}");
    }
}

#[test]
fn an_expectation_is_a_comparison_about_its_metric() {
    assert_eq!(Expression::compile_expectation("rows", ">= 100").unwrap().text, "metrics.rows >= 100");
    assert_eq!(Expression::compile_expectation("a.b", "== 0").unwrap().text, "metrics[\"a.b\"] == 0");
    assert!(Expression::compile_expectation("rows", "100").unwrap_err().help.contains(">= 100"));
}

#[test]
fn readings_show_the_values_behind_a_verdict() {
    let world = World::new();
    let scope = Scope { params: &world.params, prefix: "", metrics: &world.metrics, stages: &world.stages };
    let expression = Expression::compile("metrics.f1 >= params.min_f1", Place::Gate).unwrap();
    assert_eq!(expression.readings(&scope), [("metrics.f1".to_owned(), json!(0.7)), ("params.min_f1".to_owned(), json!(0.62))]);
}
