//! A minimal collector: results that are old and unreferenced go, then every object that no remaining result names.
//!
//! Objects touched lately stay whatever refers to them: a commit links its blobs before it records its result.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{Store, StoreError, files, tree::NodeEntry};
use crate::{Artifact, Digest, artifact::ArtifactForm};

/// What the collector keeps.
#[derive(Clone, Debug)]
pub struct GcOptions {
    /// Results and checkpoints that runs of registered projects refer to.
    pub referenced: BTreeSet<Digest>,
    /// Unreferenced results and checkpoints younger than this stay.
    pub older_than: Duration,
    /// Objects touched within this time stay whatever refers to them.
    pub grace: Duration,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self { referenced: BTreeSet::new(), older_than: Duration::from_hours(7 * 24), grace: Duration::from_hours(2) }
    }
}

/// What the collector did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Results removed.
    pub results: u64,
    /// Blobs, nodes, checkpoints, and temporary files removed.
    pub objects: u64,
    /// Bytes freed.
    pub bytes: u64,
    /// Bytes of the blobs that stay.
    pub kept_bytes: u64,
}

#[derive(Default)]
struct Marked {
    blobs: BTreeSet<Digest>,
    nodes: BTreeSet<Digest>,
}

impl Store {
    /// Removes what nothing refers to and nobody touched lately.
    pub fn collect(&self, options: &GcOptions) -> Result<Collected, StoreError> {
        let mut collected = Collected::default();
        let living = self.reservations().living()?;
        let mut marked = self.sweep_results(options, &mut collected)?;
        // A run that was stopped long ago goes on from its checkpoints, and a longer one from those of a shorter.
        let at_work: BTreeSet<Digest> = living.iter().map(|(key, _)| *key).collect();
        let roots = self.sweep_checkpoints(&|path, action| {
            let used = action.is_some_and(|key| at_work.contains(key) || options.referenced.contains(key));
            used || !older(path, options.older_than)
        })?;
        for artifact in &roots {
            self.mark(artifact, &mut marked);
        }
        self.sweep_objects("cas", &marked.blobs, options.grace, &mut collected)?;
        self.sweep_objects("tree", &marked.nodes, options.grace, &mut collected)?;
        let keys = living.iter().map(|(key, _)| key).chain(&options.referenced);
        let keys: BTreeSet<String> = keys.map(ToString::to_string).collect();
        let tokens: BTreeSet<String> = living.into_iter().map(|(_, owner)| owner.token).collect();
        for shard in entries(&self.root().join("scratch"))? {
            sweep_folder(&shard, &keys, options.older_than, &mut collected)?;
        }
        sweep_folder(&self.root().join("tmp"), &tokens, options.grace, &mut collected)?;
        sweep_folder(&self.root().join("quarantine"), &BTreeSet::new(), options.older_than, &mut collected)?;
        Ok(collected)
    }

    fn sweep_results(&self, options: &GcOptions, collected: &mut Collected) -> Result<Marked, StoreError> {
        let mut marked = Marked::default();
        for path in sharded(&self.root().join("ac"))? {
            let Some(key) = named(&path) else { continue };
            let stays = options.referenced.contains(&key) || !older(&path, options.older_than);
            match self.actions().peek(&key)? {
                Some(result) if stays => {
                    for artifact in result.outputs.values() {
                        self.mark(artifact, &mut marked);
                    }
                }
                Some(_) => {
                    collected.results += 1;
                    remove(&path, collected)?;
                }
                None => {}
            }
        }
        Ok(marked)
    }

    fn mark(&self, artifact: &Artifact, marked: &mut Marked) {
        match artifact.form {
            ArtifactForm::Blob => {
                marked.blobs.insert(artifact.digest);
            }
            ArtifactForm::Tree => self.mark_tree(artifact.digest, marked),
        }
    }

    fn mark_tree(&self, digest: Digest, marked: &mut Marked) {
        if !marked.nodes.insert(digest) {
            return;
        }
        // A node that cannot be read makes its result a miss later; nothing below it can be known.
        let Ok(node) = self.cas().node(&digest) else { return };
        for entry in node.entries.values() {
            match entry {
                NodeEntry::File { digest, .. } => {
                    marked.blobs.insert(*digest);
                }
                NodeEntry::Folder { digest } => self.mark_tree(*digest, marked),
                NodeEntry::Link { .. } => {}
            }
        }
    }

    fn sweep_objects(
        &self,
        folder: &str,
        marked: &BTreeSet<Digest>,
        grace: Duration,
        collected: &mut Collected,
    ) -> Result<(), StoreError> {
        for path in sharded(&self.root().join(folder))? {
            let Some(digest) = named(&path) else { continue };
            if !marked.contains(&digest) && older(&path, grace) {
                remove(&path, collected)?;
            } else if let Ok(metadata) = path.symlink_metadata() {
                collected.kept_bytes += metadata.len();
            }
        }
        Ok(())
    }
}

fn sweep_folder(folder: &Path, keep: &BTreeSet<String>, age: Duration, collected: &mut Collected) -> Result<(), StoreError> {
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !keep.contains(&name) && untouched(&path, age) {
            remove(&path, collected)?;
        }
    }
    Ok(())
}

fn remove(path: &Path, collected: &mut Collected) -> Result<(), StoreError> {
    collected.bytes += weight(path);
    collected.objects += 1;
    files::remove_all(path).map_err(StoreError::io("remove", path))
}

fn weight(path: &Path) -> u64 {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => entries(path).unwrap_or_default().iter().map(|inner| weight(inner)).sum(),
        // Hard links into the store free nothing when they go.
        Ok(metadata) if metadata.nlink() > 1 => 0,
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}

/// Whether the change time, which no copy or link preserves, lies longer back than `age`.
fn older(path: &Path, age: Duration) -> bool {
    let Ok(metadata) = path.symlink_metadata() else { return false };
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or_default());
    changed.elapsed().is_ok_and(|elapsed| elapsed >= age)
}

/// Whether nothing in a folder changed within `age`: a long fetch or a checkpoint touches its files and not the folder.
fn untouched(path: &Path, age: Duration) -> bool {
    let inner = if path.is_dir() { entries(path).unwrap_or_default() } else { Vec::new() };
    older(path, age) && inner.iter().all(|inner| untouched(inner, age))
}

fn named(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.parse().ok()
}

fn sharded(folder: &Path) -> Result<Vec<std::path::PathBuf>, StoreError> {
    let mut all = Vec::new();
    for shard in entries(folder)? {
        all.extend(entries(&shard)?);
    }
    Ok(all)
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, StoreError> {
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        // Another collector may have been faster.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", folder)(error)),
    };
    let mut paths: Vec<_> = list.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    Ok(paths)
}
