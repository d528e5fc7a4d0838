//! Who sits here: the keys they sign with, and how a run remembers who started it.

use flow_engine::{
    govern::{KEY_VARIABLE, KeyRing, Signatory, Starter, authors},
    plan::Plan,
    project::Project,
};

use super::drive::person;
use crate::environment;

/// The keys of the user; of the project where there is no home.
pub(super) fn ring(project: &Project) -> KeyRing {
    KeyRing::of_user(&environment).unwrap_or_else(|| KeyRing::new(project.state.join("keys")))
}

/// Who signs decisions that are taken here.
pub(super) fn signatory(project: &Project) -> Signatory {
    Signatory::new(ring(project)).with_variable(environment(KEY_VARIABLE))
}

/// Who starts a run. The author of the commit is asked for only where somebody wants four eyes.
pub(super) fn starter(project: &Project, plan: &Plan) -> Starter {
    let mut stages = plan.graph.node_weights();
    let four_eyes = stages.any(|stage| stage.stage.asks().is_some_and(|terms| terms.four_eyes));
    Starter {
        user: person(),
        keys: signatory(project).public_keys(),
        authors: if four_eyes { authors(&project.workflow_file) } else { Vec::new() },
    }
}
