//! The action key: a digest over everything that decides what a stage writes, and nothing else.
//!
//! Stage names, paths, times, retries, timeouts, and resources stay out, so that renaming a stage or moving a project keeps
//! every result. Inputs enter by content, not by the key of their producer: a producer that writes the same bytes again
//! changes nothing downstream.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::PlannedStage;
use crate::{
    ArtifactKind, Determinism, Digest,
    canonical::{CanonicalError, encode},
    horizon::Horizon,
    source::SourceFile,
    stage::Port,
};

/// The context string of action keys. It changes when the fields of a pre-image change their meaning.
pub const KEY_CONTEXT: &str = "flow.dev 2026-11 action v1";
/// The context string of trajectory keys.
pub const TRAJECTORY_CONTEXT: &str = "flow.dev 2026-11 trajectory v1";
const FORMAT: u64 = 1;

/// One input of an action, by the consumer's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionInput {
    /// The consumer's port.
    pub port: String,
    /// What it carries.
    pub kind: ArtifactKind,
    /// Its content.
    pub digest: Digest,
}

/// One file of a source of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionSource {
    /// Its name relative to the root of the pattern or source.
    pub name: String,
    /// Its content.
    pub digest: Digest,
}

/// Everything that decides what a stage writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    kind: String,
    revision: u32,
    params: Value,
    inputs: Vec<ActionInput>,
    sources: BTreeMap<String, Vec<ActionSource>>,
    outputs: Vec<Port>,
    seed: u64,
    limit: Option<u64>,
    platform: Option<&'static str>,
}

impl Action {
    /// Joins what the plan knows of a stage with the content of its inputs and sources.
    pub fn new(
        stage: &PlannedStage,
        limit: Option<u64>,
        inputs: Vec<ActionInput>,
        sources: &BTreeMap<String, Vec<SourceFile>>,
    ) -> Self {
        let plain = |file: &SourceFile| ActionSource { name: file.name.clone(), digest: file.digest };
        Self {
            kind: stage.stage.kind().to_owned(),
            revision: stage.stage.revision(),
            params: stage.stage.keyed(),
            inputs,
            sources: sources.iter().map(|(name, files)| (name.clone(), files.iter().map(plain).collect())).collect(),
            outputs: stage.stage.ports().outputs,
            seed: stage.seed,
            limit: limit.filter(|_| stage.stage.reads_limit()),
            platform: platform(stage.stage.determinism()),
        }
    }

    /// The pre-image as JSON, stored beside its bytes so that a later run can say what changed.
    pub fn to_json(&self) -> Value {
        let input = |input: &ActionInput| json!({"port": input.port, "kind": input.kind, "digest": input.digest});
        let file = |file: &ActionSource| json!({"name": file.name, "digest": file.digest});
        let files = |files: &Vec<ActionSource>| files.iter().map(file).collect::<Value>();
        let output = |port: &Port| json!({"port": port.name, "kind": port.kind});
        json!({
            "format": FORMAT,
            "kind": self.kind,
            "revision": self.revision,
            "params": self.params,
            "inputs": self.inputs.iter().map(input).collect::<Value>(),
            "sources": self.sources.iter().map(|(name, list)| (name.clone(), files(list))).collect::<Value>(),
            "outputs": self.outputs.iter().map(output).collect::<Value>(),
            "seed": self.seed,
            "limit": self.limit,
            "platform": self.platform,
        })
    }

    /// The canonical bytes that the key is the digest of.
    pub fn preimage(&self) -> Result<Vec<u8>, CanonicalError> {
        encode(&self.to_json())
    }

    /// The action key.
    pub fn key(&self) -> Result<Digest, CanonicalError> {
        self.preimage().map(|bytes| Digest::derive(KEY_CONTEXT, &bytes))
    }

    /// The key that runs of every length share: what is left of the pre-image without the options of the horizon.
    pub fn trajectory(&self, horizon: &Horizon) -> Result<Digest, CanonicalError> {
        let mut way = self.to_json();
        if let Some(params) = way.get_mut("params") {
            horizon.length.iter().chain(&horizon.cadence).for_each(|path| remove(params, path));
        }
        encode(&way).map(|bytes| Digest::derive(TRAJECTORY_CONTEXT, &bytes))
    }
}

/// Takes the value at a dotted path out of an object.
fn remove(value: &mut Value, path: &str) {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match (value.as_object_mut(), rest) {
        (Some(entries), None) => drop(entries.remove(first)),
        (Some(entries), Some(rest)) => {
            if let Some(inner) = entries.get_mut(first) {
                remove(inner, rest);
            }
        }
        (None, _) => {}
    }
}

/// The class of machine, for stages whose bytes may depend on it.
fn platform(determinism: Determinism) -> Option<&'static str> {
    match determinism {
        Determinism::Deterministic => None,
        Determinism::Seeded | Determinism::Nondeterministic => Some(concat_platform()),
    }
}

const fn concat_platform() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "linux-x86_64"
    } else if cfg!(target_arch = "aarch64") {
        "linux-aarch64"
    } else {
        "other"
    }
}

/// Mixes a seed with a stage kind, so that two kinds never share a stream. Stage names do not matter.
pub fn mixed_seed(seed: u64, kind: &str) -> crate::Seed {
    let mut framed = seed.to_le_bytes().to_vec();
    framed.extend_from_slice(kind.as_bytes());
    let digest = Digest::derive("flow.dev 2026-11 seed v1", &framed);
    let first = digest.as_bytes().iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    crate::Seed(first)
}
