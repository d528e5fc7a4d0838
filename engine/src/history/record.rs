//! What a run was asked to do, in full: resolved parameters and the text of every workflow file.
//!
//! Written when a run starts. It explains and never decides: a run without one, or with a torn one, is told without it.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Texts;
use crate::{
    Digest,
    plan::{Plan, PlannedStage},
    project::Project,
    run::RunPaths,
    source::SourceFile,
};

const FORMAT: u32 = 1;
/// Generated workflows beyond this are not kept.
const LARGEST_FILE: usize = 16 << 20;
/// A longer code file is a program, and nobody reads its differences here.
const LARGEST_CODE: u64 = 256 << 10;

/// What a run was asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of this record.
    pub format: u32,
    /// The version of `flow` that started the run.
    pub flow: String,
    /// Resolved parameters of the workflow.
    pub params: BTreeMap<String, Value>,
    /// The workflow's seed.
    pub seed: u64,
    /// Rows to read at most.
    pub limit: Option<u64>,
    /// The workflow file first, then its components.
    pub files: Vec<RecordedFile>,
}

/// One workflow file as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFile {
    /// Relative to the workflow file's folder, if it lies below it.
    pub path: String,
    /// Its text, as [`Texts`] keeps it.
    pub digest: Digest,
}

impl RunRecord {
    /// Records a run that is about to start. A record that cannot be written keeps no run from running.
    pub(crate) fn keep(plan: &Plan, project: &Project, paths: &RunPaths) {
        if let Err(error) = Self::write(plan, project, paths) {
            tracing::warn!(%error, "Could not record what the run was asked to do.");
        }
    }

    fn write(plan: &Plan, project: &Project, paths: &RunPaths) -> io::Result<()> {
        let texts = Texts::of(&project.state);
        let mut files = Vec::with_capacity(plan.files.len());
        for file in plan.files.iter().filter(|file| file.text().len() <= LARGEST_FILE) {
            files.push(RecordedFile { path: path_of(file.name(), project), digest: texts.keep(file.text())? });
        }
        let record = Self {
            format: FORMAT,
            flow: env!("CARGO_PKG_VERSION").to_owned(),
            params: plan.params.clone(),
            seed: plan.seed,
            limit: plan.limit,
            files,
        };
        fs::write(paths.record(), serde_json::to_vec(&record)?)
    }

    /// The record of a run, if there is a whole one of a known format.
    pub fn read(paths: &RunPaths) -> Option<Self> {
        let record: Self = serde_json::from_slice(&fs::read(paths.record()).ok()?).ok()?;
        (record.format == FORMAT).then_some(record)
    }
}

/// The path of a workflow file as records name it.
pub(super) fn path_of(file: &str, project: &Project) -> String {
    let path = Path::new(file);
    path.strip_prefix(&project.base).unwrap_or(path).to_string_lossy().into_owned()
}

/// Keeps the texts of a command's code, so that a later run can say what changed in them.
pub(crate) fn keep_code(folder: &Path, stage: &PlannedStage, sources: &BTreeMap<String, Vec<SourceFile>>) {
    let texts = Texts::of(folder);
    for pattern in code_patterns(stage.stage.kind(), &stage.stage.config()) {
        for file in sources.get(&pattern).into_iter().flatten().filter(|file| file.bytes <= LARGEST_CODE) {
            // A program that is no text, or is gone by now, is told by its digest alone.
            let Ok(text) = fs::read_to_string(&file.path) else { continue };
            if let Err(error) = texts.keep(&text) {
                tracing::warn!(%error, "Could not keep the code of a command.");
            }
        }
    }
}

/// The sources of a stage that are code, as its configuration or the pre-image of its key names them. Earlier pre-images name
/// them with the folder of their component.
pub(super) fn code_patterns(kind: &str, config: &Value) -> Vec<String> {
    if kind != "cmd" {
        return Vec::new();
    }
    let folder = config["folder"].as_str().filter(|folder| !folder.is_empty());
    let patterns = config["code"].as_array().map(Vec::as_slice).unwrap_or_default();
    let plain = patterns.iter().filter_map(Value::as_str);
    let below = |pattern: &str| Some(Path::new(folder?).join(pattern).to_string_lossy().into_owned());
    plain.flat_map(|pattern| std::iter::once(pattern.to_owned()).chain(below(pattern))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_code_of_commands_is_code() {
        let config = json!({"folder": "parts", "code": ["tool.py", "lib/*.py"], "external": ["data.csv"]});
        assert_eq!(code_patterns("cmd", &config), ["tool.py", "parts/tool.py", "lib/*.py", "parts/lib/*.py"]);
        assert_eq!(code_patterns("cmd", &json!({"code": ["tool.py"]})), ["tool.py"]);
        assert!(code_patterns("data/ingest", &config).is_empty());
        assert!(code_patterns("cmd", &Value::Null).is_empty());
    }
}
