//! The collector: marks what results, runs, and leases refer to, and moves the rest to the trash, where it can be had back for a day.
//!
//! Runs go on meanwhile. Whoever relies on an object says so in its lease first; the collector reads the leases once more when
//! it has moved everything, and brings back what was asked for in between. Leans on leases and reservations; which keys the runs
//! of a project refer to is the caller's knowledge.

mod candidates;
mod mark;
mod trash;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::Serialize;

pub use candidates::Candidate;
pub(crate) use mark::Marked;
pub(crate) use trash::rescue;

use super::{Pin, Store, StoreError, failpoint, files};
use crate::{Artifact, Digest};

/// A temporary file is left alone for this long at least: many are written and moved without a lease.
const PASSING: Duration = Duration::from_mins(10);

/// What the collector keeps.
#[derive(Clone, Debug)]
pub struct GcOptions {
    /// Results and checkpoints that runs of registered projects refer to.
    pub referenced: BTreeSet<Digest>,
    /// Unreferenced results and checkpoints younger than this stay.
    pub older_than: Duration,
    /// Objects touched within this time stay whatever refers to them.
    pub grace: Duration,
    /// How long the trash is kept.
    pub trash_for: Duration,
    /// Room that results may take. Beyond it the ones that are cheapest to make again go, even if runs refer to them.
    pub max_bytes: Option<u64>,
    /// What is done with what goes.
    pub sweep: Sweep,
}

/// What is done with what goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// It is only told.
    Pretend,
    /// It is moved to the trash.
    Trash,
    /// It is deleted, and the trash with it.
    Delete,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self {
            referenced: BTreeSet::new(),
            older_than: Duration::from_hours(7 * 24),
            grace: Duration::from_hours(2),
            trash_for: Duration::from_hours(24),
            max_bytes: None,
            sweep: Sweep::Trash,
        }
    }
}

/// What the collector did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Collected {
    /// Results that went.
    pub results: u64,
    /// Blobs, nodes, checkpoints, and temporary files that went.
    pub objects: u64,
    /// Bytes of what went.
    pub bytes: u64,
    /// Bytes that are free now: the trash of earlier collections, and what needs no trash.
    pub freed_bytes: u64,
    /// Bytes of the blobs that stay.
    pub kept_bytes: u64,
    /// The results that went, cheapest first.
    pub evicted: Vec<Candidate>,
}

/// Everything one collection looks at.
struct Collection<'a> {
    store: &'a Store,
    options: &'a GcOptions,
    now: SystemTime,
    collected: Collected,
}

impl Store {
    /// Moves away what nothing refers to and nobody touched lately.
    pub fn collect(&self, options: &GcOptions) -> Result<Collected, StoreError> {
        // One collection at a time on a machine; two would only hinder each other.
        let turn = files::exclusive(&self.root().join("gc.lock"))?;
        let now = files::now(&self.root().join("tmp"))?;
        let mut collection = Collection { store: self, options, now, collected: Collected::default() };
        collection.run()?;
        drop(turn);
        Ok(collection.collected)
    }
}

impl Collection<'_> {
    fn run(&mut self) -> Result<(), StoreError> {
        let held = self.held()?;
        let entries = self.entries()?;
        let goes = self.choose(&entries, &held);
        let mut marked = Marked::default();
        for entry in entries.iter().filter(|entry| !goes.contains(&entry.result.key)) {
            marked.add_result(self.store, &entry.result);
        }
        marked.add_pins(self.store, held.iter().copied());
        for artifact in self.checkpoints(&held)? {
            marked.add(self.store, &artifact);
        }
        self.reach("gc-1-marked")?;
        let trash = self.store.root().join("trash").join(ulid::Ulid::new().to_string());
        for entry in entries.iter().filter(|entry| goes.contains(&entry.result.key)) {
            self.collected.results += 1;
            self.away(&entry.path, &trash.join("ac"))?;
        }
        self.sweep("cas", &marked.blobs, &trash)?;
        self.sweep("tree", &marked.nodes, &trash)?;
        self.reach("gc-2-moved")?;
        if self.options.sweep != Sweep::Pretend {
            self.bring_back()?;
        }
        self.reach("gc-3-rescued")?;
        self.clean_up()
    }

    fn reach(&self, site: &str) -> Result<(), StoreError> {
        failpoint::reach(site).map_err(StoreError::io("collect in", self.store.root()))
    }

    /// What living processes rely on.
    fn held(&self) -> Result<BTreeSet<Pin>, StoreError> {
        let living = self.store.reservations().living()?;
        let leases = self.store.leases().all()?;
        let pins = leases.into_iter().filter(|lease| lease.alive).flat_map(|lease| lease.pins);
        Ok(pins.chain(living.into_iter().map(|(key, _)| Pin::Result(key))).collect())
    }

    /// What the checkpoints that stay name. A run that was stopped long ago goes on from its own, a longer one from those of a
    /// shorter.
    fn checkpoints(&self, held: &BTreeSet<Pin>) -> Result<Vec<Artifact>, StoreError> {
        self.store.sweep_checkpoints(&|path, action| {
            let used = |key: &Digest| held.contains(&Pin::Result(*key)) || self.options.referenced.contains(key);
            self.options.sweep == Sweep::Pretend || action.is_some_and(used) || !self.older(path, self.options.older_than)
        })
    }

    /// Moves the objects of a folder that are neither marked nor young.
    fn sweep(&mut self, folder: &str, marked: &BTreeSet<Digest>, trash: &Path) -> Result<(), StoreError> {
        for path in sharded(&self.store.root().join(folder))? {
            let Some(digest) = named(&path) else { continue };
            if !marked.contains(&digest) && self.older(&path, self.options.grace) {
                self.away(&path, &trash.join(folder))?;
            } else if let Ok(metadata) = path.symlink_metadata() {
                self.collected.kept_bytes += metadata.len();
            }
        }
        Ok(())
    }

    /// Counts a file as gone and moves it to the trash.
    fn away(&mut self, path: &Path, trash: &Path) -> Result<(), StoreError> {
        self.collected.objects += 1;
        self.collected.bytes += weight(path);
        if self.options.sweep == Sweep::Pretend {
            return Ok(());
        }
        files::make_folder(trash)?;
        let place = trash.join(path.file_name().unwrap_or_default());
        match fs::rename(path, &place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("move", path)(error)),
            // Somebody set it aside meanwhile.
            _ => Ok(()),
        }
    }

    /// Brings back what somebody asked for while it was moved: by a lease, or by a result recorded since.
    fn bring_back(&self) -> Result<(), StoreError> {
        let mut marked = Marked::default();
        let held = self.held()?;
        for pin in &held {
            if let Pin::Result(key) = pin {
                trash::bring_back(self.store, ("ac", key))?;
            }
        }
        for entry in self.entries()? {
            marked.add_result(self.store, &entry.result);
        }
        marked.add_pins(self.store, held.into_iter());
        for artifact in self.store.sweep_checkpoints(&|_, _| true)? {
            marked.add(self.store, &artifact);
        }
        for (folder, wanted) in [("tree", &marked.nodes), ("cas", &marked.blobs)] {
            for digest in trash::held(self.store, folder)?.intersection(wanted) {
                trash::bring_back(self.store, (folder, digest))?;
            }
        }
        Ok(())
    }

    /// What needs no trash: files of actions, temporary files, quarantined objects, leases of the dead, and old trash.
    fn clean_up(&mut self) -> Result<(), StoreError> {
        let root = self.store.root().to_owned();
        let living = self.store.reservations().living()?;
        let keys = living.iter().map(|(key, _)| key).chain(&self.options.referenced);
        let keys: BTreeSet<String> = keys.map(ToString::to_string).collect();
        let tokens: BTreeSet<String> = living.into_iter().map(|(_, owner)| owner.token).collect();
        for shard in entries(&root.join("scratch"))? {
            self.sweep_folder(&shard, &keys, self.options.older_than)?;
        }
        self.sweep_folder(&root.join("tmp"), &tokens, self.options.grace.max(PASSING))?;
        self.sweep_folder(&root.join("quarantine"), &BTreeSet::new(), self.options.older_than)?;
        let trash_for = if self.options.sweep == Sweep::Delete { Duration::ZERO } else { self.options.trash_for };
        self.sweep_folder(&root.join("trash"), &BTreeSet::new(), trash_for)?;
        if self.options.sweep != Sweep::Pretend {
            let dead = self.store.leases().all()?.into_iter().filter(|lease| !lease.alive);
            dead.for_each(|lease| self.store.leases().remove(&lease.name));
        }
        Ok(())
    }

    fn sweep_folder(&mut self, folder: &Path, keep: &BTreeSet<String>, age: Duration) -> Result<(), StoreError> {
        for path in entries(folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if keep.contains(&name) || !self.untouched(&path, age) {
                continue;
            }
            let weight = weight(&path);
            self.collected.freed_bytes += weight;
            if folder.file_name().is_none_or(|name| name != "trash") {
                self.collected.objects += 1;
                self.collected.bytes += weight;
            }
            if self.options.sweep != Sweep::Pretend {
                files::remove_all(&path).map_err(StoreError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Whether the change time, which no copy or link preserves, lies longer back than `age` by the file system's clock.
    fn older(&self, path: &Path, age: Duration) -> bool {
        path.symlink_metadata().is_ok_and(|metadata| is_older(&metadata, age, self.now))
    }

    /// Whether nothing in a folder changed within `age`: a long fetch or a checkpoint touches its files and not the folder.
    fn untouched(&self, path: &Path, age: Duration) -> bool {
        let inner = if path.is_dir() { entries(path).unwrap_or_default() } else { Vec::new() };
        self.older(path, age) && inner.iter().all(|inner| self.untouched(inner, age))
    }
}

/// A change time that lies ahead only says that a clock was set back: such a file counts as young.
fn is_older(metadata: &fs::Metadata, age: Duration, now: SystemTime) -> bool {
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
    let changed = SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(metadata.ctime()).unwrap_or_default(), nanoseconds);
    now.duration_since(changed).is_ok_and(|elapsed| elapsed >= age)
}

/// Bytes that a file or folder takes.
pub(super) fn weight(path: &Path) -> u64 {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => entries(path).unwrap_or_default().iter().map(|inner| weight(inner)).sum(),
        // Hard links into the store free nothing when they go.
        Ok(metadata) if metadata.nlink() > 1 => 0,
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}

pub(super) fn named(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.parse().ok()
}

/// The files of a folder that spreads them over shards.
pub(super) fn sharded(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut all = Vec::new();
    for shard in entries(folder)? {
        all.extend(entries(&shard)?);
    }
    Ok(all)
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
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

#[cfg(test)]
mod tests;
