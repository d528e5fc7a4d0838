//! Checkpoints by trajectory key: small records that name trees of the content store.
//!
//! `ckpt/<key>/<step>-<action>` holds one record. Every action writes and lets go of its own records only, so two runs on one
//! trajectory need no lock; each reads what the other left. A checkpoint only saves work: whoever reads one checks all of
//! its bytes and passes over a damaged one for the one before.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{Staged, Store, StoreError, cas::shard, files, release::Object, tree::NodeEntry};
use crate::{Artifact, ArtifactKind, Digest, artifact::ArtifactForm, horizon::Milestone};

const FORMAT: u32 = 1;

/// One checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Version of this record.
    pub format: u32,
    /// Where on the way it lies.
    pub milestone: Milestone,
    /// The end of the run that wrote it, as its configuration names it.
    pub limits: BTreeMap<String, u64>,
    /// The action that wrote it.
    pub action: Digest,
    /// Whether it came from a run of another length whose steps depended on that length.
    pub grafted: bool,
    /// Its files.
    pub state: Artifact,
    /// Objects that were not in the store before it, with their change times when it was filed; unknown to earlier versions.
    #[serde(default)]
    pub own: BTreeMap<Digest, i64>,
}

/// The checkpoints of one trajectory.
#[derive(Clone, Debug)]
pub struct Trajectory {
    store: Store,
    folder: PathBuf,
}

impl Store {
    /// The checkpoints filed under a trajectory key.
    pub fn trajectory(&self, key: &Digest) -> Trajectory {
        Trajectory { store: self.clone(), folder: shard(&self.root().join("ckpt"), key) }
    }

    /// Removes the checkpoint records that `stays` does not keep and returns what the others name: roots of a collector.
    /// `stays` sees the file of a record and the action that wrote it; a folder and a file that is no record have none.
    pub fn sweep_checkpoints(&self, stays: &dyn Fn(&Path, Option<&Digest>) -> bool) -> Result<Vec<Artifact>, StoreError> {
        let mut roots = Vec::new();
        for shard in entries(&self.root().join("ckpt"))? {
            for folder in entries(&shard)? {
                for path in entries(&folder)? {
                    let record = read(&path);
                    if !stays(&path, record.as_ref().map(|record| &record.action)) {
                        files::remove_all(&path).map_err(StoreError::io("remove", &path))?;
                    } else if let Some(record) = record {
                        roots.push(record.state);
                    }
                }
                if !stays(&folder, None) {
                    // It goes when it is empty, and only then.
                    fs::remove_dir(&folder).ok();
                }
            }
        }
        Ok(roots)
    }
}

impl Trajectory {
    /// Every record, farthest first.
    pub fn records(&self) -> Result<Vec<CheckpointRecord>, StoreError> {
        let mut records: Vec<CheckpointRecord> = entries(&self.folder)?.iter().filter_map(|path| read(path)).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.milestone.step));
        Ok(records)
    }

    /// Moves a folder into the store and files it. When this returns, both are on disk.
    pub fn save(
        &self,
        (action, grafted): (Digest, bool),
        (milestone, limits): (&Milestone, &BTreeMap<String, u64>),
        folder: &Path,
    ) -> Result<(), StoreError> {
        let staged = Staged { path: folder.to_owned(), kind: ArtifactKind::Dir };
        let fresh = Arc::new(Mutex::new(BTreeSet::new()));
        let Some(state) = self.store.cas().noting(&fresh).ingest(&[staged])?.pop() else { return Ok(()) };
        // Its files are links into the store now, through which nobody may write.
        files::remove_all(folder).map_err(StoreError::io("remove", folder))?;
        let (milestone, limits) = (milestone.clone(), limits.clone());
        let own = self.own(&state, &fresh);
        let record = CheckpointRecord { format: FORMAT, milestone, limits, action, grafted, state, own };
        let place = self.place(&record);
        let text = serde_json::to_string(&record).map_err(|source| StoreError::Record { path: place.clone(), source })?;
        let bytes = format!("{text}\n{}\n", Digest::of(text.as_bytes()));
        files::make_folder(&self.folder)?;
        files::write_atomic(bytes.as_bytes(), &place).or_else(|_| {
            // A collector may have removed the folder while it was empty.
            files::make_folder(&self.folder)?;
            files::write_atomic(bytes.as_bytes(), &place)
        })
    }

    /// Lays a checkpoint out below `place`; false when it is not whole, and then it is forgotten.
    pub fn lay_out(&self, record: &CheckpointRecord, place: &Path) -> Result<bool, StoreError> {
        let cas = self.store.cas();
        let objects = self.objects(&record.state);
        let mut whole = !objects.is_empty();
        for (kind, digest) in &objects {
            whole &= *kind == Object::Node || cas.verify(digest)?;
        }
        if whole && cas.holds(&record.state)? {
            cas.materialise(&record.state, place, super::Materialise::Linked)?;
            return Ok(true);
        }
        tracing::warn!(step = record.milestone.step, "Passed over a damaged checkpoint.");
        files::remove_all(&self.place(record)).map_err(StoreError::io("remove", &self.folder))?;
        Ok(false)
    }

    /// Lets go of the records of an action that `stays` does not keep, with every object that nobody else named since.
    pub fn prune(&self, action: &Digest, stays: &dyn Fn(&CheckpointRecord) -> bool) -> Result<(), StoreError> {
        let (old, kept): (Vec<_>, Vec<_>) =
            self.records()?.into_iter().partition(|record| record.action == *action && !stays(record));
        let kept: BTreeSet<_> = kept.iter().flat_map(|record| self.objects(&record.state)).collect();
        for record in old {
            let objects = self.objects(&record.state);
            let own = objects.difference(&kept).filter_map(|object| Some((*object, *record.own.get(&object.1)?)));
            files::remove_all(&self.place(&record)).map_err(StoreError::io("remove", &self.folder))?;
            self.store.release(&own.collect())?;
        }
        Ok(())
    }

    fn place(&self, record: &CheckpointRecord) -> PathBuf {
        let action = record.action.to_string();
        self.folder.join(format!("{:010}-{}", record.milestone.step, action.get(..16).unwrap_or_default()))
    }

    /// The objects of a checkpoint that were not in the store before it.
    fn own(&self, state: &Artifact, fresh: &Mutex<BTreeSet<Digest>>) -> BTreeMap<Digest, i64> {
        let fresh = fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let own = self.objects(state).into_iter().filter(|(_, digest)| fresh.contains(digest));
        self.store.change_times(&own.collect())
    }

    /// Every object of a checkpoint; nothing when one of its folders cannot be read.
    fn objects(&self, state: &Artifact) -> BTreeSet<(Object, Digest)> {
        let mut objects = BTreeSet::new();
        let mut folders = Vec::new();
        match state.form {
            ArtifactForm::Blob => drop(objects.insert((Object::Blob, state.digest))),
            ArtifactForm::Tree => folders.push(state.digest),
        }
        while let Some(folder) = folders.pop() {
            let Ok(node) = self.store.cas().node(&folder) else { return BTreeSet::new() };
            objects.insert((Object::Node, folder));
            for entry in node.entries.values() {
                match entry {
                    NodeEntry::File { digest, .. } => drop(objects.insert((Object::Blob, *digest))),
                    NodeEntry::Folder { digest } => folders.push(*digest),
                    NodeEntry::Link { .. } => {}
                }
            }
        }
        objects
    }
}

/// What lies in a folder; nothing when there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(folder) {
        Ok(list) => Ok(list.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::io("list", folder)(error)),
    }
}

fn read(path: &Path) -> Option<CheckpointRecord> {
    let text = fs::read_to_string(path).ok()?;
    let (record, digest) = text.strip_suffix('\n')?.split_once('\n')?;
    let whole = Digest::of(record.as_bytes()).to_string() == digest;
    serde_json::from_str(record).ok().filter(|record: &CheckpointRecord| whole && record.format == FORMAT)
}
