//! What keeps a run from going on. A failed stage is not an error of the run but part of its summary.

use std::path::PathBuf;

use super::{RunId, state::IllegalTransition};
use crate::{govern::GovernError, journal::JournalError, store::StoreError};

/// A run that could not be started, watched, or gone on with.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RunError {
    /// The store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// The journal.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
    /// A decision, or the audit log.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Govern(#[from] GovernError),
    /// The journal contradicts itself.
    #[error("cannot follow the journal of run {run}")]
    #[diagnostic(code(flow::run::journal), help("start a new run with `flow run`: finished stages are not done again"))]
    History {
        /// The run.
        run: RunId,
        /// What does not fit.
        #[source]
        source: IllegalTransition,
    },
    /// There is no such run.
    #[error("there is no run {name:?} in {}", folder.display())]
    #[diagnostic(code(flow::run::unknown), help("`flow runs` lists the runs; start one with `flow run`"))]
    UnknownRun {
        /// What was asked for.
        name: String,
        /// Where runs lie.
        folder: PathBuf,
    },
    /// More than one run is named so.
    #[error("{count} runs are called {name:?}")]
    #[diagnostic(
        code(flow::run::ambiguous),
        help("give more of the name: the first is {first}, the last {last}; `flow runs` lists them")
    )]
    AmbiguousRun {
        /// What was asked for.
        name: String,
        /// How many there are.
        count: usize,
        /// The oldest of them.
        first: RunId,
        /// The newest of them.
        last: RunId,
    },
    /// An engine works on the run.
    #[error("cannot remove run {run}: it is going on")]
    #[diagnostic(code(flow::run::live), help("stop it first, or wait for its end; `flow status {run}` shows it"))]
    Live {
        /// The run.
        run: RunId,
    },
    /// The run has no such stage.
    #[error("run {run} has no stage {stage:?}")]
    #[diagnostic(code(flow::run::unknown_stage), help("its stages are {known}"))]
    UnknownStage {
        /// The run.
        run: RunId,
        /// What was asked for.
        stage: String,
        /// Its stages.
        known: String,
    },
    /// The run has no such output.
    #[error("run {run} has no output {name:?}")]
    #[diagnostic(code(flow::run::unknown_output), help("name it as STAGE.PORT; its outputs are {known}"))]
    UnknownOutput {
        /// The run.
        run: RunId,
        /// What was asked for.
        name: String,
        /// Its outputs.
        known: String,
    },
    /// The workflow was edited since the run was started.
    #[error("the stages of the workflow changed since run {run} was started: {}", changes.join("; "))]
    #[diagnostic(code(flow::run::changed), help("start a new run with `flow run`: what did not change is not done again"))]
    Changed {
        /// The run.
        run: RunId,
        /// What was added, removed, or became something else.
        changes: Vec<String>,
    },
    /// Nobody works on the run.
    #[error("run {run} is not running")]
    #[diagnostic(code(flow::run::not_running), help("`flow status` shows how it ended; `flow resume` goes on with it"))]
    NotRunning {
        /// The run.
        run: RunId,
    },
    /// The stage waits for no decision.
    #[error("stage {stage:?} of run {run} does not wait for a decision")]
    #[diagnostic(code(flow::run::not_parked), help("`flow status` shows which stages do"))]
    NotParked {
        /// The run.
        run: RunId,
        /// The stage.
        stage: String,
    },
    /// A stage to approve in advance is not in the plan.
    #[error("cannot approve stage {stage:?}: the workflow has no such stage")]
    #[diagnostic(code(flow::run::unknown_approval), help("its stages are {known}"))]
    UnknownApproval {
        /// What was asked for.
        stage: String,
        /// The plan's stages.
        known: String,
    },
    /// A stage to approve in advance asks for no decision.
    #[error("cannot approve stage {stage:?}: it asks for no decision")]
    #[diagnostic(code(flow::run::nothing_to_approve), help("stages that do: {asking}"))]
    NothingToApprove {
        /// What was asked for.
        stage: String,
        /// The plan's stages that ask for one, in words.
        asking: String,
    },
    /// A task of the engine died.
    #[error("the engine lost the task of stage {stage:?}")]
    #[diagnostic(code(flow::run::lost), help("go on with `flow resume`, and report this: it is a fault of flow"))]
    Lost {
        /// The stage.
        stage: String,
    },
}
