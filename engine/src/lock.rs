//! `flow.lock`: which content every pinned source and component had when it was first fetched. Kept in version control beside the workflow.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::Digest;

const HEADER: &str = "# Written by `flow run`: the content of every pinned source. Keep it in version control.\n\n";
const VERSION: u32 = 1;

/// The pins of one workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockFile {
    /// One pin per URI.
    pub sources: BTreeMap<String, Pin>,
    /// One pin per repository and revision.
    pub components: BTreeMap<String, ComponentPin>,
}

/// What a repository of components must contain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentPin {
    /// The commit.
    pub commit: String,
    /// The digest of its files as a tree.
    pub blake3: Digest,
}

/// What a source must contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The blob's digest for a file, the tree's digest for a folder.
    pub blake3: Digest,
    /// Content bytes, all files added up.
    pub bytes: u64,
    /// How many files it has.
    pub files: u64,
}

/// A lock file that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LockError {
    /// The file system refused.
    #[error("cannot {operation} {}", path.display())]
    #[diagnostic(code(flow::lock::io), help("check that the folder of the workflow is readable and writable"))]
    Io {
        /// `read` or `write`.
        operation: &'static str,
        /// The lock file.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// The file is no lock file.
    #[error("cannot parse {}", path.display())]
    #[diagnostic(code(flow::lock::invalid), help("restore it from version control, or delete it to pin every source anew"))]
    Invalid {
        /// The lock file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The file was written by a later `flow`.
    #[error("cannot use {}: its version is {found}, this flow knows {VERSION}", path.display())]
    #[diagnostic(code(flow::lock::version), help("update flow, or delete the file to pin every source anew"))]
    Version {
        /// The lock file.
        path: PathBuf,
        /// The version it states.
        found: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default)]
    sources: BTreeMap<String, Pin>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    components: BTreeMap<String, ComponentPin>,
}

impl LockFile {
    /// Reads a lock file. A missing one pins nothing.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(LockError::Io { operation: "read", path: path.to_owned(), source }),
        };
        let invalid = |source| LockError::Invalid { path: path.to_owned(), source: Box::new(source) };
        let document: Document = toml::from_str(&text).map_err(invalid)?;
        if document.version != VERSION {
            return Err(LockError::Version { path: path.to_owned(), found: document.version });
        }
        Ok(Self { sources: document.sources, components: document.components })
    }

    /// Writes the file as a whole or not at all; an equal file is left alone, so that its time stays.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let text = self.to_text();
        if std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        replace(path, text.as_bytes()).map_err(|source| LockError::Io { operation: "write", path: path.to_owned(), source })
    }

    fn to_text(&self) -> String {
        let Self { sources, components } = self.clone();
        let document = Document { version: VERSION, sources, components };
        let body = toml::to_string(&document).expect("a map of strings to plain structs is always TOML");
        format!("{HEADER}{body}")
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("lock.{}", ulid::Ulid::new()));
    let written = write_synced(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The write's own error is the one to report.
        std::fs::remove_file(&temporary).ok();
    }
    written
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pin(seed: u8) -> Pin {
        Pin { blake3: Digest::of(&[seed]), bytes: u64::from(seed) * 1000, files: 1 }
    }

    fn sources(pins: [(String, Pin); 1]) -> LockFile {
        LockFile { sources: pins.into(), ..LockFile::default() }
    }

    #[test]
    fn a_missing_file_pins_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(LockFile::read(&folder.path().join("flow.lock")).unwrap(), LockFile::default());
    }

    #[test]
    fn a_broken_file_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flow.lock");
        std::fs::write(&path, "version = 1\n[sources.x]\nblake3 = \"12\"\nbytes = 1\nfiles = 1\n").unwrap();
        let error = LockFile::read(&path).unwrap_err();
        assert!(matches!(error, LockError::Invalid { .. }));
        assert!(error.to_string().contains("flow.lock"));
        std::fs::write(&path, "version = 9\n").unwrap();
        assert!(matches!(LockFile::read(&path), Err(LockError::Version { found: 9, .. })));
    }

    #[test]
    fn writing_leaves_no_other_file_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flow.lock");
        sources([("pip:a==1/b".to_owned(), pin(1))]).write(&path).unwrap();
        sources([("pip:a==1/b".to_owned(), pin(2))]).write(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(LockFile::read(&path).unwrap().sources["pip:a==1/b"], pin(2));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            sources in prop::collection::btree_map("\\PC{0,30}", any::<u8>().prop_map(pin), 0..6),
            commits in prop::collection::btree_map("\\PC{0,30}", "[0-9a-f]{40}", 0..3),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("flow.lock");
            let component = |commit: String| ComponentPin { blake3: Digest::of(commit.as_bytes()), commit };
            let components = commits.into_iter().map(|(name, commit)| (name, component(commit))).collect();
            let lock = LockFile { sources, components };
            lock.write(&path).unwrap();
            prop_assert_eq!(LockFile::read(&path).unwrap(), lock);
        }
    }
}
