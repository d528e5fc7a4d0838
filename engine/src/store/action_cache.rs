//! From an action key to the outputs of the one attempt that was recorded for it.
//!
//! A visible entry implies that everything it names is on disk. The pre-image of every key is kept beside it, so that a key
//! can be explained and computed again.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Cas, Flaw, Scrutiny, StoreError,
    cas::shard,
    files::{self, Published},
};
use crate::{Artifact, Digest, Named};

const FORMAT: u32 = 1;

/// What one action gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionResult {
    /// Version of this record.
    pub format: u32,
    /// The action key.
    pub key: Digest,
    /// The kind of stage, such as `data/clean`.
    pub kind: String,
    /// Outputs by port.
    pub outputs: Named<Artifact>,
    /// What the stage measured.
    pub metrics: BTreeMap<String, f64>,
    /// Wall time of the attempt.
    pub seconds: f64,
    /// The run that did the work.
    pub run: String,
    /// The version of `flow` that did the work; not part of the key.
    pub flow: String,
}

impl ActionResult {
    /// A record of the current format.
    pub fn new(key: Digest, kind: impl Into<String>) -> Self {
        Self {
            format: FORMAT,
            key,
            kind: kind.into(),
            outputs: Named::default(),
            metrics: BTreeMap::new(),
            seconds: 0.0,
            run: String::new(),
            flow: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What a look at a recorded result found.
#[derive(Clone, Debug, PartialEq)]
pub enum Looked {
    /// A result, and everything it names is whole.
    Whole(Box<ActionResult>),
    /// Nothing is recorded.
    Nothing,
    /// A result that names something missing or damaged; it was set aside.
    Lost(Flaw),
}

/// Recorded results by action key.
#[derive(Clone, Debug)]
pub struct ActionCache {
    root: PathBuf,
}

impl ActionCache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn entry(&self, key: &Digest) -> PathBuf {
        shard(&self.root.join("ac"), key)
    }

    /// The recorded result, if everything it names is whole. An entry with a damaged or missing object is set aside. A hit
    /// counts as use: the collector sees the entry as young.
    pub fn get(&self, key: &Digest, cas: &Cas) -> Result<Option<ActionResult>, StoreError> {
        match self.look(key, cas)? {
            Looked::Whole(result) => Ok(Some(*result)),
            Looked::Nothing | Looked::Lost(_) => Ok(None),
        }
    }

    /// The same, told apart: whether there was nothing, or something that cannot be used any more.
    pub fn look(&self, key: &Digest, cas: &Cas) -> Result<Looked, StoreError> {
        let Some((result, used)) = self.recorded(key)? else { return Ok(Looked::Nothing) };
        for artifact in result.outputs.values() {
            if let Some(flaw) = cas.flaw(artifact, Scrutiny::Stat)? {
                self.set_aside(key)?;
                return Ok(Looked::Lost(flaw));
            }
        }
        if let Err(error) = files::note_use(&self.entry(key), used) {
            tracing::debug!(%error, "Could not note the use of a result.");
        }
        Ok(Looked::Whole(Box::new(result)))
    }

    /// The recorded result without a look at its objects. An entry that does not parse is set aside.
    pub fn peek(&self, key: &Digest) -> Result<Option<ActionResult>, StoreError> {
        Ok(self.recorded(key)?.map(|(result, _)| result))
    }

    /// The recorded result, and when its use was noted last.
    fn recorded(&self, key: &Digest) -> Result<Option<(ActionResult, SystemTime)>, StoreError> {
        let path = self.entry(key);
        let (bytes, used) = match read(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        let result = parse(&bytes).filter(|result| result.key == *key);
        if result.is_none() {
            self.set_aside(key)?;
        }
        Ok(result.map(|result| (result, used)))
    }

    /// Records a result. The first one stays; the caller reads back which it was.
    pub fn put(&self, result: &ActionResult) -> Result<(), StoreError> {
        let place = self.entry(&result.key);
        let temporary = self.root.join("tmp").join(format!("result-{}", ulid::Ulid::new()));
        match files::publish(&render(result, &place)?, &place, &temporary)? {
            Published::New => tracing::debug!(key = %result.key, "Recorded a result."),
            Published::Existed => tracing::debug!(key = %result.key, "Kept the earlier result."),
        }
        Ok(())
    }

    /// Moves an entry out of the way, so that the work is done again.
    pub fn set_aside(&self, key: &Digest) -> Result<(), StoreError> {
        let path = self.entry(key);
        let aside = self.root.join("quarantine").join(format!("{key}.{}.result", ulid::Ulid::new()));
        match fs::rename(&path, &aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("set aside", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Keeps the pre-image of a key: the hashed bytes and a form for people.
    pub fn put_preimage(&self, key: &Digest, preimage: (&[u8], &Value)) -> Result<(), StoreError> {
        let place = shard(&self.root.join("act"), key);
        if place.exists() {
            return Ok(());
        }
        let (bytes, explained) = preimage;
        let text = serde_json::to_vec_pretty(explained).map_err(|source| StoreError::Record { path: place.clone(), source })?;
        let temporary = || self.root.join("tmp").join(format!("act-{}", ulid::Ulid::new()));
        files::publish(&text, &place.with_extension("json"), &temporary())?;
        files::publish(bytes, &place, &temporary()).map(|_| ())
    }

    /// The pre-image of a key, for people.
    pub fn preimage(&self, key: &Digest) -> Result<Option<Value>, StoreError> {
        let path = shard(&self.root.join("act"), key).with_extension("json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| StoreError::Record { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    }
}

/// The bytes of an entry and its change time.
fn read(path: &Path) -> io::Result<(Vec<u8>, SystemTime)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // Entries are written whole; one that grew would fail its check.
    file.take(metadata.len()).read_to_end(&mut bytes)?;
    let (seconds, rest) = (u64::try_from(metadata.ctime()), u32::try_from(metadata.ctime_nsec()));
    let changed = Duration::new(seconds.unwrap_or_default(), rest.unwrap_or_default());
    Ok((bytes, SystemTime::UNIX_EPOCH + changed))
}

/// The record and, on a second line, its digest.
fn render(result: &ActionResult, place: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = serde_json::to_vec(result).map_err(|source| StoreError::Record { path: place.to_owned(), source })?;
    let digest = Digest::of(&bytes).to_string();
    bytes.push(b'\n');
    bytes.extend_from_slice(digest.as_bytes());
    bytes.push(b'\n');
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Option<ActionResult> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (record, digest) = text.strip_suffix('\n')?.split_once('\n')?;
    let result: ActionResult = serde_json::from_str(record).ok()?;
    (Digest::of(record.as_bytes()).to_string() == digest && result.format == FORMAT).then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        (folder, store)
    }

    fn result(seconds: f64) -> ActionResult {
        ActionResult {
            seconds,
            metrics: BTreeMap::from([("f1".to_owned(), 0.5)]),
            ..ActionResult::new(Digest::of(b"key"), "toy/emit")
        }
    }

    #[test]
    fn the_first_result_of_a_key_stays() {
        let (_folder, store) = store();
        store.actions().put(&result(1.0)).unwrap();
        store.actions().put(&result(2.0)).unwrap();
        assert_eq!(store.actions().get(&Digest::of(b"key"), &store.cas()).unwrap(), Some(result(1.0)));
    }

    #[test]
    fn a_damaged_entry_is_a_miss_and_makes_room_for_a_new_one() {
        let (_folder, store) = store();
        store.actions().put(&result(1.0)).unwrap();
        let entry = store.actions().entry(&Digest::of(b"key"));
        let text = fs::read_to_string(&entry).unwrap();
        write_over(&entry, &text.replace("0.5", "0.9"));
        assert_eq!(store.actions().peek(&Digest::of(b"key")).unwrap(), None);
        store.actions().put(&result(2.0)).unwrap();
        assert_eq!(store.actions().peek(&Digest::of(b"key")).unwrap(), Some(result(2.0)));
    }

    fn write_over(path: &Path, text: &str) {
        fs::remove_file(path).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_missing_object_makes_a_miss() {
        let (_folder, store) = store();
        let mut result = result(1.0);
        let lost = Artifact {
            kind: crate::ArtifactKind::File,
            digest: Digest::of(b"lost"),
            form: crate::artifact::ArtifactForm::Blob,
            bytes: 4,
        };
        result.outputs.insert("out".to_owned(), lost);
        store.actions().put(&result).unwrap();
        assert_eq!(store.actions().get(&result.key, &store.cas()).unwrap(), None);
        assert_eq!(store.actions().peek(&result.key).unwrap(), None);
    }

    #[test]
    fn a_pre_image_can_be_read_back() {
        let (_folder, store) = store();
        let explained = serde_json::json!({"kind": "toy/emit"});
        let key = Digest::of(b"key");
        store.actions().put_preimage(&key, (b"bytes", &explained)).unwrap();
        assert_eq!(store.actions().preimage(&key).unwrap(), Some(explained));
        assert_eq!(store.actions().preimage(&Digest::of(b"other")).unwrap(), None);
    }
}
