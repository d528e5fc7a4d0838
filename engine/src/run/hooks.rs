//! Fires a workflow's hooks at the end of a run, on a thread that may wait for receivers and commands.

use std::sync::Arc;

use super::{
    RunState,
    event::{Event, Outcome},
    executor::Shared,
};
use crate::export::hooks::{self, Ending};

/// What the journal should say of every hook that fits the ending.
pub(crate) async fn fire(shared: &Arc<Shared>, state: &RunState, (outcome, seconds): (Outcome, f64)) -> Vec<Event> {
    if shared.plan.hooks.is_empty() {
        return Vec::new();
    }
    let (shared, state) = (shared.clone(), state.clone());
    let task = tokio::task::spawn_blocking(move || {
        let ending = Ending { project: &shared.project, paths: &shared.paths, state: &state, outcome, seconds };
        hooks::fire(&shared.plan.hooks, &ending)
    });
    task.await.unwrap_or_else(|error| {
        tracing::warn!(%error, "A hook died.");
        Vec::new()
    })
}
