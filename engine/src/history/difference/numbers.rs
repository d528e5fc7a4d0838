//! Numbers of two runs side by side.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{history::metrics, run::RunState};

/// A number that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricDifference {
    /// `stage.metric`.
    pub name: String,
    /// In the first run.
    pub old: Option<f64>,
    /// In the second run.
    pub new: Option<f64>,
    /// By how much it grew.
    pub change: Option<f64>,
    /// By which part of its old size it grew; none when it was 0.
    pub relative: Option<f64>,
}

impl MetricDifference {
    fn of(name: &str, old: Option<f64>, new: Option<f64>) -> Self {
        let change = old.zip(new).map(|(old, new)| new - old);
        let relative = change.zip(old).filter(|(_, old)| *old != 0.0).map(|(change, old)| change / old.abs());
        Self { name: name.to_owned(), old, new, change, relative }
    }
}

/// Every number that is not the same in both runs, by name.
pub(super) fn metric_differences(from: &RunState, to: &RunState) -> Vec<MetricDifference> {
    let (old, new) = (metrics(from), metrics(to));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let pairs = names.into_iter().map(|name| (name, old.get(name).copied(), new.get(name).copied()));
    pairs.filter(|(_, old, new)| old != new).map(|(name, old, new)| MetricDifference::of(name, old, new)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_absolutely_and_as_a_part_of_what_was() {
        let grown = MetricDifference::of("eval.f1", Some(-0.5), Some(-0.25));
        assert_eq!((grown.change, grown.relative), (Some(0.25), Some(0.5)));
        let from_zero = MetricDifference::of("x", Some(0.0), Some(1.0));
        assert_eq!((from_zero.change, from_zero.relative), (Some(1.0), None));
        assert_eq!(MetricDifference::of("x", None, Some(1.0)).change, None);
    }
}
