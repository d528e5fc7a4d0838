//! Digests of files by their metadata, so that unchanged files are not read again.
//!
//! An entry is trusted only if device, inode, size, modification, and change time are equal and the file had been quiet for a
//! while when it was hashed. Stores through a memory map may show in the times only half a minute later, and clocks tick
//! coarsely; a recently written file is simply hashed once more. The clock is the file system's own.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{StoreError, files};
use crate::Digest;

/// Linux writes dirty pages back after 30 s, looked at every 5 s; some slack on top.
const QUIET_NS: i128 = 40_000_000_000;
const TRIES: usize = 3;
/// More files than this are worth threads, known or not.
const MANY: usize = 256;

/// What identifies the state of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Stamp {
    /// Looks at a file, following links.
    pub fn of(path: &Path) -> Result<Self, StoreError> {
        let metadata = path.metadata().map_err(StoreError::io("read", path))?;
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn last_touched(&self) -> i128 {
        self.modified_ns.max(self.changed_ns)
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    digest: Digest,
    hashed_at: i128,
}

impl Known {
    fn was_quiet(&self) -> bool {
        self.stamp.last_touched() < self.hashed_at - QUIET_NS
    }
}

/// How long a file had not been written to when it was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quiet {
    /// For so long that any later write shows in its times.
    Long,
    /// Not for long: a store through a memory map may show nowhere but in its content.
    NotYet,
}

/// The index of one project.
#[derive(Debug)]
pub struct StatIndex {
    path: PathBuf,
    now: i128,
    known: Mutex<Entries>,
    /// Programs of the machine, looked at once.
    pub(crate) programs: crate::program::Shelf,
}

#[derive(Debug, Default)]
struct Entries {
    entries: BTreeMap<(u64, u64), Known>,
    changed: bool,
}

impl StatIndex {
    /// Opens the index in a project's state folder. A damaged file counts as empty.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        files::make_folder(folder)?;
        let path = folder.join("stat.idx");
        let list: Vec<Known> = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let entries = list.into_iter().map(|known| ((known.stamp.device, known.stamp.inode), known)).collect();
        let clock = folder.join("clock");
        files::write_lightly(b"", &clock)?;
        let now = Stamp::of(&clock)?.modified_ns;
        Ok(Self { path, now, known: Mutex::new(Entries { entries, changed: false }), programs: crate::program::Shelf::default() })
    }

    /// The digest and size of a file.
    pub fn digest(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        for _ in 0..TRIES {
            let before = Stamp::of(path)?;
            if let Some(digest) = self.trusted(&before) {
                return Ok((digest, before.bytes));
            }
            let (digest, bytes) = files::hash(path)?;
            if Stamp::of(path)? == before {
                self.remember(Known { stamp: before, digest, hashed_at: self.now });
                return Ok((digest, bytes));
            }
        }
        Err(StoreError::Unsupported { path: path.to_owned(), reason: "it is being written while it is read" })
    }

    /// The digests and sizes of files, in order.
    pub(crate) fn digests(&self, paths: &[&PathBuf]) -> Result<Vec<(Digest, u64)>, StoreError> {
        if paths.len() > MANY {
            return files::parallel(paths, |path| self.digest(path));
        }
        // A few that are known are looked at faster than threads are started for them.
        let mut found = paths.iter().map(|path| self.known(path)).collect::<Result<Vec<_>, _>>()?;
        let unknown: Vec<(usize, &PathBuf)> =
            paths.iter().copied().enumerate().filter(|(at, _)| found.get(*at) == Some(&None)).collect();
        let hashed = files::parallel(&unknown, |(_, path)| self.digest(path))?;
        for ((at, _), digest) in unknown.into_iter().zip(hashed) {
            if let Some(slot) = found.get_mut(at) {
                *slot = Some(digest);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn known(&self, path: &Path) -> Result<Option<(Digest, u64)>, StoreError> {
        let stamp = Stamp::of(path)?;
        Ok(self.trusted(&stamp).map(|digest| (digest, stamp.bytes)))
    }

    fn trusted(&self, stamp: &Stamp) -> Option<Digest> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entries.get(&(stamp.device, stamp.inode))?;
        (entry.stamp == *stamp && entry.was_quiet()).then_some(entry.digest)
    }

    /// Whether a file that looks like `stamp` was hashed to `digest` in that very state.
    pub(crate) fn vouch(&self, stamp: &Stamp, digest: &Digest) -> Option<Quiet> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entries.get(&(stamp.device, stamp.inode))?;
        let quiet = if entry.was_quiet() { Quiet::Long } else { Quiet::NotYet };
        (entry.stamp == *stamp && entry.digest == *digest).then_some(quiet)
    }

    fn remember(&self, entry: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entries.insert((entry.stamp.device, entry.stamp.inode), entry);
        known.changed = true;
    }

    /// Writes the index if it changed.
    pub fn save(&self) -> Result<(), StoreError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.changed {
            return Ok(());
        }
        let list: Vec<&Known> = known.entries.values().collect();
        let bytes = serde_json::to_vec(&list).map_err(|source| StoreError::Record { path: self.path.clone(), source })?;
        files::write_atomic(&bytes, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    /// A quiet file would be trusted, so an edit that restores the times must show in the change time.
    #[test]
    fn an_edit_of_equal_size_with_restored_times_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        let old = SystemTime::now() - Duration::from_hours(1);
        let write = |text: &str| {
            fs::write(&file, text).unwrap();
            fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
        };
        write("aaaa");
        let index = StatIndex::open(&folder.path().join("state")).unwrap();
        assert_eq!(index.digest(&file).unwrap().0, Digest::of(b"aaaa"));
        write("bbbb");
        assert_eq!(index.digest(&file).unwrap().0, Digest::of(b"bbbb"));
    }

    #[test]
    fn a_quiet_file_is_trusted_and_a_young_one_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        fs::write(&file, "aaaa").unwrap();
        let mut index = StatIndex::open(&folder.path().join("state")).unwrap();
        let stamp = Stamp::of(&file).unwrap();
        index.digest(&file).unwrap();
        assert_eq!(index.trusted(&stamp), None);
        index.now += QUIET_NS + 1_000_000_000;
        index.digest(&file).unwrap();
        assert_eq!(index.trusted(&stamp), Some(Digest::of(b"aaaa")));
        index.save().unwrap();
        let again = StatIndex::open(&folder.path().join("state")).unwrap();
        assert_eq!(again.trusted(&stamp), Some(Digest::of(b"aaaa")));
    }

    #[test]
    fn only_the_state_that_was_hashed_is_vouched_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        fs::write(&file, "aaaa").unwrap();
        let index = StatIndex::open(&folder.path().join("state")).unwrap();
        let (digest, _) = index.digest(&file).unwrap();
        assert_eq!(index.vouch(&Stamp::of(&file).unwrap(), &digest), Some(Quiet::NotYet));
        assert_eq!(index.vouch(&Stamp::of(&file).unwrap(), &Digest::of(b"bbbb")), None);
        fs::write(&file, "bbbbb").unwrap();
        assert_eq!(index.vouch(&Stamp::of(&file).unwrap(), &digest), None);
    }

    #[test]
    fn a_damaged_index_counts_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("stat.idx"), "[{\"sta").unwrap();
        let file = folder.path().join("data");
        fs::write(&file, "x").unwrap();
        assert_eq!(StatIndex::open(folder.path()).unwrap().digest(&file).unwrap(), (Digest::of(b"x"), 1));
    }
}
