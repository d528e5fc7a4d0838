//! What the attempt behind a result printed, kept beside the pre-image of its key and shown again on a hit.
//!
//! A log explains and never decides: a result without one, or with a torn one, is a result.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, cas::shard, files};
use crate::Digest;

/// Kept of the beginning of a stream.
const HEAD: usize = 32 << 10;
/// Kept of the end of a stream.
const TAIL: usize = 96 << 10;

/// What one attempt printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLog {
    /// The run it was printed in.
    pub run: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Store {
    /// Keeps what an attempt printed into `directory`. The first log of a key stays, like its result.
    pub(crate) fn keep_log(&self, key: &Digest, (run, directory): (&str, &Path)) -> Result<(), StoreError> {
        let read = |name: &str| bounded(&directory.join(name)).map_err(StoreError::io("read", &directory.join(name)));
        let log = KeptLog { run: run.to_owned(), stdout: read("stdout")?, stderr: read("stderr")? };
        if log.stdout.is_empty() && log.stderr.is_empty() {
            return Ok(());
        }
        let place = self.log_place(key);
        let bytes = serde_json::to_vec(&log).map_err(|source| StoreError::Record { path: place.clone(), source })?;
        let temporary = self.root().join("tmp").join(format!("log-{}", ulid::Ulid::new()));
        files::publish(&bytes, &place, &temporary).map(|_| ())
    }

    /// What the attempt behind a result printed, if it printed anything and that is still known.
    pub fn log(&self, key: &Digest) -> Option<KeptLog> {
        serde_json::from_slice(&fs::read(self.log_place(key)).ok()?).ok()
    }

    fn log_place(&self, key: &Digest) -> std::path::PathBuf {
        shard(&self.root().join("act"), key).with_extension("log")
    }
}

/// A whole file, or its beginning and its end; a stream that was never opened is empty.
fn bounded(path: &Path) -> io::Result<String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    if text.len() <= HEAD + TAIL {
        return Ok(text.into_owned());
    }
    let (head, tail) = (text.floor_char_boundary(HEAD), text.ceil_char_boundary(text.len() - TAIL));
    let cut = tail - head;
    let parts = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    Ok(format!("{}\n… {cut} bytes are not kept\n{}", parts.0, parts.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(stdout: &str) -> Option<KeptLog> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let attempt = folder.path().join("attempt");
        fs::create_dir(&attempt).unwrap();
        fs::write(attempt.join("stdout"), stdout).unwrap();
        let key = Digest::of(b"key");
        store.keep_log(&key, ("run", &attempt)).unwrap();
        store.log(&key)
    }

    #[test]
    fn a_log_reads_back_and_silence_keeps_nothing() {
        let log = kept("hello\n").unwrap();
        assert_eq!((log.stdout.as_str(), log.stderr.as_str(), log.run.as_str()), ("hello\n", "", "run"));
        assert_eq!(kept(""), None);
    }

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end() {
        let long = format!("first\n{}last\n", "é\n".repeat(100_000));
        let kept = kept(&long).unwrap().stdout;
        assert!(kept.starts_with("first\n") && kept.ends_with("last\n") && kept.contains("are not kept"));
        assert!(kept.len() < HEAD + TAIL + 100, "{}", kept.len());
    }
}
