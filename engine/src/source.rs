//! What a stage reads from outside the graph, and who fetches it.
//!
//! Files are hashed where they lie. Pinned sources (`pip:`, `hf:`, `file:`, `registry:`) are fetched once, hashed, and
//! recorded in `flow.lock`; every later use is verified against it. The engine knows schemes only by name.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Something outside the graph whose content enters the action key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceRef {
    /// Files by path or glob, relative to the workflow file.
    Files(String),
    /// Files by path or glob below a folder of their own, such as a component's. Where that lies is not part of the key.
    Below {
        /// The folder; a relative one starts at the workflow file's.
        folder: PathBuf,
        /// The path or glob.
        pattern: String,
    },
    /// A URI with a scheme, pinned by hash in `flow.lock`.
    Pinned(String),
    /// A program of the machine, with its interpreter and its libraries.
    Program(ProgramRef),
}

impl SourceRef {
    /// The name under which its files are found.
    pub fn name(&self) -> String {
        match self {
            Self::Files(name) | Self::Below { pattern: name, .. } | Self::Pinned(name) => name.clone(),
            Self::Program(program) => format!("tool:{}", program.name),
        }
    }
}

/// A program by the word that starts it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramRef {
    /// A name to look up, or a path relative to `folder`.
    pub name: String,
    /// Where a path starts; a relative one starts at the workflow file's folder. Not part of the key.
    pub folder: PathBuf,
    /// The folders to look it up in, as in `PATH`.
    pub search: String,
}

/// One resolved file or folder of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Where it lies on this machine; never part of a key.
    #[serde(with = "crate::path_bytes")]
    pub path: PathBuf,
    /// Its name relative to the pattern's or the source's root; part of the key. Bytes that are no text are characters for
    /// private use here.
    pub name: String,
    /// Digest of its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A request to find a pinned source.
pub struct Locate<'a> {
    /// The whole URI, scheme included.
    pub uri: &'a str,
    /// The folder that relative paths resolve against.
    pub base: &'a Path,
    /// The registry's folder.
    pub registry: &'a Path,
    /// An empty folder to fetch into.
    pub into: &'a Path,
    /// Called with bytes done and bytes expected.
    pub progress: &'a dyn Fn(u64, Option<u64>),
}

/// Where a resolver found its source.
#[derive(Debug)]
pub enum Located {
    /// It lies on this machine already: a file or a folder to use in place.
    InPlace(PathBuf),
    /// It was fetched: a file or a folder below [`Locate::into`], to be moved into the store.
    Fetched(PathBuf),
}

/// A source that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot get {uri}: {reason}")]
pub struct SourceError {
    /// What was asked for.
    pub uri: String,
    /// Why not: lower case, no period.
    pub reason: String,
    /// What the reader can do next.
    pub help: Option<String>,
}

/// Fetches one scheme of pinned sources.
pub trait SourceResolver: Send + Sync {
    /// The word before the colon.
    fn scheme(&self) -> &'static str;

    /// Finds or fetches the source. Called again after a crash; must not leave anything outside [`Locate::into`].
    fn locate(&self, request: &Locate<'_>) -> Result<Located, SourceError>;
}
