//! The content store: immutable objects, recorded results, reservations, checkpoints, and pinned sources.
//!
//! Knows paths and digests; what an artifact means is the caller's concern. Many processes use one store at once: objects
//! are immutable and appear by an atomic link, so no lock is needed for correctness.

mod action_cache;
mod cas;
mod checkouts;
mod error;
pub mod failpoint;
mod files;
mod gc;
mod logs;
mod materialise;
mod reservation;
mod sources;
mod stat_index;
mod trajectory;
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use action_cache::{ActionCache, ActionResult};
pub use cas::{Cas, Staged};
pub(crate) use checkouts::{AmendError, amend_lock};
pub use checkouts::{Checkout, Checkouts, Staging};
pub use error::StoreError;
pub(crate) use files::{remove_all, write_atomic};
pub use gc::{Collected, GcOptions};
pub use logs::KeptLog;
pub use materialise::Materialise;
pub use reservation::{Claim, Owner, Process, Reservations};
pub use sources::{ResolvedSource, SourceRequest, SourceStore, Supply, source_digest};
pub use stat_index::{Stamp, StatIndex};
pub use trajectory::{CheckpointRecord, Trajectory};
pub use tree::{Node, NodeEntry};

use crate::Digest;

const FORMAT: &str = "flow store 1 blake3\n";
const FOLDERS: [&str; 10] = ["cas", "tree", "act", "ac", "ckpt", "scratch", "res", "tmp", "src", "quarantine"];

/// One content store.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens a store, making it when there is none.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let format = root.join("FORMAT");
        match fs::read_to_string(&format) {
            Ok(found) if found == FORMAT => return Ok(Self { root: root.to_owned() }),
            Ok(found) => {
                return Err(StoreError::Format {
                    path: root.to_owned(),
                    found: found.trim().to_owned(),
                    known: FORMAT.trim_ascii(),
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("read", &format)(error)),
        }
        for folder in FOLDERS.into_iter().chain(["roots"]) {
            files::make_folder(&root.join(folder))?;
        }
        files::write_atomic(FORMAT.as_bytes(), &format)?;
        Ok(Self { root: root.to_owned() })
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Blobs and trees.
    pub fn cas(&self) -> Cas {
        Cas::new(self.root.clone())
    }

    /// Recorded results.
    pub fn actions(&self) -> ActionCache {
        ActionCache::new(self.root.clone())
    }

    /// Who works on what.
    pub fn reservations(&self) -> Reservations {
        Reservations::new(self.root.join("res"))
    }

    /// Pinned sources.
    pub fn sources(&self) -> SourceStore {
        SourceStore::new(self.root.clone())
    }

    /// The folder of an action's own files, which survives crashes and is removed with the result's commit.
    pub fn scratch(&self, key: &Digest) -> PathBuf {
        cas::shard(&self.root.join("scratch"), key)
    }

    /// A folder for one attempt's temporary files.
    pub fn temporary(&self, token: &str) -> PathBuf {
        self.root.join("tmp").join(token)
    }

    /// Remembers a project, so that the collector keeps what its runs refer to.
    pub fn register(&self, state: &Path) -> Result<(), StoreError> {
        let text = state.to_string_lossy().into_owned();
        let place = self.root.join("roots").join(Digest::of(text.as_bytes()).to_string());
        if place.exists() { Ok(()) } else { files::write_atomic(text.as_bytes(), &place) }
    }

    /// The state folders of registered projects that still exist.
    pub fn registered(&self) -> Result<Vec<PathBuf>, StoreError> {
        let roots = self.root.join("roots");
        let mut states = Vec::new();
        for entry in fs::read_dir(&roots).map_err(StoreError::io("list", &roots))? {
            let path = entry.map_err(StoreError::io("list", &roots))?.path();
            let state = PathBuf::from(fs::read_to_string(&path).map_err(StoreError::io("read", &path))?);
            if state.is_dir() {
                states.push(state);
            }
        }
        states.sort();
        Ok(states)
    }
}
