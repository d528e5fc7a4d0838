//! Running a plan: the dispatcher owns the truth, attempts are processes of their own, observers only watch.
//!
//! Every event is folded into [`RunState`], written to the journal, and shown to the observers, in that order. Results
//! live in the store; the journal is the narrative. Leans on `store`, `journal`, and `plan`; knows no terminal.

mod admission;
mod approval;
mod attempt;
mod auditing;
mod checkpoints;
mod determinism;
mod dispatcher;
mod engine;
mod error;
mod event;
mod executor;
mod history;
mod hooks;
mod inputs;
mod interrupt;
mod judge;
mod lineage;
mod lookup;
mod memory;
mod opening;
mod options;
mod policing;
mod prepare;
mod preview;
mod retries;
mod room;
mod roots;
mod runner;
mod segment;
mod session;
mod spec;
mod stall;
mod state;
mod summary;
mod taint;
mod undeclared;
mod why;

use std::sync::Arc;

pub use approval::{ApprovalRecord, Earlier, Question, approve, question};
pub(crate) use attempt::GPUS;
pub use checkpoints::{Outlook, RESUMED_FROM_STEP};
pub use determinism::{Divergence, Repeatability, check_repeatability};
pub use engine::{Cancelled, Urgency, cancel};
pub use error::RunError;
pub use event::{
    Clause, Entry, Event, GateVerdict, Hit, Outcome, Reviewed, RunId, RunRequest, SkipReason, StageOutline, StageProgress,
};
pub use history::{History, RunPaths};
pub use inputs::LostInput;
pub use interrupt::{Hangup, Interrupt, Interrupts};
pub use options::{Ask, AskRequest, Observer, RunOptions, RunnerProgram, Start};
pub use preview::{Forecast, Preimages, Preview, preview};
pub use runner::exec_stage;
pub use segment::{Segment, SegmentReader};
pub(crate) use session::reap_orphans;
pub use state::{IllegalTransition, LostObject, RunState, StageState, StageStatus};
pub use summary::{RunSummary, StageSummary};
pub use undeclared::{Sighting, undeclared};
pub use why::{Comparison, Reason, Why, why};

pub use crate::store::Supply;
use crate::{StageRegistry, plan::Plan, project::Project};

/// One execution of a plan.
pub struct Run;

impl Run {
    /// Runs `plan` to its end, or until it is parked or interrupted. Resuming is the same with [`Start::Resume`].
    pub async fn execute(
        plan: Arc<Plan>,
        place: (Arc<Project>, Arc<StageRegistry>),
        options: RunOptions,
        observers: Vec<Box<dyn Observer>>,
    ) -> Result<RunSummary, RunError> {
        let (project, registry) = place;
        dispatcher::Dispatcher::open(plan, (project, registry), options, observers)?.run().await
    }
}
