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
        let input = |input: &ActionInput| json!({"port": input.port, "kind": input.kind, "digest": input.digest});
        let output = |port: &Port| json!({"port": port.name, "kind": port.kind});
        let [format, kind, revision, seed, limit, platform] = self.scalars();
        let params = ("params", self.params.clone());
        let inputs = ("inputs", self.inputs.iter().map(input).collect());
        // People read the sources after the inputs.
        let sources = ("sources", self.sources.iter().map(|(name, list)| (name.clone(), files(list))).collect());
        let outputs = ("outputs", self.outputs.iter().map(output).collect());
        let fields = [format, kind, revision, params, inputs, sources, outputs, seed, limit, platform];
        Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Everything but the parameters and the lists.
    fn scalars(&self) -> [(&'static str, Value); 6] {
        [
            ("format", json!(FORMAT)),
            ("kind", json!(self.kind)),
            ("revision", json!(self.revision)),
            ("seed", json!(self.seed)),
            ("limit", json!(self.limit)),
            ("platform", json!(self.platform)),
        ]
    }

    /// The canonical bytes that the key is the digest of: those of [`Self::to_json`], written straight, as there may be very many
    /// stages and files.
    pub fn preimage(&self) -> Result<Vec<u8>, CanonicalError> {
        let mut map = MapEncoder::default();
        for (name, value) in self.scalars() {
            map.value(name, &value)?;
        }
        map.value("params", &self.params)?;
        map.written("inputs", encode_inputs(&self.inputs));
        map.written("outputs", encode_outputs(&self.outputs));
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

fn encode_inputs(inputs: &[ActionInput]) -> Vec<u8> {
    let mut list = ListEncoder::of(inputs.len());
    for input in inputs {
        list.map([("kind", input.kind.word()), ("port", &input.port), ("digest", &input.digest.hex())]);
    }
    list.finish()
}

fn encode_outputs(outputs: &[Port]) -> Vec<u8> {
    let mut list = ListEncoder::of(outputs.len());
    for port in outputs {
        list.map([("kind", port.kind.word()), ("port", &port.name)]);
    }
    list.finish()
}

/// The files of one source as [`Action::to_json`] would have them encoded.
fn encode_files(files: &[SourceFile]) -> Vec<u8> {
    let mut list = ListEncoder::of(files.len());
    for file in files {
        let digest = file.digest.hex();
        list.map([("name", &file.name), ("digest", &digest)]);
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

    fn action() -> Action {
        let kinds = ["rows", "tokens", "model", "adapter", "report", "items", "approval", "ref", "file", "dir", "any"];
        let kinds = kinds.map(|word| serde_json::from_value::<ArtifactKind>(json!(word)).unwrap());
        let input = |kind: &ArtifactKind| ActionInput {
            port: format!("é{}", "i".repeat(kind.word().len() * 9)),
            kind: *kind,
            digest: Digest::of(kind.word().as_bytes()),
        };
        let output = |kind: &ArtifactKind| Port { name: kind.word().to_owned(), kind: *kind, arity: crate::stage::Arity::One };
        Action {
            kind: "toy/emit".to_owned(),
            revision: 3,
            params: json!({"b": [1, -2, 0.5, null, true], "aa": {"x": "é"}, "": "empty"}),
            inputs: kinds.iter().map(input).collect(),
            sources: BTreeMap::from([("data/*".to_owned(), Vec::new()), ("b".to_owned(), Vec::new())]),
            outputs: kinds.iter().map(output).collect(),
            seed: u64::MAX,
            limit: None,
            platform: Some("linux"),
        }
    }

    /// A key that is written in two ways must not become two keys.
    #[test]
    fn an_action_is_written_straight_as_its_json_is_encoded() {
        let bare = Action { inputs: Vec::new(), outputs: Vec::new(), sources: BTreeMap::new(), limit: Some(7), ..action() };
        for action in [action(), bare] {
            assert_eq!(action.preimage().unwrap(), encode(&action.to_json()).unwrap());
        }
    }

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
