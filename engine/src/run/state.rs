//! The state of a run: a pure fold of its events. The dispatcher, `flow status`, and `flow resume` use the same function.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Clause, Entry, Event, GateVerdict, Hit, Outcome, Reviewed, RunId, RunRequest, SkipReason, StageOutline};
use crate::{Artifact, Digest, Named, StageError, context::Decision, govern::ReviewTerms, store::Owner};

/// An entry that cannot follow what was applied before.
#[derive(Debug, thiserror::Error)]
#[error("entry {seq} of the journal does not fit: {reason}")]
pub struct IllegalTransition {
    /// The entry's number.
    pub seq: u64,
    /// Why not.
    pub reason: String,
}

/// What is known of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunState {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// What was asked for.
    pub request: RunRequest,
    /// Stages in topological order.
    pub stages: Vec<StageState>,
    /// When it was started.
    pub started_at: Timestamp,
    /// The time of the last entry.
    pub updated_at: Timestamp,
    /// How it ended; none while it runs or after its engine was killed.
    pub outcome: Option<Outcome>,
    /// The number of the next entry.
    pub next_seq: u64,
    /// Places of stages by name: every entry asks for one.
    #[serde(skip)]
    index: HashMap<String, usize>,
}

/// An object that a stage gave before and that had to be made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostObject {
    /// The object.
    pub digest: Digest,
    /// What was wrong with it.
    pub reason: String,
}

/// What is known of one stage. What few stages have is boxed: a run may have a hundred thousand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageState {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The stages it waits for.
    pub after: Vec<String>,
    /// Where it stands.
    pub status: StageStatus,
    /// Its action key, once known.
    pub key: Option<Digest>,
    /// Attempts started so far.
    pub attempts: u32,
    /// The process of the current attempt.
    pub pid: Option<u32>,
    /// When the current or last attempt was started.
    pub started_at: Option<Timestamp>,
    /// How long the work took, now or when it was cached.
    pub seconds: Option<f64>,
    /// Outputs by port.
    pub outputs: Named<Artifact>,
    /// What it measured.
    pub metrics: BTreeMap<String, f64>,
    /// Judged gates and expectations.
    pub verdicts: Vec<GateVerdict>,
    /// What is to be reviewed.
    pub reviewed: Vec<Reviewed>,
    /// Of whom it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asking: Option<Box<ReviewTerms>>,
    /// What a person decided.
    pub decision: Option<Box<Decision>>,
    /// The last error.
    pub error: Option<Box<StageError>>,
    /// Objects of it that were missing or damaged, so that it ran again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostObject>,
    /// Sources that changed while it read them, so that its result was not recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tainted: Vec<PathBuf>,
}

/// Where a stage stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum StageStatus {
    /// Nothing happened yet.
    Pending,
    /// Somebody else works on it.
    Waiting {
        /// Who.
        owner: Box<Owner>,
    },
    /// A process works on it.
    Running,
    /// An attempt failed; another follows.
    Retrying,
    /// A person has to decide.
    Parked,
    /// Its outputs are committed by this run.
    Succeeded,
    /// A recorded result is used.
    Cached {
        /// Why.
        hit: Hit,
    },
    /// Its outputs are committed, but a gate was not met.
    GateFailed,
    /// It failed.
    Failed,
    /// It is not considered.
    Skipped {
        /// Why.
        reason: SkipReason,
    },
    /// Its attempt was stopped; a resume goes on.
    Interrupted,
}

impl StageStatus {
    /// Whether no more work is done for the stage in this run.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Succeeded | Self::Cached { .. } | Self::GateFailed | Self::Failed | Self::Skipped { .. } => true,
            Self::Pending | Self::Waiting { .. } | Self::Running | Self::Retrying | Self::Parked | Self::Interrupted => false,
        }
    }

    /// Whether consumers may use its outputs.
    pub fn has_outputs(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Cached { .. })
    }
}

impl StageState {
    fn new(outline: &StageOutline) -> Self {
        Self {
            name: outline.name.clone(),
            kind: outline.kind.clone(),
            after: outline.after.clone(),
            status: StageStatus::Pending,
            key: None,
            attempts: 0,
            pid: None,
            started_at: None,
            seconds: None,
            outputs: Named::default(),
            metrics: BTreeMap::new(),
            verdicts: Vec::new(),
            reviewed: Vec::new(),
            asking: None,
            decision: None,
            error: None,
            lost: Vec::new(),
            tainted: Vec::new(),
        }
    }

    /// Forgets what a resume finds out again; attempts go on counting.
    fn reset(&mut self) {
        self.status = StageStatus::Pending;
        self.pid = None;
        self.seconds = None;
        self.outputs = Named::default();
        self.metrics.clear();
        self.verdicts.clear();
        self.reviewed.clear();
        self.error = None;
        self.tainted.clear();
    }
}

impl RunState {
    /// Begins with the first entry of a journal, which must be [`Event::RunStarted`].
    pub fn begin(entry: &Entry) -> Result<Self, IllegalTransition> {
        let Event::RunStarted { run, workflow, request, stages } = &entry.event else {
            return Err(IllegalTransition { seq: entry.seq, reason: "the first entry must start the run".to_owned() });
        };
        Ok(Self {
            run: *run,
            workflow: workflow.clone(),
            request: request.clone(),
            stages: stages.iter().map(StageState::new).collect(),
            started_at: entry.at,
            updated_at: entry.at,
            outcome: None,
            next_seq: entry.seq + 1,
            index: stages.iter().enumerate().map(|(index, stage)| (stage.name.clone(), index)).collect(),
        })
    }

    /// Folds a whole journal.
    pub fn replay<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, IllegalTransition> {
        let mut entries = entries.into_iter();
        let Some(first) = entries.next() else {
            return Err(IllegalTransition { seq: 0, reason: "the journal is empty".to_owned() });
        };
        let mut state = Self::begin(first)?;
        for entry in entries {
            state.apply(entry)?;
        }
        Ok(state)
    }

    /// One stage by name.
    pub fn stage(&self, name: &str) -> Option<&StageState> {
        self.index.get(name).and_then(|index| self.stages.get(*index))
    }

    /// Folds one more entry. A refused entry leaves the state as it was.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), IllegalTransition> {
        let refuse = |reason: String| IllegalTransition { seq: entry.seq, reason };
        if entry.seq != self.next_seq {
            return Err(refuse(format!("expected entry {}", self.next_seq)));
        }
        match &entry.event {
            Event::RunStarted { .. } => return Err(refuse("the run was started before".to_owned())),
            Event::RunResumed { .. } => {
                self.outcome = None;
                self.stages.iter_mut().for_each(StageState::reset);
            }
            Event::RunFinished { outcome, .. } => self.outcome = Some(*outcome),
            Event::HookFired { .. } | Event::Unknown => {}
            event => {
                let name = event.stage().unwrap_or_default();
                let index = self.index.get(name).ok_or_else(|| refuse(format!("there is no stage {name:?}")))?;
                let stage = self.stages.get_mut(*index).ok_or_else(|| refuse(format!("there is no stage {name:?}")))?;
                stage.apply(event, entry.at).map_err(refuse)?;
            }
        }
        self.next_seq += 1;
        self.updated_at = entry.at;
        Ok(())
    }
}

impl StageState {
    fn apply(&mut self, event: &Event, at: Timestamp) -> Result<(), String> {
        self.admits(event)?;
        match event {
            Event::StageWaiting { key, owner, .. } => {
                self.key = Some(*key);
                self.status = StageStatus::Waiting { owner: Box::new(owner.clone()) };
            }
            Event::StageParked { key, reviewed, asking, .. } => self.park(*key, reviewed, asking.clone()),
            Event::StageDecided { key, decision, reviewed, .. } => self.decide(*key, decision, reviewed),
            Event::StageCached { key, hit, outputs, metrics, seconds, .. } => {
                self.finish(*key, (outputs, metrics, *seconds), StageStatus::Cached { hit: hit.clone() });
            }
            Event::StageSucceeded { key, outputs, metrics, seconds, .. } => {
                self.finish(*key, (outputs, metrics, *seconds), StageStatus::Succeeded);
            }
            Event::StageStarted { key, attempt, pid, .. } => self.start(*key, *attempt, *pid, at),
            Event::StageRetried { error, .. } => self.stop(StageStatus::Retrying, Some(error)),
            Event::StageFailed { key, error, .. } => {
                self.key = key.or(self.key);
                self.stop(StageStatus::Failed, Some(error));
            }
            Event::StageInterrupted { .. } => self.stop(StageStatus::Interrupted, None),
            Event::StageSkipped { reason, .. } => self.status = StageStatus::Skipped { reason: reason.clone() },
            Event::StageJudged { verdicts, .. } => self.judge(verdicts),
            Event::StageTainted { changed, .. } => self.tainted.clone_from(changed),
            Event::StageLost { digest, reason, .. } => self.lose(*digest, reason),
            Event::SourceReady { .. }
            | Event::RunStarted { .. }
            | Event::RunResumed { .. }
            | Event::RunFinished { .. }
            | Event::HookFired { .. }
            | Event::Unknown => {}
        }
        Ok(())
    }

    /// Whether an event may follow what is known: what ended stays as it is, but for a verdict or the loss of an output.
    fn admits(&self, event: &Event) -> Result<(), String> {
        let judged = matches!(event, Event::StageJudged { .. });
        let lost = matches!(event, Event::StageLost { .. });
        if self.status.is_terminal() && !lost && !(judged && self.status.has_outputs()) {
            return Err(format!("stage {:?} has ended already", self.name));
        }
        if judged && !self.status.has_outputs() {
            return Err(format!("stage {:?} is judged before it has outputs", self.name));
        }
        Ok(())
    }

    fn park(&mut self, key: Digest, reviewed: &[Reviewed], asking: Option<Box<ReviewTerms>>) {
        self.key = Some(key);
        self.reviewed = reviewed.to_vec();
        self.asking = asking;
        self.status = StageStatus::Parked;
    }

    fn decide(&mut self, key: Digest, decision: &Decision, reviewed: &[Reviewed]) {
        self.key = Some(key);
        if !reviewed.is_empty() {
            self.reviewed = reviewed.to_vec();
        }
        self.decision = Some(Box::new(decision.clone()));
        self.status = StageStatus::Pending;
    }

    fn lose(&mut self, digest: Digest, reason: &str) {
        self.lost.push(LostObject { digest, reason: reason.to_owned() });
        if self.status.is_terminal() {
            self.reset();
        }
    }

    fn start(&mut self, key: Digest, attempt: u32, pid: u32, at: Timestamp) {
        self.key = Some(key);
        self.attempts = attempt;
        self.pid = Some(pid);
        self.started_at = Some(at);
        self.status = StageStatus::Running;
    }

    fn stop(&mut self, status: StageStatus, error: Option<&StageError>) {
        self.pid = None;
        self.error = error.cloned().map(Box::new);
        self.status = status;
    }

    fn finish(
        &mut self,
        key: Digest,
        (outputs, metrics, seconds): (&Named<Artifact>, &BTreeMap<String, f64>, f64),
        status: StageStatus,
    ) {
        self.status = status;
        self.key = Some(key);
        self.pid = None;
        self.error = None;
        self.outputs.clone_from(outputs);
        self.metrics.clone_from(metrics);
        self.seconds = Some(seconds);
    }

    fn judge(&mut self, verdicts: &[GateVerdict]) {
        self.verdicts = verdicts.to_vec();
        let broken = |clause| verdicts.iter().any(|verdict| verdict.clause == clause && !verdict.passed);
        if broken(Clause::Expect) {
            let broken = verdicts.iter().filter(|verdict| verdict.clause == Clause::Expect && !verdict.passed);
            let list: Vec<String> = broken.map(|verdict| format!("{} ({})", verdict.expression, verdict.detail)).collect();
            self.stop(StageStatus::Failed, Some(&StageError::input(format!("expectation not met: {}", list.join("; ")))));
        } else if broken(Clause::Gate) {
            self.status = StageStatus::GateFailed;
        }
    }
}

#[cfg(test)]
mod tests;
