//! The audit log of a project: what was run, decided, refused, and published, each record chained to the one before.
//!
//! Appending holds a lock of the file for the moment it takes and flushes to disk. The place where the log ends is noted in
//! the store and in every signed decision, so that a log that was cut short is found out. [`verify`] reads it all again.

mod record;
mod verify;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use self::record::Line;
pub use self::{
    record::{Happening, Record},
    verify::{Finding, Inspection, Severity, verify},
};
use super::{GovernError, identity};
use crate::{Digest, project::Project};

/// How much of the log's end is read at first to find its last record.
const WINDOW: u64 = 16 << 10;

/// Where a log ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of the last record.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
}

/// What the store remembers of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// The project.
    project: String,
    /// Its state folder.
    state: PathBuf,
    /// Where it ended.
    head: Head,
}

/// Whether a record has to be on disk before the caller goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It has.
    Now,
    /// It may wait for the next one that has to: losing it with the power loses nothing that cannot be found out.
    Later,
}

/// The log of one project.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
    state: PathBuf,
    store: PathBuf,
}

impl AuditLog {
    /// The log of a project, which need not exist yet.
    pub fn of(project: &Project) -> Self {
        Self { path: project.state.join("audit.jsonl"), state: project.state.clone(), store: project.site.store.clone() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a record and returns where the log ends now.
    pub fn append(&self, actor: &str, happening: Happening, durability: Durability) -> Result<Head, GovernError> {
        fs::create_dir_all(&self.state).map_err(GovernError::io("create", &self.state))?;
        let project = identity::of(&self.state)?;
        let mut file = self.locked()?;
        let (seq, prev) = match self.last(&mut file)? {
            Some(last) => (last.seq.saturating_add(1), last.hash),
            None => (0, record::genesis(&project)),
        };
        let record = Record { seq, at: Timestamp::now(), actor: actor.to_owned(), event: happening, prev };
        let (line, hash) = record.render().map_err(|error| self.failed("write")(error.into()))?;
        file.write_all(line.as_bytes()).map_err(self.failed("write"))?;
        let head = Head { seq, hash };
        if durability == Durability::Now {
            file.sync_data().map_err(self.failed("sync"))?;
            self.remember(&project, &head);
        }
        Ok(head)
    }

    /// Where the log ends; none when it is empty.
    pub fn head(&self) -> Result<Option<Head>, GovernError> {
        if !self.path.exists() {
            return Ok(None);
        }
        let mut file = self.locked()?;
        self.last(&mut file)
    }

    /// Every record that can be read, oldest first.
    pub fn records(&self) -> Result<Vec<Record>, GovernError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed("read")(error)),
        };
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        Ok(lines.filter_map(|line| Line::parse(line).ok().map(|line| line.record)).collect())
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(io::Error) -> GovernError {
        GovernError::io(operation, &self.path)
    }

    /// The file, locked against every other writer until it is dropped.
    fn locked(&self) -> Result<File, GovernError> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(&self.path).map_err(self.failed("open"))?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| self.failed("lock")(error.into()))?;
        Ok(file)
    }

    /// The end of the last whole record. A torn one behind it, which a crash may leave, is cut off: nobody was told that it
    /// was written.
    fn last(&self, file: &mut File) -> Result<Option<Head>, GovernError> {
        let length = file.metadata().map_err(self.failed("read"))?.len();
        let mut window = WINDOW;
        loop {
            let start = length.saturating_sub(window);
            let tail = read_from(file, start).map_err(self.failed("read"))?;
            let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let before = tail.get(..whole.saturating_sub(1)).unwrap_or_default();
            let begin = before.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
            if begin.is_none() && start > 0 {
                window *= 4;
                continue;
            }
            if whole < tail.len() {
                file.set_len(start + whole as u64).map_err(self.failed("repair"))?;
            }
            let line = tail.get(begin.unwrap_or(0)..whole).unwrap_or_default();
            if line.is_empty() {
                return Ok(None);
            }
            // A line that was tampered with is chained to as it stands: the break stays where it was made.
            let line = Line::parse(line).map_err(|reason| GovernError::Audit { path: self.path.clone(), reason })?;
            return Ok(Some(Head { seq: line.record.seq, hash: line.stated }));
        }
    }

    /// Notes the end of the log in the store. The log itself is safe; a store that cannot be written only proves less.
    fn remember(&self, project: &str, head: &Head) {
        let remembered = Remembered { project: project.to_owned(), state: self.state.clone(), head: head.clone() };
        let place = self.heads().join(project);
        let temporary = self.heads().join(format!("{project}.{}.tmp", ulid::Ulid::new()));
        let write = || -> io::Result<()> {
            fs::create_dir_all(self.heads())?;
            fs::write(&temporary, serde_json::to_vec(&remembered)?)?;
            fs::rename(&temporary, &place)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, "Could not note the end of the audit log in the store.");
            fs::remove_file(&temporary).ok();
        }
    }

    fn heads(&self) -> PathBuf {
        self.store.join("audit")
    }

    /// The ends that the store remembers of this project, or of another one that had the same state folder.
    fn remembered(&self, project: &str) -> Vec<Remembered> {
        let Ok(entries) = fs::read_dir(self.heads()) else { return Vec::new() };
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let read = paths.filter_map(|path| serde_json::from_slice::<Remembered>(&fs::read(path).ok()?).ok());
        let mut found: Vec<Remembered> =
            read.filter(|remembered| remembered.project == project || remembered.state == self.state).collect();
        found.sort_by(|one, other| one.project.cmp(&other.project));
        found
    }
}

fn read_from(file: &mut File, start: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
