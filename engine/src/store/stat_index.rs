//! Digests of files by their metadata, so that unchanged files are not read again.
//!
//! An entry is trusted only if device, inode, size, modification, and change time are equal and the file had been quiet for a
//! while when it was hashed. Stores through a memory map may show in the times only half a minute later, and clocks tick
//! coarsely; a recently written file is simply hashed once more. The clock is the file system's own.
//!
//! On disk it is a sorted file of records, which is searched where it lies in memory, and a log of what was hashed since.

mod many;
mod record;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use record::{Known, Sorted};
use serde::{Deserialize, Serialize};

use super::{StoreError, files};
use crate::Digest;

/// Linux writes dirty pages back after 30 s, looked at every 5 s; some slack on top.
const QUIET_NS: i128 = 40_000_000_000;
const TRIES: usize = 3;
/// More files than this are worth threads, known or not.
const MANY: usize = 256;
const THREADS: usize = 8;
/// Records of the log that are read at every start before they are sorted into the file.
const LONGEST_LOG: usize = 4_096;
/// Records of files that nobody asked for are kept up to this number.
const MOST: usize = 1_000_000;

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
    /// Looks at a file, following links. Anything but a file is refused: opening a pipe would wait for its writer.
    pub fn of(path: &Path) -> Result<Self, StoreError> {
        let metadata = path.metadata().map_err(StoreError::io("read", path))?;
        let place = (metadata.dev(), metadata.ino(), metadata.size());
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self::seen((path, metadata.is_file()), place, [modified, (metadata.ctime(), metadata.ctime_nsec())])
    }

    fn seen(
        (path, is_file): (&Path, bool),
        (device, inode, bytes): (u64, u64, u64),
        times: [(i64, i64); 2],
    ) -> Result<Self, StoreError> {
        if !is_file {
            return Err(StoreError::Unsupported { path: path.to_owned(), reason: "it is not a file" });
        }
        let [modified_ns, changed_ns] = times.map(|(seconds, rest)| i128::from(seconds) * 1_000_000_000 + i128::from(rest));
        Ok(Self { device, inode, bytes, modified_ns, changed_ns })
    }

    fn last_touched(&self) -> i128 {
        self.modified_ns.max(self.changed_ns)
    }

    fn place(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
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
    folder: PathBuf,
    now: i128,
    /// Records of the file, by device and inode.
    sorted: Sorted,
    /// Records of the log, which take precedence, and of what was hashed since.
    recent: RwLock<Recent>,
    /// Programs that were looked for before.
    pub(crate) programs: crate::program::Shelf,
    /// Folders that were looked for before.
    pub(crate) folders: super::sources::Folders,
    /// Files that were looked at a moment ago.
    pub(crate) looks: super::looks::Looks,
}

#[derive(Debug, Default)]
struct Recent {
    known: BTreeMap<(u64, u64), Known>,
    /// Files that were hashed by this process.
    fresh: BTreeSet<(u64, u64)>,
}

impl StatIndex {
    /// Opens the index in a project's state folder. What is damaged counts as absent.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        files::make_folder(folder)?;
        let sorted = fs::read(folder.join("stat.idx")).map(Sorted::parse).unwrap_or_default();
        let log = fs::read(folder.join("stat.log")).map(|bytes| record::parse_log(&bytes)).unwrap_or_default();
        let known = log.into_iter().map(|known| (known.stamp.place(), known)).collect();
        let clock = folder.join("clock");
        files::write_lightly(b"", &clock)?;
        let now = Stamp::of(&clock)?.modified_ns;
        let recent = RwLock::new(Recent { known, fresh: BTreeSet::new() });
        let (programs, folders) = (crate::program::Shelf::default(), super::sources::Folders::default());
        Ok(Self { folder: folder.to_owned(), now, sorted, recent, programs, folders, looks: super::looks::Looks::default() })
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

    /// The digests and sizes of files, in order. Says before that it reads some.
    pub(crate) fn digests(&self, paths: &[PathBuf], reads: &dyn Fn()) -> Result<Vec<(Digest, u64)>, StoreError> {
        // A few that are known are looked at faster than threads are started for them.
        let size = if paths.len() > MANY { paths.len().div_ceil(THREADS) } else { MANY };
        let parts: Vec<&[PathBuf]> = paths.chunks(size).collect();
        let stamps = files::parallel(&parts, |part| many::stamps(part))?.into_iter().flatten();
        let mut found: Vec<Option<(Digest, u64)>> =
            stamps.map(|stamp| self.trusted(&stamp).map(|digest| (digest, stamp.bytes))).collect();
        let unknown: Vec<(usize, &PathBuf)> = paths.iter().enumerate().filter(|(at, _)| found.get(*at) == Some(&None)).collect();
        if !unknown.is_empty() {
            reads();
        }
        let hashed = files::parallel(&unknown, |(_, path)| self.digest(path))?;
        for ((at, _), digest) in unknown.into_iter().zip(hashed) {
            if let Some(slot) = found.get_mut(at) {
                *slot = Some(digest);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn known(&self, stamp: &Stamp) -> Option<Known> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner).known.get(&stamp.place()).copied();
        recent.or_else(|| self.sorted.find(stamp.place()))
    }

    fn trusted(&self, stamp: &Stamp) -> Option<Digest> {
        let entry = self.known(stamp)?;
        (entry.stamp == *stamp && entry.was_quiet()).then_some(entry.digest)
    }

    /// Whether a file that looks like `stamp` was hashed to `digest` in that very state.
    pub(crate) fn vouch(&self, stamp: &Stamp, digest: &Digest) -> Option<Quiet> {
        let entry = self.known(stamp)?;
        let quiet = if entry.was_quiet() { Quiet::Long } else { Quiet::NotYet };
        (entry.stamp == *stamp && entry.digest == *digest).then_some(quiet)
    }

    fn remember(&self, entry: Known) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        recent.fresh.insert(entry.stamp.place());
        recent.known.insert(entry.stamp.place(), entry);
    }

    /// Writes what was hashed since the index was opened: to the log, or, when that is long, all of it anew.
    pub fn save(&self) -> Result<(), StoreError> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        if recent.fresh.is_empty() {
            return Ok(());
        }
        if recent.known.len() > LONGEST_LOG {
            return self.merge(&recent);
        }
        let path = self.folder.join("stat.log");
        let fresh = recent.fresh.iter().filter_map(|place| recent.known.get(place));
        let bytes: Vec<u8> = fresh.flat_map(Known::logged).collect();
        // One write: a run beside this one appends as well.
        let append = || File::options().create(true).append(true).open(&path)?.write_all(&bytes);
        append().map_err(StoreError::io("write", &path))
    }

    fn merge(&self, recent: &Recent) -> Result<(), StoreError> {
        let mut all: BTreeMap<(u64, u64), Known> = recent.known.clone();
        let room = MOST.saturating_sub(all.len());
        for known in self.sorted.iter().take(room) {
            all.entry(known.stamp.place()).or_insert(known);
        }
        files::write_atomic(&record::render_sorted(all.values()), &self.folder.join("stat.idx"))?;
        // What another run added meanwhile is hashed once more.
        let log = self.folder.join("stat.log");
        files::remove_all(&log).map_err(StoreError::io("remove", &log))
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
    fn it_says_before_it_reads_and_not_before_it_looks() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = (0..3).map(|number| folder.path().join(number.to_string())).collect();
        for file in &files {
            fs::write(file, "x").unwrap();
        }
        let mut index = StatIndex::open(&folder.path().join("state")).unwrap();
        index.now += QUIET_NS + 1_000_000_000;
        let said = std::cell::Cell::new(0);
        for expected in [1, 1] {
            index.digests(&files, &|| said.set(said.get() + 1)).unwrap();
            assert_eq!(said.get(), expected);
        }
        fs::write(&files[1], "yy").unwrap();
        index.digests(&files, &|| said.set(said.get() + 1)).unwrap();
        assert_eq!(said.get(), 2);
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

    /// What is hashed is remembered, in the log first and in the sorted file when that is long, and found again.
    #[test]
    fn many_files_are_found_again_wherever_they_are_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let files: Vec<PathBuf> = (0..LONGEST_LOG + 10).map(|index| folder.path().join(index.to_string())).collect();
        for file in &files {
            fs::write(file, file.to_str().unwrap()).unwrap();
        }
        for part in [&files[..3], &files[..], &files[..5]] {
            let mut index = StatIndex::open(&state).unwrap();
            index.now += QUIET_NS + 1_000_000_000;
            for file in part {
                assert_eq!(index.digest(file).unwrap().0, Digest::of(file.to_str().unwrap().as_bytes()));
            }
            index.save().unwrap();
        }
        let index = StatIndex::open(&state).unwrap();
        assert_eq!((index.sorted.iter().count(), index.recent.read().unwrap().known.len()), (files.len(), 0));
        for file in &files {
            assert_eq!(index.trusted(&Stamp::of(file).unwrap()), Some(Digest::of(file.to_str().unwrap().as_bytes())));
        }
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let index = StatIndex::open(&folder.path().join("state")).unwrap();
        assert!(matches!(index.digest(&pipe), Err(StoreError::Unsupported { .. })));
    }

    #[test]
    fn a_damaged_index_counts_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("stat.idx"), "flow stat index 1\nsomething").unwrap();
        fs::write(folder.path().join("stat.log"), "else").unwrap();
        let file = folder.path().join("data");
        fs::write(&file, "x").unwrap();
        assert_eq!(StatIndex::open(folder.path()).unwrap().digest(&file).unwrap(), (Digest::of(b"x"), 1));
    }
}
