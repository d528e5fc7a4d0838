//! What two runs were asked to do: parameters, workflow files, sources, and code.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Side, unified::unified};
use crate::{
    Digest,
    history::{RunRecord, Texts, record::code_patterns},
    plan::{Change, difference},
    workflow::structure,
};

/// A workflow file that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileDifference {
    /// Relative to the workflow file's folder.
    pub path: String,
    /// Its text in the first run; none when the run did not read it.
    pub old: Option<Digest>,
    /// Its text in the second run.
    pub new: Option<Digest>,
    /// Changed keys and values; comments and layout are none.
    pub changes: Vec<Change>,
}

/// A file of a source or of a command's code that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceDifference {
    /// The stage that reads it.
    pub stage: String,
    /// The pattern or URI.
    pub source: String,
    /// Its name below that.
    pub path: String,
    /// Its content in the first run; none when it was not there.
    pub old: Option<Digest>,
    /// Its content in the second run.
    pub new: Option<Digest>,
    /// What it is to the stage.
    pub role: SourceRole,
    /// The changed lines, where both texts are kept.
    pub unified: Option<String>,
}

/// What a source file is to the stage that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceRole {
    /// Code of a command.
    Code,
    /// A program of the machine that a command starts.
    Tool,
    /// What it works on.
    Data,
}

impl SourceRole {
    /// Its name in a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Tool => "tool",
            Self::Data => "data",
        }
    }
}

/// Resolved parameters that differ; those of the command line when a run was not recorded in full.
pub(super) fn params(from: &Side, to: &Side) -> Vec<Change> {
    match (&from.record, &to.record) {
        (Some(old), Some(new)) => difference(&object(old), &object(new)),
        _ => difference(&requested(from), &requested(to)),
    }
}

fn object(record: &RunRecord) -> Value {
    Value::Object(record.params.clone().into_iter().collect())
}

fn requested(side: &Side) -> Value {
    let given = side.state.request.params.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())));
    Value::Object(given.collect())
}

/// Workflow files whose text differs.
pub(super) fn files(texts: &Texts, from: &Side, to: &Side) -> Vec<FileDifference> {
    let list = |side: &Side| -> BTreeMap<String, Digest> {
        let files = side.record.iter().flat_map(|record| &record.files);
        files.map(|file| (file.path.clone(), file.digest)).collect()
    };
    if from.record.is_none() || to.record.is_none() {
        return Vec::new();
    }
    let (old, new) = (list(from), list(to));
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let pairs = paths.into_iter().map(|path| (path, old.get(path).copied(), new.get(path).copied()));
    let changed = pairs.filter(|(_, old, new)| old != new);
    changed
        .map(|(path, old, new)| FileDifference { path: path.clone(), old, new, changes: structural(texts, old, new) })
        .collect()
}

fn structural(texts: &Texts, old: Option<Digest>, new: Option<Digest>) -> Vec<Change> {
    let read = |digest: Option<Digest>| digest.and_then(|digest| texts.read(&digest)).and_then(|text| structure(&text));
    match (read(old), read(new)) {
        (Some(old), Some(new)) => difference(&old, &new),
        // A new or lost file is told as a whole.
        _ => Vec::new(),
    }
}

/// Files of sources and of code that differ, of every stage that both runs know.
pub(in crate::history) fn sources(texts: &Texts, from: &Side, to: &Side) -> Vec<SourceDifference> {
    let mut found = Vec::new();
    for (stage, new) in &to.preimages {
        let Some(old) = from.preimages.get(stage) else { continue };
        let code: BTreeSet<String> = [old, new].into_iter().flat_map(patterns).collect();
        let (old, new) = (listed(old), listed(new));
        let places: BTreeSet<&(String, String)> = old.keys().chain(new.keys()).collect();
        for place in places {
            let pair = (old.get(place).copied(), new.get(place).copied());
            if pair.0 == pair.1 {
                continue;
            }
            let (source, path) = place.clone();
            let role = if code.contains(&source) {
                SourceRole::Code
            } else if source.starts_with("tool:") {
                SourceRole::Tool
            } else {
                SourceRole::Data
            };
            let unified = pair.0.zip(pair.1).and_then(|(old, new)| unified(&path, &texts.read(&old)?, &texts.read(&new)?));
            let stage = stage.clone();
            found.push(SourceDifference { stage, source, path, old: pair.0, new: pair.1, role, unified });
        }
    }
    found
}

fn patterns(preimage: &Value) -> Vec<String> {
    code_patterns(preimage["kind"].as_str().unwrap_or_default(), &preimage["params"])
}

/// Digests of a pre-image's source files by source and name.
fn listed(preimage: &Value) -> BTreeMap<(String, String), Digest> {
    let sources = preimage["sources"].as_object().into_iter().flat_map(Map::iter);
    let files = sources.flat_map(|(source, files)| files.as_array().into_iter().flatten().map(move |file| (source, file)));
    files
        .filter_map(|(source, file)| {
            let digest = file["digest"].as_str()?.parse().ok()?;
            Some(((source.clone(), file["name"].as_str()?.to_owned()), digest))
        })
        .collect()
}
