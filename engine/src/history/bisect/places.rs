//! The places in which two runs differ: those that a mixture can take from either, and those that it has to take as they are.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;

use super::{mixture::inside, recorded};
use crate::{
    Digest,
    history::{
        RunRecord, SourceDifference, SourceRole, Texts,
        difference::{Side, sources},
    },
    plan::{Change, difference},
    project::Project,
    workflow::structure,
};

/// Keys of a stage that decide what is connected to what; mixed one by one they would make workflows that do not fit.
const CONNECTIONS: [&str; 6] = ["uses", "in", "needs", "out", "foreach", "if"];
/// Keys of a workflow that decide no output.
const IDLE: [&str; 3] = ["name", "description", "hooks"];

/// A file, keys from its root, and both values there.
type Part = (String, Vec<String>, Change);

/// One place in which two runs differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Place {
    /// A parameter of the workflow.
    Param {
        /// Its name and both values.
        change: Change,
    },
    /// A value written in a workflow file.
    Value {
        /// The file.
        file: String,
        /// Keys from its root.
        keys: Vec<String>,
        /// The place and both values.
        change: Change,
    },
    /// Stages, their inputs, and everything else that only fits together.
    Structure {
        /// File, keys, and both values of each part.
        parts: Vec<Part>,
    },
    /// A file of a command's code.
    Code {
        /// Relative to the workflow file's folder.
        file: String,
        /// In the good run.
        old: Digest,
        /// In the bad run.
        new: Digest,
    },
}

/// All places in which two runs differ.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Places {
    /// A mixture takes these from either run.
    pub mixable: Vec<Place>,
    /// In words: what can be had only as it is now.
    pub fixed: Vec<String>,
    /// The workflow file among `files`.
    #[serde(skip)]
    pub(super) main: String,
    /// Workflow files by path, as they were in the good and in the bad run.
    #[serde(skip)]
    pub(super) files: Vec<(String, Option<Value>, Option<Value>)>,
    /// Resolved parameters of the good and of the bad run, by name.
    #[serde(skip)]
    pub(super) params: Vec<(String, Option<Value>, Option<Value>)>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Param { change } => write!(f, "param {change}"),
            Self::Value { file, change, .. } => write!(f, "{file}: {change}"),
            Self::Structure { parts } => {
                let list: Vec<String> = parts.iter().map(|(file, keys, _)| format!("{file}: {}", keys.join("."))).collect();
                write!(f, "the shape of the workflow ({})", list.join(", "))
            }
            Self::Code { file, old, new } => write!(f, "code {file} {} -> {}", old.short(), new.short()),
        }
    }
}

impl Places {
    pub(super) fn of(project: &Project, good: &Side, bad: &Side) -> Self {
        let texts = Texts::of(&project.state);
        let mut places = Self::default();
        match (recorded(good), recorded(bad)) {
            (Some(old), Some(new)) => {
                places.params(old, new);
                places.main = new.files.first().map(|file| file.path.clone()).unwrap_or_default();
                places.files(&texts, old, new);
                if old.limit != new.limit {
                    places.fixed.push(format!("--limit {} -> {}", count(old.limit), count(new.limit)));
                }
            }
            _ => places.fixed.push("the workflow: one of the runs was not recorded in full".to_owned()),
        }
        let profile = |side: &Side| side.state.request.profile.clone().unwrap_or_else(|| "none".to_owned());
        if profile(good) != profile(bad) {
            places.fixed.push(format!("--profile {} -> {}", profile(good), profile(bad)));
        }
        places.sources(&texts, (project, good, bad));
        places.revisions(good, bad);
        places
    }

    fn params(&mut self, good: &RunRecord, bad: &RunRecord) {
        let names: BTreeSet<&String> = good.params.keys().chain(bad.params.keys()).collect();
        for name in names {
            let (old, new) = (good.params.get(name).cloned(), bad.params.get(name).cloned());
            if old.is_some() && new.is_some() && old != new {
                self.mixable.push(Place::Param { change: Change { path: name.clone(), old: old.clone(), new: new.clone() } });
            }
            self.params.push((name.clone(), old, new));
        }
    }

    fn files(&mut self, texts: &Texts, good: &RunRecord, bad: &RunRecord) {
        let digest = |record: &RunRecord, path: &str| record.files.iter().find(|file| file.path == path).map(|file| file.digest);
        let paths: BTreeSet<&String> = good.files.iter().chain(&bad.files).map(|file| &file.path).collect();
        let mut parts = Vec::new();
        for path in paths {
            let (old, new) = (digest(good, path), digest(bad, path));
            let read = |digest: Option<Digest>| digest.and_then(|digest| texts.read(&digest)).and_then(|text| structure(&text));
            let (before, after) = (read(old), read(new));
            let lost = (old.is_some() && before.is_none()) || (new.is_some() && after.is_none());
            if old != new && (lost || path.starts_with(['/', '.'])) {
                self.fixed.push(format!("workflow file {path}: its text is not kept, or lies outside the project"));
                continue;
            }
            if let (Some(before), Some(after)) = (&before, &after) {
                self.values((path, &mut parts), before, after);
            }
            self.files.push((path.clone(), before, after));
        }
        if !parts.is_empty() {
            self.mixable.push(Place::Structure { parts });
        }
    }

    /// Changed values of one file; what only fits together goes to `parts`.
    fn values(&mut self, (file, parts): (&str, &mut Vec<Part>), old: &Value, new: &Value) {
        let mut leaves = Vec::new();
        compare(&mut leaves, Vec::new(), (Some(old), Some(new)));
        for (keys, change) in leaves {
            let at = |index: usize| keys.get(index).map(String::as_str).unwrap_or_default();
            let default = at(0) == "params" && at(2) == "default";
            if default || IDLE.contains(&at(0)) {
                // Defaults are told by the values they resolve to.
                continue;
            }
            let whole_stage = at(0) == "stages" && keys.len() == 2;
            let connection = at(0) == "stages" && CONNECTIONS.contains(&at(2));
            let elsewhere = !matches!(at(0), "stages" | "defaults" | "seed" | "profiles");
            if whole_stage || connection || elsewhere {
                parts.push((file.to_owned(), keys, change));
            } else {
                self.mixable.push(Place::Value { file: file.to_owned(), keys, change });
            }
        }
    }

    fn sources(&mut self, texts: &Texts, (project, good, bad): (&Project, &Side, &Side)) {
        let mut seen = BTreeSet::new();
        for source in sources(texts, good, bad) {
            if !seen.insert((source.path.clone(), source.old, source.new)) {
                continue;
            }
            let kept = |digest: Option<Digest>| digest.filter(|digest| texts.read(digest).is_some());
            let both = kept(source.old).zip(kept(source.new)).filter(|_| source.role == SourceRole::Code);
            if let Some(((old, new), file)) = both.zip(self.code_file(project, &source)) {
                self.mixable.push(Place::Code { file, old, new });
                continue;
            }
            let state =
                if present(project, &source.path) == source.new { "as in the bad run now" } else { "it cannot be had as it was" };
            self.fixed.push(format!("{} {} of stage {} ({state})", source.role.word(), source.path, source.stage));
        }
    }

    /// Where a file of code lies below the workflow's folder: beside the workflow, or beside the one component that can hold it.
    fn code_file(&self, project: &Project, source: &SourceDifference) -> Option<String> {
        let components = self.files.iter().map(|(path, _, _)| path).filter(|path| **path != self.main);
        let folders: BTreeSet<PathBuf> = if source.stage.contains('/') {
            components.filter_map(|path| Path::new(path).parent().map(Path::to_owned)).collect()
        } else {
            BTreeSet::from([PathBuf::new()])
        };
        let places = folders.into_iter().map(|folder| folder.join(&source.path));
        let mut found = places.filter(|place| inside(place) && project.base.join(place).is_file());
        let only = found.next()?;
        found.next().is_none().then(|| only.to_string_lossy().into_owned())
    }

    fn revisions(&mut self, good: &Side, bad: &Side) {
        for (stage, new) in &bad.preimages {
            let Some(old) = good.preimages.get(stage) else { continue };
            let logic = difference(&old["revision"], &new["revision"]);
            if old["kind"] == new["kind"] && !logic.is_empty() {
                self.fixed.push(format!(
                    "the code of {} in flow itself (revision {} -> {})",
                    new["kind"], old["revision"], new["revision"]
                ));
            }
        }
        self.fixed.dedup();
    }
}

fn count(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |rows| rows.to_string())
}

fn present(project: &Project, path: &str) -> Option<Digest> {
    std::fs::read(project.base.join(path)).ok().map(|bytes| Digest::of(&bytes))
}

/// Every place where two documents differ, by keys. Lists count as one value: their items have no names.
fn compare(out: &mut Vec<(Vec<String>, Change)>, keys: Vec<String>, values: (Option<&Value>, Option<&Value>)) {
    match values {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let below = keys.iter().chain([name]).cloned().collect();
                compare(out, below, (old.get(name), new.get(name)));
            }
        }
        (old, new) if old != new => {
            let change = Change { path: keys.join("."), old: old.cloned(), new: new.cloned() };
            out.push((keys, change));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_only_fits_together_is_one_place() {
        let old = json!({"name": "w", "stages": {"a": {"uses": "x@1", "with": {"n": 1, "m": [1]}}, "b": {"in": {"p": "a.out"}}}});
        let new = json!({"name": "v", "stages": {"a": {"uses": "x@1", "with": {"n": 2, "m": [1, 2]}}, "b": {"in": {"p": "c.out"}}, "c": {}}});
        let mut places = Places::default();
        let mut parts = Vec::new();
        places.values(("w.yaml", &mut parts), &old, &new);
        let told: Vec<String> = places.mixable.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["w.yaml: stages.a.with.m [1] -> [1,2]", "w.yaml: stages.a.with.n 1 -> 2"]);
        let parts: Vec<String> = parts.into_iter().map(|(_, keys, _)| keys.join(".")).collect();
        assert_eq!(parts, ["stages.b.in.p", "stages.c"]);
    }

    #[test]
    fn a_changed_default_is_told_by_the_value_it_resolves_to() {
        let mut places = Places::default();
        let mut parts = Vec::new();
        let (old, new) = (json!({"params": {"lr": {"default": 1}}}), json!({"params": {"lr": {"default": 2}}}));
        places.values(("w.yaml", &mut parts), &old, &new);
        assert!(places.mixable.is_empty() && parts.is_empty());
    }
}
