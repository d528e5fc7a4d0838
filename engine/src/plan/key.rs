//! The action key: a digest over everything that decides what a stage writes, and nothing else.
//!
//! Stage names, paths, times, retries, timeouts, and resources stay out, so that renaming a stage or moving a project keeps
//! every result. Inputs enter by content, not by the key of their producer: a producer that writes the same bytes again
//! changes nothing downstream.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value, json};

use super::PlannedStage;
use crate::{
    ArtifactKind, Determinism, Digest,
    canonical::{CanonicalError, ListEncoder, MapEncoder, encode},
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

/// Everything that decides what a stage writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    kind: String,
    revision: u32,
    params: Value,
    inputs: Vec<ActionInput>,
    sources: BTreeMap<String, Vec<SourceFile>>,
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
        sources: BTreeMap<String, Vec<SourceFile>>,
    ) -> Self {
        Self {
            kind: stage.stage.kind().to_owned(),
            revision: stage.stage.revision(),
            params: stage.stage.keyed(),
            inputs,
            sources,
            outputs: stage.stage.ports().outputs,
            seed: stage.seed,
            limit: limit.filter(|_| stage.stage.reads_limit()),
            platform: platform(stage.stage.determinism()),
        }
    }

    /// The files of its sources, by the name of the source.
    pub fn sources(&self) -> &BTreeMap<String, Vec<SourceFile>> {
        &self.sources
    }

    /// The same, for whoever needs nothing else.
    pub(crate) fn into_sources(self) -> BTreeMap<String, Vec<SourceFile>> {
        self.sources
    }

    /// The pre-image as JSON, stored beside its bytes so that a later run can say what changed.
    pub fn to_json(&self) -> Value {
        let file = |file: &SourceFile| json!({"name": file.name, "digest": file.digest});
        let files = |files: &Vec<SourceFile>| files.iter().map(file).collect::<Value>();
        let mut sources = self.sources.iter().map(|(name, list)| (name.clone(), files(list))).collect::<Value>();
        let mut json = Map::new();
        for (name, value) in self.fields() {
            // People read the sources after the inputs.
            if name == "outputs" {
                json.insert("sources".to_owned(), sources.take());
            }
            json.insert(name.to_owned(), value.into_owned());
        }
        Value::Object(json)
    }

    /// Everything but the sources.
    fn fields(&self) -> [(&'static str, Cow<'_, Value>); 9] {
        let input = |input: &ActionInput| json!({"port": input.port, "kind": input.kind, "digest": input.digest});
        let output = |port: &Port| json!({"port": port.name, "kind": port.kind});
        [
            ("format", Cow::Owned(json!(FORMAT))),
            ("kind", Cow::Owned(json!(self.kind))),
            ("revision", Cow::Owned(json!(self.revision))),
            ("params", Cow::Borrowed(&self.params)),
            ("inputs", Cow::Owned(self.inputs.iter().map(input).collect())),
            ("outputs", Cow::Owned(self.outputs.iter().map(output).collect())),
            ("seed", Cow::Owned(json!(self.seed))),
            ("limit", Cow::Owned(json!(self.limit))),
            ("platform", Cow::Owned(json!(self.platform))),
        ]
    }

    /// The canonical bytes that the key is the digest of: those of [`Self::to_json`], with the files written straight, as there
    /// may be very many.
    pub fn preimage(&self) -> Result<Vec<u8>, CanonicalError> {
        let mut map = MapEncoder::default();
        for (name, value) in self.fields() {
            map.value(name, &value)?;
        }
        let mut sources = MapEncoder::default();
        for (name, files) in &self.sources {
            sources.written(name, encode_files(files));
        }
        map.written("sources", sources.finish());
        Ok(map.finish())
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

/// The files of one source as [`Action::to_json`] would have them encoded.
fn encode_files(files: &[SourceFile]) -> Vec<u8> {
    let mut list = ListEncoder::of(files.len());
    for file in files {
        let digest = file.digest.hex();
        list.pairs([("name", &file.name), ("digest", &digest)]);
    }
    list.finish()
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A key that is written in two ways must not become two keys.
    #[test]
    fn files_are_written_straight_as_their_json_is_encoded() {
        for count in [0, 1, 23, 24, 300] {
            let named = |number: usize| SourceFile {
                path: PathBuf::from("/elsewhere"),
                name: format!("é/{}", "x".repeat(number)),
                digest: Digest::of(&number.to_le_bytes()),
                bytes: 7,
            };
            let files: Vec<SourceFile> = (0..count).map(named).collect();
            let json: Value = files.iter().map(|file| json!({"digest": file.digest, "name": file.name})).collect();
            assert_eq!(encode_files(&files), encode(&json).unwrap());
        }
    }
}
