//! What happens in a run. Events must arrive and are journaled; progress may be dropped.
//!
//! Unknown events decode to [`Event::Unknown`], so an older reader survives a newer writer.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Artifact, ArtifactKind, Digest, Named, StageError,
    context::{Decision, Progress},
    govern::{ReviewTerms, Starter},
    history::StageEdit,
    store::{Flaw, Owner, Supply},
};

/// The name of one run: a ULID, so names sort by time of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(ulid::Ulid);

impl RunId {
    /// A new name by the clock.
    pub fn generate() -> Self {
        Self(ulid::Ulid::new())
    }

    /// A new name that sorts behind `latest`, even where a clock was set back since that was given.
    pub fn after(latest: Option<Self>) -> Self {
        let new = ulid::Ulid::new();
        match latest {
            Some(Self(latest)) if latest >= new => Self(ulid::Ulid::from_parts(latest.timestamp_ms() + 1, new.random())),
            _ => Self(new),
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for RunId {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Counts from 0 without gaps.
    pub seq: u64,
    /// When the dispatcher saw it.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What a person asked for: enough to build the same plan again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The workflow file, absolute.
    pub workflow_file: PathBuf,
    /// Parameters of the command line, in order.
    pub params: Vec<(String, String)>,
    /// The stages asked for; empty means all.
    pub only: Vec<String>,
    /// Rows to read at most.
    pub limit: Option<u64>,
    /// The profile of the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Who started the run; not recorded by earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<Starter>,
}

/// One stage as the journal introduces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOutline {
    /// Its name.
    pub name: String,
    /// Its kind, such as `data/clean`.
    pub kind: String,
    /// The stages it waits for.
    pub after: Vec<String>,
}

/// Why a stage did not have to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum Hit {
    /// The same work was done before and nothing upstream ran.
    Cached,
    /// These stages upstream ran again but gave the same bytes.
    CutOff {
        /// Producers of inputs that ran in this run.
        ran: Vec<String>,
    },
    /// An attempt of this run finished while nobody watched.
    Recovered,
    /// Another run finished the same work meanwhile.
    Shared,
}

/// Why a stage was not considered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum SkipReason {
    /// Its `if:` is false.
    Condition {
        /// As written.
        expression: String,
    },
    /// A producer of an input was skipped.
    Upstream {
        /// That stage.
        stage: String,
    },
    /// A stage before it failed, was rejected, or did not meet its gate.
    Blocked {
        /// That stage.
        stage: String,
    },
}

/// One judged `gate:` or `expect:` expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateVerdict {
    /// Whether it stops the run's success or fails the stage.
    pub clause: Clause,
    /// As written.
    pub expression: String,
    /// Whether it held.
    pub passed: bool,
    /// The readings it looked at, or why it could not be asked.
    pub detail: String,
}

/// The key of the workflow file an expression comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clause {
    /// `gate:`: a goal; the run ends as "gate not met" and the outputs are kept.
    Gate,
    /// `expect:`: a contract; a broken one fails the stage.
    Expect,
}

/// One artifact a person is asked to review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewed {
    /// The reviewing stage's port.
    pub port: String,
    /// `stage.port` it came from.
    pub from: String,
    /// What it is.
    pub kind: ArtifactKind,
    /// Its digest: the decision binds to it.
    pub digest: Digest,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every stage that should run has its outputs.
    Succeeded,
    /// Only decisions of people are missing.
    Parked,
    /// A `gate:` was not met.
    GateFailed,
    /// A stage failed.
    Failed,
    /// Somebody stopped it; `flow resume` goes on.
    Interrupted,
}

/// What must arrive.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Event {
    /// The first entry of a journal.
    RunStarted {
        /// The run.
        run: RunId,
        /// The workflow's name.
        workflow: String,
        /// What was asked for.
        request: RunRequest,
        /// Its stages in topological order.
        stages: Vec<StageOutline>,
    },
    /// Somebody goes on with the run; stages without a terminal state are looked at again.
    RunResumed {
        /// Stages that were edited since the run began: it goes on with what the files say now.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        edited: Vec<StageEdit>,
    },
    /// A pinned source is there.
    SourceReady {
        /// The stage that reads it.
        stage: String,
        /// Its URI.
        uri: String,
        /// One digest over its files.
        digest: Digest,
        /// Its size.
        bytes: u64,
        /// How it was had.
        supply: Supply,
    },
    /// A living process already does this work: another run, or an attempt of this run that outlived its engine.
    StageWaiting {
        /// The stage.
        stage: String,
        /// Its action key.
        key: Digest,
        /// Who works on it.
        owner: Owner,
    },
    /// A person has to decide; no process is held.
    StageParked {
        /// The stage.
        stage: String,
        /// Its action key: the decision is filed under it.
        key: Digest,
        /// What is to be reviewed.
        reviewed: Vec<Reviewed>,
        /// Of whom it is asked; not recorded by earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asking: Option<Box<ReviewTerms>>,
    },
    /// A person decided.
    StageDecided {
        /// The stage.
        stage: String,
        /// Its action key.
        key: Digest,
        /// What was decided, by whom, and when.
        decision: Decision,
        /// What was reviewed.
        #[serde(default)]
        reviewed: Vec<Reviewed>,
    },
    /// A recorded result is used. No more events of this stage follow but its gates.
    StageCached {
        /// The stage.
        stage: String,
        /// Its action key.
        key: Digest,
        /// Why it need not run.
        hit: Hit,
        /// Outputs by port.
        outputs: Named<Artifact>,
        /// What it measured when it ran.
        metrics: BTreeMap<String, f64>,
        /// How long it took then.
        seconds: f64,
    },
    /// A process was started for it.
    StageStarted {
        /// The stage.
        stage: String,
        /// Its action key.
        key: Digest,
        /// Counts from 1 over the whole run, resumes included.
        attempt: u32,
        /// The process.
        pid: u32,
    },
    /// An attempt failed and another will follow.
    StageRetried {
        /// The stage.
        stage: String,
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        error: StageError,
        /// Wait before the next.
        wait_seconds: f64,
    },
    /// What it gave before is missing or damaged in the store, so that it runs again.
    StageLost {
        /// The stage.
        stage: String,
        /// Its action key.
        key: Digest,
        /// The object.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
        /// The stage that found it out while it read the object; none when it was found before anything ran.
        #[serde(default)]
        found_by: Option<String>,
    },
    /// Sources changed while it read them: its result is used by this run and not recorded under its key.
    StageTainted {
        /// The stage.
        stage: String,
        /// The files.
        changed: Vec<PathBuf>,
    },
    /// Its outputs are committed. No more events of this stage follow but its gates.
    StageSucceeded {
        /// The stage.
        stage: String,
        /// Its action key.
        key: Digest,
        /// The attempt.
        attempt: u32,
        /// Outputs by port.
        outputs: Named<Artifact>,
        /// What it measured.
        metrics: BTreeMap<String, f64>,
        /// Wall time of the attempt.
        seconds: f64,
    },
    /// It gave up. No more events of this stage follow.
    StageFailed {
        /// The stage.
        stage: String,
        /// Its action key, when it got that far.
        key: Option<Digest>,
        /// The last attempt; 0 when none was started.
        attempt: u32,
        /// Why.
        error: StageError,
    },
    /// It is not considered. No more events of this stage follow.
    StageSkipped {
        /// The stage.
        stage: String,
        /// Why.
        reason: SkipReason,
    },
    /// Its gates and expectations were asked; follows the committed outputs.
    StageJudged {
        /// The stage.
        stage: String,
        /// In the order of the file.
        verdicts: Vec<GateVerdict>,
    },
    /// Its attempt was stopped at a safe point because the run was interrupted.
    StageInterrupted {
        /// The stage.
        stage: String,
        /// The attempt.
        attempt: u32,
    },
    /// A hook of the workflow was fired because the run ends; that entry follows.
    HookFired {
        /// Which of the hooks: `success`, `failure`, `parked`, or `finished`.
        moment: String,
        /// The channel or command as written; secrets stay names.
        hook: String,
        /// Why it failed; none when it did not.
        error: Option<String>,
    },
    /// The last entry, unless the run is resumed.
    RunFinished {
        /// How it ended.
        outcome: Outcome,
        /// Wall time since it was started or resumed.
        seconds: f64,
    },
    /// An event of a newer `flow`.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// What a look into the store found out about a recorded result.
    pub(crate) fn lost(stage: &str, key: Digest, flaw: &Flaw) -> Self {
        Self::StageLost { stage: stage.to_owned(), key, digest: flaw.digest, reason: flaw.reason.clone(), found_by: None }
    }

    /// The stage it is about.
    pub fn stage(&self) -> Option<&str> {
        match self {
            Self::SourceReady { stage, .. }
            | Self::StageWaiting { stage, .. }
            | Self::StageParked { stage, .. }
            | Self::StageDecided { stage, .. }
            | Self::StageCached { stage, .. }
            | Self::StageStarted { stage, .. }
            | Self::StageRetried { stage, .. }
            | Self::StageSucceeded { stage, .. }
            | Self::StageFailed { stage, .. }
            | Self::StageSkipped { stage, .. }
            | Self::StageJudged { stage, .. }
            | Self::StageLost { stage, .. }
            | Self::StageTainted { stage, .. }
            | Self::StageInterrupted { stage, .. } => Some(stage),
            Self::RunStarted { .. }
            | Self::RunResumed { .. }
            | Self::HookFired { .. }
            | Self::RunFinished { .. }
            | Self::Unknown => None,
        }
    }
}

/// How far a stage or the fetch of one of its sources is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageProgress {
    /// The stage.
    pub stage: String,
    /// The source that is being fetched, if that is what goes on.
    pub source: Option<String>,
    /// How far.
    pub progress: Progress,
}
