//! Objects that are not what their names say: found, moved to `quarantine/` with a report, and never used again.
//!
//! A mode is no evidence, and neither is a size. A blob carries a fixed modification time that any write changes; whether its
//! bytes were read since the machine started is noted in the fraction of that time.

use std::{fs, io, path::Path};

use serde::Serialize;

use super::{
    Cas, StoreError,
    cas::BLOB_MODE,
    files::{self, Sealed},
    gc,
    tree::NodeEntry,
};
use crate::{Artifact, Digest, artifact::ArtifactForm};

/// Why an object cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The object.
    pub digest: Digest,
    /// What is wrong with it.
    pub reason: String,
}

/// How hard to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrutiny {
    /// Sizes and times.
    Stat,
    /// The bytes, unless they were read since the machine started and nobody wrote since.
    OncePerBoot,
    /// The bytes, whatever the times say.
    Bytes,
}

/// What is written beside an object that was set aside.
#[derive(Debug, Serialize)]
struct Report<'a> {
    expected: Digest,
    got: Option<Digest>,
    expected_bytes: Option<u64>,
    got_bytes: u64,
    reason: &'a str,
    found_at: String,
}

impl Cas {
    /// Whether everything an artifact names is there and whole. Damaged objects are set aside.
    pub fn holds(&self, artifact: &Artifact) -> Result<bool, StoreError> {
        Ok(self.flaw(artifact, Scrutiny::Stat)?.is_none())
    }

    /// The first object of an artifact that cannot be used. Damaged ones are set aside.
    pub fn flaw(&self, artifact: &Artifact, scrutiny: Scrutiny) -> Result<Option<Flaw>, StoreError> {
        match artifact.form {
            ArtifactForm::Blob => self.blob_flaw(&artifact.digest, artifact.bytes, scrutiny),
            ArtifactForm::Tree => self.tree_flaw(&artifact.digest, scrutiny),
        }
    }

    fn tree_flaw(&self, digest: &Digest, scrutiny: Scrutiny) -> Result<Option<Flaw>, StoreError> {
        let node = match self.node(digest) {
            Ok(node) => node,
            Err(StoreError::Damaged { digest, reason }) => {
                self.set_aside(&self.node_path(&digest), &digest, (None, &reason))?;
                return Ok(Some(Flaw { digest, reason }));
            }
            Err(error) => return Err(error),
        };
        for entry in node.entries.values() {
            let flaw = match entry {
                NodeEntry::File { digest, bytes, .. } => self.blob_flaw(digest, *bytes, scrutiny)?,
                NodeEntry::Folder { digest } => self.tree_flaw(digest, scrutiny)?,
                NodeEntry::Link { .. } => None,
            };
            if flaw.is_some() {
                return Ok(flaw);
            }
        }
        Ok(None)
    }

    /// What is wrong with a blob of this size, if anything is. A damaged one is set aside.
    pub(crate) fn blob_flaw(&self, digest: &Digest, bytes: u64, scrutiny: Scrutiny) -> Result<Option<Flaw>, StoreError> {
        let path = self.path(digest);
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if gc::rescue(self.root(), ("cas", digest))? {
                    return self.blob_flaw(digest, bytes, scrutiny);
                }
                return Ok(Some(missing(digest)));
            }
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        let sealed = files::sealed(&metadata);
        let trusted = match scrutiny {
            Scrutiny::Stat => sealed != Sealed::Broken,
            Scrutiny::OncePerBoot => sealed == Sealed::ThisBoot,
            Scrutiny::Bytes => false,
        };
        if metadata.len() != bytes {
            let reason = format!("it holds {} bytes instead of {bytes}", metadata.len());
            return self.condemn(&path, digest, (Some(bytes), reason)).map(Some);
        }
        if trusted {
            return Ok(None);
        }
        let found = match files::hash(&path) {
            Ok((found, _)) => found,
            // Another process found it damaged meanwhile.
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(Some(missing(digest))),
            Err(error) => return Err(error),
        };
        if found != *digest {
            return self.condemn(&path, digest, (Some(bytes), format!("its content is {found}"))).map(Some);
        }
        if sealed != Sealed::ThisBoot {
            // A store that may only be read cannot note it.
            files::seal(&path, BLOB_MODE).or_else(|error| if error.is_read_only() { Ok(()) } else { Err(error) })?;
        }
        Ok(None)
    }

    /// Reads a blob whatever its metadata says; a damaged one is set aside.
    pub fn verify(&self, digest: &Digest) -> Result<bool, StoreError> {
        match self.path(digest).symlink_metadata() {
            Ok(metadata) => Ok(self.blob_flaw(digest, metadata.len(), Scrutiny::Bytes)?.is_none()),
            Err(_) => Ok(false),
        }
    }

    fn condemn(&self, path: &Path, digest: &Digest, why: (Option<u64>, String)) -> Result<Flaw, StoreError> {
        let (bytes, reason) = why;
        self.set_aside(path, digest, (bytes, &reason))?;
        Ok(Flaw { digest: *digest, reason })
    }

    /// Moves an object out of the way and says in a report beside it what was wrong.
    pub(crate) fn set_aside(&self, path: &Path, digest: &Digest, why: (Option<u64>, &str)) -> Result<(), StoreError> {
        let (expected_bytes, reason) = why;
        let name = format!("{digest}.{}", ulid::Ulid::new());
        let quarantine = self.root().join("quarantine");
        let aside = quarantine.join(&name);
        match fs::rename(path, &aside) {
            Ok(()) => {}
            // Another process found the same damage and was faster, or there was nothing to begin with.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io("set aside", path)(error)),
        }
        tracing::warn!(%digest, reason, aside = %aside.display(), "Set a damaged object aside.");
        let report = Report {
            expected: *digest,
            got: files::hash(&aside).ok().map(|(got, _)| got),
            expected_bytes,
            got_bytes: aside.metadata().map(|metadata| metadata.len()).unwrap_or_default(),
            reason,
            found_at: jiff::Timestamp::now().to_string(),
        };
        // The object is out of the way, which is what counts; the report is for people.
        if let Ok(text) = serde_json::to_vec_pretty(&report)
            && let Err(error) = fs::write(quarantine.join(format!("{name}.json")), text)
        {
            tracing::warn!(%error, "Could not write a report about a damaged object.");
        }
        Ok(())
    }
}

fn missing(digest: &Digest) -> Flaw {
    Flaw { digest: *digest, reason: "it is missing".to_owned() }
}
