//! Which results go: the old ones nobody refers to, and, where room is short, the ones that are cheapest to make again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::Serialize;

use super::{Collection, Marked, Sweep, is_older, named, sharded};
use crate::{
    Digest,
    store::{ActionResult, Pin, Store, StoreError},
};

const GIB: f64 = 1_073_741_824.0;

/// A result that could go, and what it would cost to have it back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// The action key.
    pub key: Digest,
    /// The kind of stage.
    pub kind: String,
    /// Bytes of its outputs.
    pub bytes: u64,
    /// Seconds it took to make.
    pub seconds: f64,
    /// Seconds of work that a GiB of it holds: what is lowest goes first.
    pub seconds_per_gib: f64,
}

impl Candidate {
    /// A result as a candidate.
    pub(crate) fn of(result: &ActionResult) -> Self {
        let bytes = result.outputs.values().map(|artifact| artifact.bytes).sum();
        let seconds_per_gib = result.seconds / (as_float(bytes).max(1.0) / GIB);
        Self { key: result.key, kind: result.kind.clone(), bytes, seconds: result.seconds, seconds_per_gib }
    }
}

fn as_float(bytes: u64) -> f64 {
    // Exact up to 8 PiB, and only an order beyond.
    #[expect(clippy::cast_precision_loss, reason = "a rank needs no exact number")]
    let float = bytes as f64;
    float
}

/// One recorded result.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) result: ActionResult,
    old: bool,
}

impl Collection<'_> {
    /// Every recorded result.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut found = Vec::new();
        for path in sharded(&self.store.root().join("ac"))? {
            let Some(key) = named(&path) else { continue };
            if let Some(result) = self.store.actions().peek(&key)? {
                let old = path.symlink_metadata().is_ok_and(|metadata| is_older(&metadata, self.options.older_than, self.now));
                found.push(Entry { path, result, old });
            }
        }
        Ok(found)
    }

    /// The keys whose results go, and a note of each for people.
    pub(super) fn choose(&mut self, entries: &[Entry], held: &BTreeSet<Pin>) -> BTreeSet<Digest> {
        let free: Vec<&Entry> = entries.iter().filter(|entry| !held.contains(&Pin::Result(entry.result.key))).collect();
        let is_referenced = |entry: &Entry| self.options.referenced.contains(&entry.result.key);
        let mut goes: BTreeSet<Digest> =
            free.iter().filter(|entry| entry.old && !is_referenced(entry)).map(|entry| entry.result.key).collect();
        if let Some(most) = self.options.max_bytes {
            let mut ranked: Vec<(bool, Candidate)> = free
                .iter()
                .filter(|entry| !goes.contains(&entry.result.key))
                .map(|entry| (is_referenced(entry), Candidate::of(&entry.result)))
                .collect();
            ranked.sort_by(|(kept, one), (other_kept, other)| {
                kept.cmp(other_kept).then(one.seconds_per_gib.total_cmp(&other.seconds_per_gib))
            });
            let mut room = Room::of(self.store, entries.iter().filter(|entry| !goes.contains(&entry.result.key)));
            for (_, candidate) in ranked {
                if room.bytes <= most {
                    break;
                }
                room.release(&candidate.key);
                goes.insert(candidate.key);
            }
        }
        let mut evicted: Vec<Candidate> =
            free.iter().filter(|entry| goes.contains(&entry.result.key)).map(|entry| Candidate::of(&entry.result)).collect();
        evicted.sort_by(|one, other| one.seconds_per_gib.total_cmp(&other.seconds_per_gib));
        self.collected.evicted = evicted;
        goes
    }
}

/// How much room the blobs of some results take: a blob that several name takes it once.
struct Room {
    bytes: u64,
    users: BTreeMap<Digest, (u64, u32)>,
    blobs: BTreeMap<Digest, BTreeSet<Digest>>,
}

impl Room {
    fn of<'a>(store: &Store, entries: impl Iterator<Item = &'a Entry>) -> Self {
        let mut room = Self { bytes: 0, users: BTreeMap::new(), blobs: BTreeMap::new() };
        for entry in entries {
            let mut marked = Marked::default();
            marked.add_result(store, &entry.result);
            for blob in &marked.blobs {
                let size = || store.cas().path(blob).metadata().map(|metadata| metadata.len()).unwrap_or_default();
                let (bytes, users) = room.users.entry(*blob).or_insert_with(|| (size(), 0));
                room.bytes += if *users == 0 { *bytes } else { 0 };
                *users += 1;
            }
            room.blobs.insert(entry.result.key, marked.blobs);
        }
        room
    }

    fn release(&mut self, key: &Digest) {
        for blob in self.blobs.remove(key).unwrap_or_default() {
            if let Some((bytes, users)) = self.users.get_mut(&blob) {
                *users -= 1;
                self.bytes -= if *users == 0 { *bytes } else { 0 };
            }
        }
    }
}

impl Store {
    /// The results that could go, biggest first: what to tell somebody whose disk is full.
    pub fn biggest(&self, referenced: &BTreeSet<Digest>, count: usize) -> Result<Vec<Candidate>, StoreError> {
        let options = super::GcOptions { referenced: referenced.clone(), sweep: Sweep::Pretend, ..super::GcOptions::default() };
        let now = std::time::SystemTime::now();
        let collection = Collection { store: self, options: &options, now, collected: super::Collected::default() };
        let held = collection.held()?;
        let entries = collection.entries()?;
        let free = entries.iter().filter(|entry| !held.contains(&Pin::Result(entry.result.key)));
        let mut candidates: Vec<Candidate> = free.map(|entry| Candidate::of(&entry.result)).collect();
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.bytes));
        candidates.truncate(count);
        Ok(candidates)
    }
}
