//! The description of one attempt: what the engine writes and the process that runs the stage reads.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{checkpoints::Course, memory::Cap};
use crate::{
    Artifact, ArtifactKind, Digest, Seed,
    context::{Ancestor, Decision, Site},
    source::SourceFile,
    store::{Owner, Stamp},
};

/// One input before it is laid out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SpecInput {
    /// The artifact.
    pub(crate) artifact: Artifact,
    /// `stage.port` it came from.
    pub(crate) from: String,
}

/// A source file in use where it lies; a change while the stage runs would poison the result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Guarded {
    /// The file.
    #[serde(with = "crate::path_bytes")]
    pub(crate) path: PathBuf,
    /// What it looked like when it was hashed.
    pub(crate) stamp: Stamp,
    /// What it must still hold, where its times may not show a write.
    #[serde(default)]
    pub(crate) recheck: Option<Digest>,
}

/// Everything the process needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AttemptSpec {
    /// The kind of stage.
    pub(crate) kind: String,
    /// Its resolved configuration.
    pub(crate) config: Value,
    /// The action key.
    pub(crate) key: Digest,
    /// The reservation it works under.
    pub(crate) owner: Owner,
    /// Inputs by port.
    pub(crate) inputs: BTreeMap<String, Vec<SpecInput>>,
    /// Kinds of the outputs by port.
    pub(crate) outputs: BTreeMap<String, ArtifactKind>,
    /// Resolved sources by name.
    pub(crate) sources: BTreeMap<String, Vec<SourceFile>>,
    /// The way its checkpoints are filed under.
    #[serde(default)]
    pub(crate) course: Option<Course>,
    /// Source files to look at again before the commit.
    pub(crate) guarded: Vec<Guarded>,
    /// The seed, mixed with the kind.
    pub(crate) seed: Seed,
    /// Rows to read at most.
    pub(crate) limit: Option<u64>,
    /// Places of this machine.
    pub(crate) site: Site,
    /// The decision of a person.
    pub(crate) decision: Option<Decision>,
    /// Lineage.
    pub(crate) ancestors: Vec<Ancestor>,
    /// The workflow's name.
    pub(crate) workflow: String,
    /// Leases that the process takes over with its reservation.
    #[serde(default)]
    pub(crate) slots: Vec<(Digest, u64)>,
    /// The cap on its memory.
    #[serde(default)]
    pub(crate) cap: Option<Cap>,
}

impl AttemptSpec {
    /// Where the description of this attempt lies. No other attempt ever has the name: a late process cannot read a later one's.
    pub(crate) fn place(&self) -> PathBuf {
        self.owner.directory.join(format!("spec-{}.json", self.owner.token))
    }
}
