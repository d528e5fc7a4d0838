//! Finding the run that a command is about.

use std::collections::BTreeSet;

use flow_engine::{
    project::Project,
    run::{History, RunId, RunPaths, RunState},
};

use crate::{CliError, Shell};

/// A run of the project, with everything known of it.
pub(super) struct Found {
    pub(super) project: Project,
    pub(super) history: History,
    pub(super) run: RunId,
    pub(super) state: RunState,
}

impl Found {
    /// The run named so; `latest` is the newest.
    pub(super) fn run(shell: &Shell, name: &str) -> Result<Self, CliError> {
        let project = shell.project()?;
        let history = History::of(&project);
        if history.runs().is_empty() {
            let place = project.root.display();
            return Err(CliError::usage(
                format!("there is no run in {place} yet"),
                "start one with `flow run`, or name the project's folder with --project DIR",
            ));
        }
        let run = history.find(name)?;
        let state = history.load(run)?;
        Ok(Self { project, history, run, state })
    }

    pub(super) fn paths(&self) -> RunPaths {
        self.history.paths(self.run)
    }
}

/// Nobody measured a number of this name.
pub(super) fn unknown_metric(name: &str, known: &BTreeSet<&str>) -> CliError {
    let message = format!("no run measured {name:?}");
    if known.is_empty() {
        return CliError::usage(message, "these runs measured nothing; run a stage that reports numbers, such as eval/suite");
    }
    let list: Vec<&str> = known.iter().copied().take(20).collect();
    CliError::usage(message, format!("known numbers are {}", list.join(", ")))
}
