//! The narrative of a run: an append-only file of one JSON object a line, each with a checksum of itself.
//!
//! Knows [`Entry`] and nothing else of a run. A torn last line, which a crash may leave, is cut off; losing a journal loses
//! history and never results.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use crate::{
    Digest,
    run::{Entry, Event},
};

const CHECK: &str = ",\"check\":\"";
/// How long a lock that is only probed may seem to be held.
const PROBE: Duration = Duration::from_millis(200);

/// A journal that cannot be written or read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {operation} journal {}", path.display())]
    #[diagnostic(code(flow::journal::io), help("check that the project's `.flow` folder is writable and the disk is not full"))]
    Io {
        /// What was tried: a verb.
        operation: &'static str,
        /// The journal.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// A living process writes to it.
    #[error("run in {} is still going on", path.display())]
    #[diagnostic(code(flow::journal::busy), help("watch it with `flow status`, or stop it first"))]
    Busy {
        /// The journal.
        path: PathBuf,
    },
}

/// A journal open for writing. There is one writer at a time.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// Lines that are not written yet.
    pending: Vec<u8>,
    /// Whether one of them must be on disk.
    must_last: bool,
}

impl Journal {
    /// Starts the journal of a new run.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let file = OpenOptions::new().append(true).create_new(true).open(path).map_err(failed("create", path))?;
        Self::locked(file, path)
    }

    /// Opens the journal of an earlier run to go on with it, and returns what it holds. A torn tail is cut off.
    pub fn reopen(path: &Path) -> Result<(Self, Vec<Entry>), JournalError> {
        let file = OpenOptions::new().append(true).read(true).open(path).map_err(failed("open", path))?;
        let journal = Self::locked(file, path)?;
        let (entries, valid) = parse(&std::fs::read(path).map_err(failed("read", path))?);
        journal.file.set_len(valid as u64).map_err(failed("repair", path))?;
        Ok((journal, entries))
    }

    /// Takes the lock of the one writer. Whoever only asks whether there is one holds it for an instant, which is waited out.
    fn locked(file: File, path: &Path) -> Result<Self, JournalError> {
        let begun = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { file, path: path.to_owned(), pending: Vec::new(), must_last: false }),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(failed("lock", path)(error.into())),
                Err(_) if begun.elapsed() < PROBE => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return Err(JournalError::Busy { path: path.to_owned() }),
            }
        }
    }

    /// Adds an entry, which is written by the next [`Self::commit`].
    pub fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        render(entry, &mut self.pending).map_err(|error| failed("write", &self.path)(error.into()))?;
        self.must_last |= must_last(&entry.event);
        Ok(())
    }

    /// Writes what was added: many entries share one write. It is on disk when this returns if a later reader could not find
    /// it out from the store.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.file.write_all(&pending).map_err(failed("write", &self.path))?;
        if std::mem::take(&mut self.must_last) {
            self.file.sync_data().map_err(failed("sync", &self.path))?;
        }
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // An engine that gives up tells as much as it can.
        if let Err(error) = self.commit() {
            tracing::warn!(%error, "Could not write the end of a journal.");
        }
    }
}

/// Reads a journal, which may still be written to, up to the last complete entry.
pub fn read(path: &Path) -> Result<Vec<Entry>, JournalError> {
    Ok(parse(&std::fs::read(path).map_err(failed("read", path))?).0)
}

/// Whether a journal has a living writer.
pub fn is_live(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

fn must_last(event: &Event) -> bool {
    match event {
        Event::RunStarted { .. }
        | Event::RunFinished { .. }
        | Event::StageParked { .. }
        | Event::StageDecided { .. }
        | Event::StageSucceeded { .. }
        | Event::StageFailed { .. } => true,
        Event::RunResumed { .. }
        | Event::SourceReady { .. }
        | Event::StageWaiting { .. }
        | Event::StageCached { .. }
        | Event::StageStarted { .. }
        | Event::StageLost { .. }
        | Event::StageTainted { .. }
        | Event::StageRetried { .. }
        | Event::StageSkipped { .. }
        | Event::StageJudged { .. }
        | Event::StageInterrupted { .. }
        | Event::HookFired { .. }
        | Event::Unknown => false,
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { operation, path, source }
}

/// Adds the entry's JSON with the checksum of everything before it as the last member.
fn render(entry: &Entry, lines: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let begin = lines.len();
    if let Err(error) = serde_json::to_writer(&mut *lines, entry) {
        // Half an entry would hide all that follow it.
        lines.truncate(begin);
        return Err(error);
    }
    let check = checksum(lines.get(begin..).unwrap_or_default());
    lines.pop();
    lines.extend_from_slice(CHECK.as_bytes());
    lines.extend_from_slice(check.as_bytes());
    lines.extend_from_slice(b"\"}\n");
    Ok(())
}

fn checksum(body: &[u8]) -> String {
    Digest::of(body).short()
}

/// The valid entries and the bytes they fill.
fn parse(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let mut entries = Vec::new();
    let mut valid = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(entry) = parse_line(line) else { break };
        entries.push(entry);
        valid += line.len();
    }
    (entries, valid)
}

fn parse_line(line: &[u8]) -> Option<Entry> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\"}\n")?;
    let (body, check) = line.rsplit_once(CHECK)?;
    let body = format!("{body}}}");
    if checksum(body.as_bytes()) == check { serde_json::from_str(&body).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::run::Outcome;

    fn entry(seq: u64) -> Entry {
        Entry { seq, at: Timestamp::UNIX_EPOCH, event: Event::RunFinished { outcome: Outcome::Failed, seconds: 0.5 } }
    }

    fn journal(count: u64) -> Vec<u8> {
        let mut lines = Vec::new();
        (0..count).for_each(|seq| render(&entry(seq), &mut lines).unwrap());
        lines
    }

    #[test]
    fn one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut first = Journal::create(&path).unwrap();
        first.append(&entry(0)).unwrap();
        first.commit().unwrap();
        assert!(is_live(&path));
        assert!(matches!(Journal::reopen(&path), Err(JournalError::Busy { .. })));
        drop(first);
        assert!(!is_live(&path));
        let (_second, entries) = Journal::reopen(&path).unwrap();
        assert_eq!(entries.len(), 1);
    }

    #[test]
    fn looking_at_a_run_never_keeps_it_from_going_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        drop(Journal::create(&path).unwrap());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        is_live(&path);
                    }
                });
            }
            let opened = (0..50).all(|_| Journal::reopen(&path).is_ok());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(opened);
        });
    }

    #[test]
    fn a_reopened_journal_goes_on_after_the_last_whole_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut torn = journal(3);
        torn.truncate(torn.len() - 7);
        std::fs::write(&path, &torn).unwrap();
        let (mut journal, entries) = Journal::reopen(&path).unwrap();
        assert_eq!(entries.len(), 2);
        journal.append(&entry(2)).unwrap();
        journal.commit().unwrap();
        let seqs: Vec<u64> = read(&path).unwrap().iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, [0, 1, 2]);
    }

    #[test]
    fn every_line_is_one_json_object_and_events_of_the_future_are_kept_as_unknown() {
        let text = String::from_utf8(journal(1)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["event"]["type"], "run-finished");
        let newer: Event = serde_json::from_str(r#"{"type": "stage-teleported", "stage": "x"}"#).unwrap();
        assert!(matches!(newer, Event::Unknown));
    }

    proptest! {
        #[test]
        fn a_torn_tail_costs_only_the_torn_entry(count in 1_u64..5, cut in 1_usize..60) {
            let whole = journal(count);
            let torn = &whole[..whole.len() - cut];
            let (entries, valid) = parse(torn);
            prop_assert_eq!(entries.len() as u64, count - 1);
            prop_assert!(valid <= torn.len());
        }

        #[test]
        fn a_flipped_bit_is_found(place in 0_usize..60, bit in 0_u8..8) {
            let mut bytes = journal(1);
            let place = place % bytes.len();
            bytes[place] ^= 1 << bit;
            let kept = parse(&bytes).0.into_iter().next();
            prop_assert!(kept.is_none());
        }
    }
}
