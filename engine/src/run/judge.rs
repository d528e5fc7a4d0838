//! Asking the expressions of a workflow: `if:` before a stage, `gate:` and `expect:` after it.

use std::collections::BTreeMap;

use super::event::{Clause, GateVerdict};
use crate::{
    StageError,
    expression::{Expression, Reading, Scope},
    plan::PlannedStage,
};

/// Whether the stage's `if:` holds. An expression without an answer is the workflow's mistake.
pub(crate) fn condition(stage: &PlannedStage, stages: &BTreeMap<String, Reading>) -> Result<bool, StageError> {
    let nothing = BTreeMap::new();
    let Some(expression) = &stage.condition else { return Ok(true) };
    expression.holds(&stage.scope(&nothing, stages)).map_err(|error| {
        let stage = StageError::input(error.to_string());
        match error.help {
            Some(help) => stage.help(help),
            None => stage,
        }
    })
}

/// The verdicts of a stage with outputs. An expression without an answer counts as not met, and says why.
pub(crate) fn verdicts(
    stage: &PlannedStage,
    metrics: &BTreeMap<String, f64>,
    stages: &BTreeMap<String, Reading>,
) -> Vec<GateVerdict> {
    let scope = stage.scope(metrics, stages);
    let expectations = stage.expectations.iter().map(|expression| verdict(Clause::Expect, expression, &scope));
    let gates = stage.gates.iter().map(|expression| verdict(Clause::Gate, expression, &scope));
    expectations.chain(gates).collect()
}

fn verdict(clause: Clause, expression: &Expression, scope: &Scope<'_>) -> GateVerdict {
    let readings = expression.readings(scope);
    let shown = || readings.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ");
    if clause == Clause::Expect
        && let Some(error) = expression.unmeasured(scope)
    {
        let detail = error.help.map_or_else(|| error.reason.clone(), |help| format!("{}; {help}", error.reason));
        return GateVerdict { clause, expression: expression.text.clone(), passed: false, detail };
    }
    let (passed, detail) = match expression.holds(scope) {
        Ok(passed) => (passed, shown()),
        Err(error) => (false, error.help.map_or_else(|| error.reason.clone(), |help| format!("{}; {help}", error.reason))),
    };
    GateVerdict { clause, expression: expression.text.clone(), passed, detail }
}
