//! What a stage sees while it runs: the paths of its inputs, outputs, and sources, its seed, and ways to report.
//!
//! A context is made from an [`Invocation`], the plain description of one attempt that the engine writes for the process
//! that runs the stage. A stage knows nothing of caches, journals, or schedulers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{Digest, Secret, Seed, StageError, govern::Envelope, horizon::Keeper, source::SourceFile};

/// Places of this machine that stages may use. They never enter a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The folder of the model registry.
    pub registry: PathBuf,
    /// The folder of the content store.
    pub store: PathBuf,
    /// The folder that relative paths of the workflow resolve against.
    pub base: PathBuf,
}

/// One input as the stage sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundInput {
    /// A read-only file or directory.
    pub path: PathBuf,
    /// Digest of its content.
    pub digest: Digest,
    /// `stage.port` it came from, for people; never part of a key.
    pub from: String,
}

/// A recorded decision about the inputs of a stage with [`crate::Effect::Decides`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether the inputs were approved.
    pub approved: bool,
    /// Who decided.
    pub by: String,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// What they wrote.
    pub comment: Option<String>,
    /// How it was taken: `command`, `terminal`, or `flag` (`--approve STAGE`).
    pub via: String,
    /// The signed records behind it; none for decisions of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed: Vec<Envelope>,
}

/// One stage upstream of this one, nearest last: the lineage that cards and versions record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Its name in this workflow.
    pub stage: String,
    /// Its kind, such as `data/clean`.
    pub kind: String,
    /// Its action key.
    pub key: Digest,
    /// Its resolved configuration.
    pub config: serde_json::Value,
    /// Its outputs' digests by port.
    pub outputs: BTreeMap<String, Digest>,
    /// What it measured.
    pub metrics: BTreeMap<String, f64>,
    /// Its sources' content: URI or pattern, then one digest over its files.
    pub sources: BTreeMap<String, Digest>,
}

/// Everything one attempt needs, as the engine writes it for the process that runs the stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Invocation {
    /// Inputs by port; several for a list.
    pub inputs: BTreeMap<String, Vec<BoundInput>>,
    /// Staging paths by output port.
    pub outputs: BTreeMap<String, PathBuf>,
    /// Resolved sources by pattern or URI.
    pub sources: BTreeMap<String, Vec<SourceFile>>,
    /// The seed, mixed with the stage kind.
    pub seed: Seed,
    /// Rows to read at most, from `flow run --limit`.
    pub limit: Option<u64>,
    /// A folder that survives a crash, one per action key: checkpoints go here.
    pub scratch: PathBuf,
    /// Places of this machine.
    pub site: Site,
    /// The decision of a person, once there is one.
    pub decision: Option<Decision>,
    /// The stages this one's inputs came from, for a kind that reads them.
    pub ancestors: Vec<Ancestor>,
    /// The workflow's name, for cards.
    pub workflow: String,
}

/// Where a running stage reports to. The runner writes it to the attempt's event file.
pub trait Reporter: Send + Sync {
    /// Work done so far; may be dropped.
    fn progress(&self, progress: &Progress);
    /// A number that must arrive.
    fn metric(&self, name: &str, value: f64);
    /// Whether the stage should stop at its next safe point.
    fn cancelled(&self) -> bool;
    /// Where checkpoints of a stage with a horizon go; by default nowhere, and a stopped attempt begins anew.
    fn keeper(&self) -> Option<&dyn Keeper> {
        None
    }
}

/// How far a stage is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, when known.
    pub total: Option<u64>,
    /// What is counted: `rows`, `steps`, `items`, `bytes`.
    pub unit: String,
    /// A short live reading such as `loss 0.412`.
    pub note: Option<String>,
}

/// The face of the engine towards a running stage.
pub struct StageContext<'a> {
    invocation: &'a Invocation,
    reporter: &'a dyn Reporter,
}

impl<'a> StageContext<'a> {
    /// Joins the description of an attempt and the sink of its reports.
    pub fn new(invocation: &'a Invocation, reporter: &'a dyn Reporter) -> Self {
        Self { invocation, reporter }
    }

    /// The path of an input. An undeclared or unbound port is a fault of ours.
    pub fn input(&self, port: &str) -> Result<&'a Path, StageError> {
        self.input_optional(port).ok_or_else(|| StageError::internal(format!("input port {port:?} is not bound")))
    }

    /// The path of an input that may be left out.
    pub fn input_optional(&self, port: &str) -> Option<&'a Path> {
        self.inputs(port).first().map(|input| input.path.as_path())
    }

    /// Every artifact bound to a port, in the order of the workflow file.
    pub fn inputs(&self, port: &str) -> &'a [BoundInput] {
        self.invocation.inputs.get(port).map_or(&[], Vec::as_slice)
    }

    /// The staging path of an output. Nothing exists there yet; the stage makes a file or a directory.
    pub fn output(&self, port: &str) -> Result<&'a Path, StageError> {
        let found = self.invocation.outputs.get(port).map(PathBuf::as_path);
        found.ok_or_else(|| StageError::internal(format!("output port {port:?} is not declared")))
    }

    /// The files of a source by the pattern or URI that the configuration names.
    pub fn source(&self, name: &str) -> Result<&'a [SourceFile], StageError> {
        let found = self.invocation.sources.get(name).map(Vec::as_slice);
        found.ok_or_else(|| StageError::internal(format!("source {name:?} is not declared")))
    }

    /// The seed, mixed with the stage kind.
    pub fn seed(&self) -> Seed {
        self.invocation.seed
    }

    /// Rows to read at most; only stages with [`crate::Stage::READS_LIMIT`] may look.
    pub fn limit(&self) -> Option<u64> {
        self.invocation.limit
    }

    /// A folder that survives a crash, one per action key.
    pub fn scratch(&self) -> &'a Path {
        &self.invocation.scratch
    }

    /// The checkpoints of a stage with a [`crate::Stage::horizon`], if anybody keeps them.
    pub fn keeper(&self) -> Option<&'a dyn Keeper> {
        self.reporter.keeper()
    }

    /// Places of this machine.
    pub fn site(&self) -> &'a Site {
        &self.invocation.site
    }

    /// The decision of a person about the inputs, if there is one.
    pub fn decision(&self) -> Option<&'a Decision> {
        self.invocation.decision.as_ref()
    }

    /// The stages this one's inputs came from, nearest last. Empty unless the kind [reads them](crate::Stage::READS_ANCESTORS).
    pub fn ancestors(&self) -> &'a [Ancestor] {
        &self.invocation.ancestors
    }

    /// The workflow's name.
    pub fn workflow(&self) -> &'a str {
        &self.invocation.workflow
    }

    /// Reads a secret from the environment. The value must not be written anywhere.
    pub fn secret(&self, secret: &Secret) -> Result<String, StageError> {
        std::env::var(&secret.secret).map_err(|_| {
            StageError::input(format!("secret {} is not set", secret.secret))
                .help(format!("set the environment variable {} before `flow run`", secret.secret))
        })
    }

    /// Says how far the work is. Cheap; may be called for every row.
    pub fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
        self.reporter.progress(&Progress { done, total, unit: unit.to_owned(), note: None });
    }

    /// Says how far the work is, with a short live reading.
    pub fn progress_note(&self, done: u64, total: Option<u64>, unit: &str, note: String) {
        self.reporter.progress(&Progress { done, total, unit: unit.to_owned(), note: Some(note) });
    }

    /// Records a number: the journal keeps it and `gate:` and `if:` expressions read it.
    pub fn measure(&self, name: &str, value: f64) {
        self.reporter.metric(name, value);
    }

    /// Returns [`StageError::cancelled`] when the stage should stop. Call it once a batch.
    pub fn check_cancelled(&self) -> Result<(), StageError> {
        if self.reporter.cancelled() { Err(StageError::cancelled()) } else { Ok(()) }
    }
}
