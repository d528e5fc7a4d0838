//! Gates that nobody could ever pass: found before anything runs, policy or no policy.

use super::{super::Trust, Breach, RuleReport, Severity};
use crate::{
    plan::{Plan, PlannedStage},
    workflow::Problem,
};

/// A rule for each way in which the people of `[trust]` cannot give what a stage asks; none where all is well.
pub(super) fn check(plan: &Plan, trust: &Trust) -> Vec<RuleReport> {
    let stages = plan.order.iter().map(|node| &plan.graph[*node]);
    let breaches: Vec<Breach> = stages.filter_map(|stage| breach(stage, trust)).collect();
    if breaches.is_empty() {
        return Vec::new();
    }
    // Without any [trust] the workflow is being tried out on a machine of its author: it is told, and the gate stays shut.
    let severity = if trust.is_empty() { Severity::Warn } else { Severity::Error };
    vec![RuleReport {
        id: "reviewers".to_owned(),
        message: "whoever a stage asks can decide".to_owned(),
        severity,
        applied: breaches.len() as u64,
        breaches,
    }]
}

fn breach(stage: &PlannedStage, trust: &Trust) -> Option<Breach> {
    let terms = stage.stage.asks()?;
    let eligible = terms.eligible(trust);
    let wanted = usize::try_from(terms.quorum.get()).unwrap_or(usize::MAX);
    let (message, help) = if trust.is_empty() {
        if !terms.needs_identities() {
            return None;
        }
        let message = format!("stage `{}` asks people who can be told apart, and flow.toml has no [trust]", stage.name);
        (message, "name the reviewers there; each makes a key with `flow keys new NAME`".to_owned())
    } else if eligible.len() < wanted {
        let (found, asked) = (eligible.len(), terms.asked());
        let message = format!("stage `{}` needs {wanted} of {asked}, and flow.toml names {found}", stage.name);
        (message, "add people or roles under [trust] in flow.toml, or ask others".to_owned())
    } else {
        return None;
    };
    let origin = &stage.origin;
    let problem = Problem {
        code: "flow::policy::reviewers",
        message,
        file: origin.file.clone(),
        span: origin.span,
        label: "here".to_owned(),
        help,
    };
    Some(Breach { stage: Some(stage.name.clone()), problem })
}
