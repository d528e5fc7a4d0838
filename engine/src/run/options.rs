//! What the caller of a run decides: where it begins, how it asks and reports, and which program runs a stage.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use super::{
    approval::Question,
    event::{Entry, Reviewed, RunId, RunRequest, StageProgress},
    interrupt::Interrupts,
    state::RunState,
};
use crate::{Digest, context::Decision, govern::Signatory, store::Company};

/// Watches a run. Infallible by contract: a broken terminal must not break a run.
pub trait Observer: Send {
    /// Something happened; `state` already holds it.
    fn event(&mut self, entry: &Entry, state: &RunState);
    /// Work went on; calls may be dropped.
    fn progress(&mut self, _progress: &StageProgress) {}
}

/// Whether a run is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A new run for this request.
    New(RunRequest),
    /// Go on with this run.
    Resume(RunId),
}

/// What a person at the terminal is asked.
#[derive(Clone, Debug)]
pub struct AskRequest {
    /// The stage that needs the decision.
    pub stage: String,
    /// Its action key.
    pub key: Digest,
    /// What is to be reviewed.
    pub reviewed: Vec<Reviewed>,
    /// Folders with the reports among the reviewed artifacts.
    pub reports: Vec<PathBuf>,
    /// What is asked, of whom, and how far the answer is.
    pub question: Question,
    /// Why this person may not approve it, if they may not.
    pub objection: Option<String>,
}

/// Asks a person on the spot; none leaves the stage parked. Called on a thread of its own.
pub type Ask = Box<dyn FnMut(&AskRequest) -> Option<Decision> + Send>;

/// The program that runs one stage in a process of its own; `--spec FILE` is appended.
#[derive(Clone, Debug)]
pub struct RunnerProgram {
    /// The executable.
    pub program: PathBuf,
    /// What comes before `--spec FILE`.
    pub arguments: Vec<OsString>,
    /// Added to the inherited environment.
    pub environment: Vec<(String, String)>,
}

impl RunnerProgram {
    /// This executable with the hidden command `exec-stage`.
    pub fn current() -> std::io::Result<Self> {
        // mimalloc must not hand pages back and forth between training steps.
        let environment = vec![("MIMALLOC_PURGE_DELAY".to_owned(), "-1".to_owned())];
        Ok(Self { program: std::env::current_exe()?, arguments: vec!["exec-stage".into()], environment })
    }
}

/// How a plan is run.
pub struct RunOptions {
    /// New or resumed.
    pub start: Start,
    /// What a new run is called; a fresh name if none.
    pub run: Option<RunId>,
    /// The program that runs a stage.
    pub runner: RunnerProgram,
    /// Stages approved in advance by `--approve`.
    pub approve: Vec<String>,
    /// Who is recorded as the decider of `approve`.
    pub person: String,
    /// Signs those decisions and those taken at the terminal; a key of the project's own when left out.
    pub signatory: Option<Signatory>,
    /// Asks at the terminal.
    pub ask: Option<Ask>,
    /// Requests to stop.
    pub interrupts: Interrupts,
    /// What to do about work that another run is doing already.
    pub company: Company,
    /// How long a stage may take to stop at a safe point after its timeout.
    pub grace: Duration,
    /// No wait before a repeat is longer than this.
    pub longest_backoff: Duration,
}

impl RunOptions {
    /// The usual way: this executable runs stages, nobody is asked, nothing interrupts.
    pub fn new(start: Start) -> std::io::Result<Self> {
        Ok(Self {
            start,
            run: None,
            runner: RunnerProgram::current()?,
            approve: Vec::new(),
            person: "unknown".to_owned(),
            signatory: None,
            ask: None,
            interrupts: Interrupts::never(),
            company: Company::Wait,
            grace: Duration::from_secs(30),
            longest_backoff: Duration::from_mins(10),
        })
    }
}
