//! What the numbers of a run say together: gated metrics first, and base against tuned.

use std::collections::{BTreeMap, BTreeSet};

use flow_engine::run::GateVerdict;

/// Metrics that judged expressions read, in their order.
pub(crate) fn mentioned(verdicts: &[GateVerdict]) -> Vec<String> {
    let mut names = Vec::new();
    for verdict in verdicts {
        for rest in verdict.expression.split("metrics.").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.')).collect();
            let name = name.trim_end_matches('.').to_owned();
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// One metric of a tuned model and of what it was tuned from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comparison {
    pub(super) metric: String,
    /// By arm: `base`, and others that begin so, such as `base_shots`.
    pub(super) bases: BTreeMap<String, f64>,
    pub(super) tuned: f64,
}

/// Metrics that were measured for a tuned model and at least one base: `tuned_f1` and `base_f1`, or with dots.
pub(super) fn comparisons(metrics: &BTreeMap<String, f64>) -> Vec<Comparison> {
    let mut found = Vec::new();
    for (name, tuned) in metrics {
        let Some(ending) = name.strip_prefix("tuned").filter(|ending| ending.starts_with(['_', '.'])) else { continue };
        let bases: BTreeMap<String, f64> = metrics
            .iter()
            .filter(|(other, _)| other.starts_with("base"))
            .filter_map(|(other, value)| Some((other.strip_suffix(ending)?.to_owned(), *value)))
            .collect();
        if bases.contains_key("base") {
            let metric = ending.trim_start_matches(['_', '.']).to_owned();
            found.push(Comparison { metric, bases, tuned: *tuned });
        }
    }
    found
}

/// Every base that one of them was measured for, in the order of columns.
pub(super) fn arms(compared: &[Comparison]) -> BTreeSet<&str> {
    compared.iter().flat_map(|one| one.bases.keys()).map(String::as_str).collect()
}

/// What an arm is called above its column: `base_shots` as `base, shots`.
pub(super) fn arm_title(arm: &str) -> String {
    arm.replace('_', ", ")
}

#[cfg(test)]
mod tests {
    use flow_engine::run::Clause;

    use super::*;

    #[test]
    fn metrics_of_expressions_are_found_once_and_in_order() {
        let verdict = |expression: &str| GateVerdict {
            clause: Clause::Gate,
            expression: expression.to_owned(),
            passed: true,
            detail: String::new(),
        };
        let verdicts = [verdict("metrics.f1 >= params.min && metrics.tuned.nll < 2.0"), verdict("metrics.f1 > 0.1")];
        assert_eq!(mentioned(&verdicts), ["f1", "tuned.nll"]);
    }

    #[test]
    fn every_base_is_set_against_the_tuned_model() {
        let metrics = [
            ("base.f1", 0.1),
            ("tuned.f1", 0.9),
            ("base_nll", 3.0),
            ("base_shots_nll", 2.0),
            ("tuned_nll", 1.0),
            ("tuned_alone", 1.0),
        ];
        let metrics = metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let comparison = |metric: &str, bases: &[(&str, f64)], tuned| Comparison {
            metric: metric.to_owned(),
            bases: bases.iter().map(|(arm, value)| ((*arm).to_owned(), *value)).collect(),
            tuned,
        };
        let expected = [comparison("f1", &[("base", 0.1)], 0.9), comparison("nll", &[("base", 3.0), ("base_shots", 2.0)], 1.0)];
        assert_eq!(comparisons(&metrics), expected);
    }
}
