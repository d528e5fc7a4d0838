//! What takes the room: by kind of stage, by project, and the biggest results.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::Serialize;

use super::{
    Store, StoreError,
    gc::{Candidate, Marked, named, sharded, weight},
};
use crate::Digest;

/// The room that a group of results takes. Groups may share objects, so that the sum is more than the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The kind of stage, or the project's folder.
    pub name: String,
    /// How many results.
    pub results: u64,
    /// Bytes of their objects, each counted once.
    pub bytes: u64,
}

/// What takes the room of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Results.
    pub results: u64,
    /// Bytes of everything below the store's folder.
    pub bytes: u64,
    /// Bytes of objects that results name.
    pub result_bytes: u64,
    /// Bytes of fetched sources.
    pub source_bytes: u64,
    /// Bytes of checkpoints.
    pub checkpoint_bytes: u64,
    /// Bytes in the trash, free after a day.
    pub trash_bytes: u64,
    /// Bytes of damaged objects that were set aside.
    pub quarantine_bytes: u64,
    /// By kind of stage, most first.
    pub kinds: Vec<Share>,
    /// By project, most first: what its latest runs and decisions refer to.
    pub projects: Vec<Share>,
    /// The biggest results.
    pub biggest: Vec<Candidate>,
}

impl Store {
    /// Measures the store. `projects` names the keys that each project refers to.
    pub fn usage(&self, projects: &BTreeMap<PathBuf, BTreeSet<Digest>>, biggest: usize) -> Result<Usage, StoreError> {
        let mut kinds: BTreeMap<String, (u64, Marked)> = BTreeMap::new();
        let mut by_project: BTreeMap<&PathBuf, (u64, Marked)> = BTreeMap::new();
        let (mut all, mut candidates, mut results) = (Marked::default(), Vec::new(), 0);
        for path in sharded(&self.root().join("ac"))? {
            let Some(key) = named(&path) else { continue };
            let Some(result) = self.actions().peek(&key)? else { continue };
            results += 1;
            candidates.push(Candidate::of(&result));
            all.add_result(self, &result);
            let add = |(count, marked): &mut (u64, Marked)| {
                *count += 1;
                marked.add_result(self, &result);
            };
            add(kinds.entry(result.kind.clone()).or_default());
            for (project, _) in projects.iter().filter(|(_, keys)| keys.contains(&key)) {
                add(by_project.entry(project).or_default());
            }
        }
        candidates.sort_by(|one, other| other.bytes.cmp(&one.bytes).then(one.key.cmp(&other.key)));
        candidates.truncate(biggest);
        let mut checkpoints = Marked::default();
        for artifact in self.sweep_checkpoints(&|_, _| true)? {
            checkpoints.add(self, &artifact);
        }
        let room = |folder: &str| weight(&self.root().join(folder));
        Ok(Usage {
            results,
            bytes: weight(self.root()),
            result_bytes: all.bytes,
            source_bytes: room("src"),
            checkpoint_bytes: checkpoints.bytes + room("scratch"),
            trash_bytes: room("trash"),
            quarantine_bytes: room("quarantine"),
            kinds: shares(kinds.into_iter()),
            projects: shares(by_project.into_iter().map(|(project, share)| (project.display().to_string(), share))),
            biggest: candidates,
        })
    }
}

fn shares(groups: impl Iterator<Item = (String, (u64, Marked))>) -> Vec<Share> {
    let mut shares: Vec<Share> = groups.map(|(name, (results, marked))| Share { name, results, bytes: marked.bytes }).collect();
    shares.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.name.cmp(&other.name)));
    shares
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        ArtifactKind,
        store::{ActionResult, Staged},
    };

    #[test]
    fn shared_objects_count_once_in_a_group() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        for (name, kind, text) in [("a", "toy/emit", "abc"), ("b", "toy/emit", "abc"), ("c", "toy/concat", "abcdef")] {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            let artifact = store.cas().ingest(&[Staged { path, kind: ArtifactKind::File }]).unwrap().remove(0);
            let mut result = ActionResult::new(Digest::of(name.as_bytes()), kind);
            result.outputs.insert("out".to_owned(), artifact);
            store.actions().put(&result).unwrap();
        }
        let project = PathBuf::from("/home/ada/project");
        let keys = BTreeMap::from([(project, BTreeSet::from([Digest::of(b"a"), Digest::of(b"b")]))]);
        let usage = store.usage(&keys, 2).unwrap();
        let told: Vec<(&str, u64, u64)> =
            usage.kinds.iter().map(|share| (share.name.as_str(), share.results, share.bytes)).collect();
        assert_eq!(told, [("toy/concat", 1, 6), ("toy/emit", 2, 3)]);
        assert_eq!((usage.projects[0].results, usage.projects[0].bytes), (2, 3));
        assert_eq!((usage.results, usage.result_bytes, usage.biggest.len()), (3, 9, 2));
        assert_eq!(usage.biggest[0].bytes, 6);
    }
}
