//! Numbers of a run by name: `stage.metric`, or a bare `metric`.

use std::collections::BTreeMap;

use crate::run::RunState;

/// Every number of a run as `stage.metric`.
pub fn metrics(state: &RunState) -> BTreeMap<String, f64> {
    let stages = state.stages.iter();
    stages.flat_map(|stage| stage.metrics.iter().map(|(name, value)| (format!("{}.{name}", stage.name), *value))).collect()
}

/// The number a person means by `name`: that of a stage, else that of the last stage that measured it.
pub fn metric(state: &RunState, name: &str) -> Option<f64> {
    found(state, name).map(|(_, value)| value)
}

/// The stage that measured the number a person means by `name`.
pub fn metric_stage<'a>(state: &'a RunState, name: &str) -> Option<&'a str> {
    found(state, name).map(|(stage, _)| stage)
}

fn found<'a>(run: &'a RunState, name: &str) -> Option<(&'a str, f64)> {
    // Both names may hold dots.
    let split = name.match_indices('.').find_map(|(at, _)| {
        let stage = run.stage(name.get(..at)?)?;
        Some((stage.name.as_str(), *stage.metrics.get(name.get(at + 1..)?)?))
    });
    let measured = || run.stages.iter().rev().find_map(|stage| Some((stage.name.as_str(), *stage.metrics.get(name)?)));
    split.or_else(measured)
}
