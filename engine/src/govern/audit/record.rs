//! One line of the audit log: a JSON object whose last two members are the hash of the line before and its own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::{Envelope, tally::Objection};
use crate::Digest;

const HASH: &str = ",\"hash\":\"";
const CONTEXT: &str = "flow.dev 2026-11 audit record v1";
const GENESIS: &str = "flow.dev 2026-11 audit genesis v1";

/// One record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 0 without gaps.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// Who did it: the account, as far as the machine tells.
    pub actor: String,
    /// What happened.
    pub event: Happening,
    /// The hash of the record before; of the project's identity for the first.
    pub prev: Digest,
}

/// What is worth keeping for an auditor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Happening {
    /// A run was started.
    RunStarted {
        /// The run.
        run: String,
        /// The workflow.
        workflow: String,
    },
    /// Somebody went on with a run.
    RunResumed {
        /// The run.
        run: String,
    },
    /// A run ended.
    RunFinished {
        /// The run.
        run: String,
        /// How.
        outcome: String,
    },
    /// Somebody approved or rejected.
    Decided {
        /// The run that asked.
        run: String,
        /// The stage.
        stage: String,
        /// Who decided.
        by: String,
        /// What.
        approved: bool,
        /// How: `command`, `terminal`, or `flag`.
        via: String,
        /// The signed record.
        envelope: Box<Envelope>,
    },
    /// Somebody tried to decide and may not.
    Refused {
        /// The run that asked.
        run: String,
        /// The stage.
        stage: String,
        /// Who tried.
        by: String,
        /// Why they may not.
        reason: String,
    },
    /// A decision does not count any more, or never did.
    Voided {
        /// The run that found it.
        run: String,
        /// The stage.
        stage: String,
        /// Who had decided.
        by: String,
        /// The action key it was taken about.
        action: Digest,
        /// Why it does not count.
        objection: Objection,
    },
    /// A `gate:` was not met.
    GateNotMet {
        /// The run.
        run: String,
        /// The stage.
        stage: String,
        /// The expression.
        expression: String,
        /// What it read.
        detail: String,
    },
    /// Something was published outside the store, such as a model.
    Published {
        /// The run.
        run: String,
        /// The stage.
        stage: String,
        /// Its kind.
        kind: String,
        /// What it is called there, if its reference says so.
        reference: Option<String>,
        /// The digest of the reference.
        digest: Digest,
    },
    /// A stage or a hook was given a secret. Never its value.
    SecretUsed {
        /// The run.
        run: String,
        /// The stage, or `hooks.MOMENT`.
        stage: String,
        /// The secret's name.
        secret: String,
    },
    /// A plan was held against the policy before its run.
    PolicyChecked {
        /// The digest of the policy file.
        policy: Digest,
        /// Rules that were broken, `rule` or `rule: stage`.
        broken: Vec<String>,
        /// Rules that only warned.
        warned: Vec<String>,
    },
    /// Old results were removed from the store.
    Collected {
        /// How many.
        results: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// What was recorded of runs was removed, with who started them.
    RunsRemoved {
        /// The runs.
        runs: Vec<String>,
    },
    /// Something that a later `flow` knows.
    #[serde(other)]
    Unknown,
}

impl Happening {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run started",
            Self::RunResumed { .. } => "run resumed",
            Self::RunFinished { .. } => "run finished",
            Self::Decided { approved: true, .. } => "approved",
            Self::Decided { approved: false, .. } => "rejected",
            Self::Refused { .. } => "refused",
            Self::Voided { objection: Objection::Expired { .. }, .. } => "expired",
            Self::Voided { .. } => "void",
            Self::GateNotMet { .. } => "gate not met",
            Self::Published { .. } => "published",
            Self::SecretUsed { .. } => "secret used",
            Self::PolicyChecked { broken, .. } if broken.is_empty() => "policy met",
            Self::PolicyChecked { .. } => "policy broken",
            Self::Collected { .. } => "collected",
            Self::RunsRemoved { .. } => "runs removed",
            Self::Unknown => "of a later flow",
        }
    }
}

/// The hash that the first record of a project follows.
pub(super) fn genesis(project: &str) -> Digest {
    Digest::derive(GENESIS, project.as_bytes())
}

impl Record {
    /// The line, and the hash that ends it.
    pub(super) fn render(&self) -> Result<(String, Digest), serde_json::Error> {
        let mut line = serde_json::to_string(self)?;
        line.pop();
        let hash = hash(&line);
        line.push_str(HASH);
        line.push_str(&hash.to_string());
        line.push_str("\"}\n");
        Ok((line, hash))
    }
}

/// The digest of everything before the hash, the hash of the line before included.
fn hash(body: &str) -> Digest {
    Digest::derive(CONTEXT, body.as_bytes())
}

/// A line as it was read.
pub(super) struct Line {
    pub(super) record: Record,
    /// The hash it states.
    pub(super) stated: Digest,
    /// The hash it has.
    pub(super) computed: Digest,
}

impl Line {
    /// Reads a line with its line break.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line).map_err(|_| "it is no text".to_owned())?;
        let whole = text.strip_suffix("\"}\n").and_then(|text| text.rsplit_once(HASH));
        let (body, stated) = whole.ok_or_else(|| "it has no hash".to_owned())?;
        let stated = stated.parse().map_err(|_| "its hash is none".to_owned())?;
        let record = serde_json::from_str(&format!("{body}}}")).map_err(|error| format!("it is no record: {error}"))?;
        Ok(Self { record, stated, computed: hash(body) })
    }
}
