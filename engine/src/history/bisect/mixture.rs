//! A mixture of two runs on disk: the project's folder once more, with some files as they were in one run or the other.
//!
//! Everything that is not mixed is a link to the project's own file, so that nothing is copied and nothing of the user's is
//! touched. The runs of a bisection keep their journals beside it and never become the project's latest run.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{Mixture, Place, Places};
use crate::{history::Texts, project::Project, store::remove_all};

/// Never looked into: state of ours, and of version control.
const LEFT_OUT: [&str; 2] = [".flow", ".git"];

/// A project whose files are a mixture. Removed when it goes away.
#[derive(Debug)]
pub struct Mixed {
    /// To be planned and run like any other.
    pub project: Project,
    folder: PathBuf,
}

impl Mixed {
    /// Lays a mixture out below the project's state folder.
    pub fn lay_out(project: &Project, places: &Places, mixture: &Mixture) -> io::Result<Self> {
        let files = overrides(places, mixture, &Texts::of(&project.state));
        Self::with_files(project, (Path::new(&places.main), &files))
    }

    /// Lays the project out with some of its files replaced; those that lie elsewhere are left as they are.
    pub(in crate::history) fn with_files(
        project: &Project,
        (main, files): (&Path, &BTreeMap<PathBuf, String>),
    ) -> io::Result<Self> {
        let folder = project.state.join("bisect").join(ulid::Ulid::new().to_string());
        let base = folder.join("project");
        let files = files.iter().filter(|(path, _)| inside(path)).map(|(path, text)| (path.clone(), text.clone()));
        mirror(&project.base, &base, &files.collect())?;
        let mut mixed = project.clone();
        mixed.workflow_file = base.join(main);
        mixed.state = folder.join("state");
        mixed.site.base.clone_from(&base);
        mixed.base = base;
        Ok(Self { project: mixed, folder })
    }
}

impl Drop for Mixed {
    fn drop(&mut self) {
        if let Err(error) = remove_all(&self.folder) {
            tracing::warn!(%error, "Could not remove a mixture of two runs.");
        }
    }
}

/// The text of every file that is mixed, by its path below the base.
fn overrides(places: &Places, mixture: &Mixture, texts: &Texts) -> BTreeMap<PathBuf, String> {
    let mut documents: BTreeMap<String, Value> = BTreeMap::new();
    for (path, good, bad) in &places.files {
        if let Some(document) = good.clone().or_else(|| bad.clone()) {
            documents.insert(path.clone(), document);
        }
    }
    let mut code = BTreeMap::new();
    for (number, place) in places.mixable.iter().enumerate() {
        let from_bad = mixture.from_bad.contains(&number);
        match place {
            Place::Value { file, keys, change } if from_bad => set(documents.get_mut(file), keys, change.new.as_ref()),
            Place::Structure { parts } if from_bad => {
                for (file, keys, change) in parts {
                    set(documents.get_mut(file), keys, change.new.as_ref());
                }
            }
            // Parameters are set below; documents are those of the good run to begin with.
            Place::Param { .. } | Place::Value { .. } | Place::Structure { .. } => {}
            Place::Code { file, old, new } => {
                let text = texts.read(if from_bad { new } else { old });
                code.extend(text.map(|text| (PathBuf::from(file), text)));
            }
        }
    }
    if let Some(document) = documents.get_mut(&places.main) {
        fix_params(document, &params(places, mixture));
        // Nobody is told of a run that was only an experiment.
        if let Some(document) = document.as_object_mut() {
            document.remove("hooks");
        }
    }
    // JSON is YAML, too.
    let files = documents.into_iter().filter(|(path, _)| inside(Path::new(path)));
    files.map(|(path, document)| (PathBuf::from(path), document.to_string())).chain(code).collect()
}

/// Whether a path stays below the folder it is relative to.
pub(super) fn inside(path: &Path) -> bool {
    path.components().all(|component| matches!(component, Component::Normal(_)))
}

/// The value of every parameter in the mixture.
fn params(places: &Places, mixture: &Mixture) -> BTreeMap<String, Value> {
    let from_bad = |name: &str| {
        let numbered = places.mixable.iter().enumerate();
        let number = numbered
            .filter(|(_, place)| matches!(place, Place::Param { change } if change.path == name))
            .map(|(number, _)| number);
        number.into_iter().any(|number| mixture.from_bad.contains(&number))
    };
    let value = |(name, good, bad): &(String, Option<Value>, Option<Value>)| {
        let (first, second) = if from_bad(name) { (bad, good) } else { (good, bad) };
        Some((name.clone(), first.clone().or_else(|| second.clone())?))
    };
    places.params.iter().filter_map(value).collect()
}

/// Writes values where the document declares defaults, so that they need not be given again; a profile would win over them.
fn fix_params(document: &mut Value, values: &BTreeMap<String, Value>) {
    let profiles = document.get_mut("profiles").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
    for profile in profiles.filter_map(Value::as_object_mut) {
        profile.remove("params");
    }
    let Some(declared) = document.get_mut("params").and_then(Value::as_object_mut) else { return };
    for (name, value) in values {
        if let Some(declaration) = declared.get_mut(name).and_then(Value::as_object_mut) {
            declaration.insert("default".to_owned(), value.clone());
        }
    }
}

/// Sets or removes the value at a place, making the mappings that lead there.
fn set(document: Option<&mut Value>, keys: &[String], value: Option<&Value>) {
    let (Some(mut node), Some((last, above))) = (document, keys.split_last()) else { return };
    for key in above {
        if !node.is_object() {
            *node = json!({});
        }
        let Some(map) = node.as_object_mut() else { return };
        node = map.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
    }
    let Some(map) = node.as_object_mut() else { return };
    match value {
        Some(value) => {
            map.insert(last.clone(), value.clone());
        }
        // Order says nothing in a workflow.
        None => {
            map.remove(last);
        }
    }
}

/// Makes `to` look like `from`, with some files replaced or added.
fn mirror(from: &Path, to: &Path, overrides: &BTreeMap<PathBuf, String>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut below: BTreeMap<PathBuf, BTreeMap<PathBuf, String>> = BTreeMap::new();
    for (path, text) in overrides {
        let mut steps = path.components();
        let Some(first) = steps.next().map(|step| PathBuf::from(step.as_os_str())) else { continue };
        let rest = steps.as_path();
        if rest.as_os_str().is_empty() {
            fs::write(to.join(&first), text)?;
        } else {
            below.entry(first).or_default().insert(rest.to_owned(), text.clone());
        }
    }
    for (folder, inner) in &below {
        mirror(&from.join(folder), &to.join(folder), inner)?;
    }
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let place = to.join(entry.file_name());
        let left_out = LEFT_OUT.iter().any(|name| entry.file_name() == *name);
        if !left_out && place.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(entry.path(), &place)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Change;

    fn places() -> Places {
        let change = |old: i64, new: i64| Change { path: "lr".into(), old: Some(json!(old)), new: Some(json!(new)) };
        let keys = ["stages", "a", "with", "n"].map(str::to_owned).to_vec();
        Places {
            mixable: vec![
                Place::Param { change: change(1, 2) },
                Place::Value { file: "workflow.yaml".into(), keys, change: change(10, 20) },
            ],
            fixed: Vec::new(),
            main: "workflow.yaml".into(),
            files: vec![(
                "workflow.yaml".into(),
                Some(json!({"hooks": {"failure": []}, "params": {"lr": {"type": "int"}}, "stages": {"a": {"with": {"n": 10}}}})),
                None,
            )],
            params: vec![("lr".into(), Some(json!(1)), Some(json!(2)))],
        }
    }

    fn mixed(from_bad: &[usize]) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let mixture = Mixture { from_bad: from_bad.iter().copied().collect() };
        let files = overrides(&places(), &mixture, &Texts::of(folder.path()));
        serde_json::from_str(&files[Path::new("workflow.yaml")]).unwrap()
    }

    #[test]
    fn each_place_comes_from_the_run_it_is_taken_from() {
        let good = mixed(&[]);
        assert_eq!((&good["params"]["lr"]["default"], &good["stages"]["a"]["with"]["n"]), (&json!(1), &json!(10)));
        assert!(good.get("hooks").is_none(), "{good}");
        let half = mixed(&[0]);
        assert_eq!((&half["params"]["lr"]["default"], &half["stages"]["a"]["with"]["n"]), (&json!(2), &json!(10)));
        let bad = mixed(&[0, 1]);
        assert_eq!((&bad["params"]["lr"]["default"], &bad["stages"]["a"]["with"]["n"]), (&json!(2), &json!(20)));
    }

    #[test]
    fn code_is_laid_out_as_it_was_in_the_run_it_is_taken_from() {
        let folder = tempfile::tempdir().unwrap();
        let texts = Texts::of(folder.path());
        let (old, new) = (texts.keep("echo old\n").unwrap(), texts.keep("echo new\n").unwrap());
        let places = Places { mixable: vec![Place::Code { file: "tools/a.sh".into(), old, new }], ..Places::default() };
        let read = |from_bad: &[usize]| {
            let mixture = Mixture { from_bad: from_bad.iter().copied().collect() };
            overrides(&places, &mixture, &texts).remove(Path::new("tools/a.sh"))
        };
        assert_eq!((read(&[]).as_deref(), read(&[0]).as_deref()), (Some("echo old\n"), Some("echo new\n")));
    }

    #[test]
    fn a_mirror_replaces_deep_files_and_leaves_the_originals_alone() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("tools")).unwrap();
        for (name, text) in [("data.txt", "data"), ("tools/a.py", "old"), ("tools/b.py", "b")] {
            fs::write(from.join(name), text).unwrap();
        }
        let to = folder.path().join("to");
        let overrides = [("tools/a.py", "new"), ("more/c.py", "c")].map(|(path, text)| (PathBuf::from(path), text.to_owned()));
        mirror(&from, &to, &BTreeMap::from(overrides)).unwrap();
        let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
        assert_eq!([read("data.txt"), read("tools/a.py"), read("tools/b.py"), read("more/c.py")], ["data", "new", "b", "c"]);
        assert_eq!(fs::read_to_string(from.join("tools/a.py")).unwrap(), "old");
    }
}
