//! What the collector must keep for the people who use a store: their latest runs, their decisions, and their models.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{History, RunError};
use crate::{Digest, store::Store};

/// Folders below a registry that are looked into: model, version, and one to spare.
const DEEPEST: usize = 3;
/// What the registry writes about a version.
const VERSION: &str = "version.json";

impl History {
    /// Keys that any project registered with the store refers to. Projects that are gone are forgotten.
    pub fn referenced_in(store: &Store) -> Result<BTreeSet<Digest>, RunError> {
        Ok(Self::roots_in(store)?.into_values().flatten().collect())
    }

    /// The same by project, each named by its folder; registries stand for themselves.
    pub fn roots_in(store: &Store) -> Result<BTreeMap<PathBuf, BTreeSet<Digest>>, RunError> {
        let mut roots: BTreeMap<PathBuf, BTreeSet<Digest>> = BTreeMap::new();
        for project in store.registered()? {
            let folder = project.state.parent().unwrap_or(&project.state).to_owned();
            roots.entry(folder).or_default().extend(Self::below(project.state).referenced());
            if let Some(registry) = project.registry.filter(|registry| !roots.contains_key(registry)) {
                let mut keys = BTreeSet::new();
                registered(&registry, 0, &mut keys);
                roots.insert(registry, keys);
            }
        }
        roots.retain(|_, keys| !keys.is_empty());
        Ok(roots)
    }
}

/// The action keys in the lineage of every version. A registry that cannot be read refers to nothing.
fn registered(folder: &Path, depth: usize, keys: &mut BTreeSet<Digest>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if path.is_dir() && depth < DEEPEST {
            registered(&path, depth + 1, keys);
        } else if path.file_name().is_some_and(|name| name == VERSION)
            && let Some(version) = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok())
        {
            collect(&version, keys);
        }
    }
}

fn collect(value: &Value, keys: &mut BTreeSet<Digest>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, keys)),
        Value::Object(members) => {
            keys.extend(members.get("key").and_then(Value::as_str).and_then(|key| key.parse::<Digest>().ok()));
            members.values().for_each(|member| collect(member, keys));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lineage_of_a_version_is_a_root() {
        let folder = tempfile::tempdir().unwrap();
        let version = folder.path().join("triage/versions/1");
        fs::create_dir_all(&version).unwrap();
        let key = Digest::of(b"train");
        let lineage = serde_json::json!({"name": "triage", "lineage": [{"stage": "train", "key": key.to_string()}]});
        fs::write(version.join(VERSION), lineage.to_string()).unwrap();
        let mut keys = BTreeSet::new();
        registered(folder.path(), 0, &mut keys);
        assert_eq!(keys, BTreeSet::from([key]));
    }
}
