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
mod format;
mod gc;
mod lease;
mod logs;
mod looks;
mod machine;
mod materialise;
mod pattern;
mod quarantine;
mod release;
mod reservation;
mod sources;
mod stat_index;
mod symlinks;
#[cfg(test)]
mod testing;
mod trajectory;
mod tree;
mod usage;
mod verify;

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use action_cache::{ActionCache, ActionResult, Looked};
pub use cas::{Cas, Staged};
pub(crate) use checkouts::{AmendError, amend_lock};
pub use checkouts::{Checkout, Checkouts, Staging};
pub use error::StoreError;
pub(crate) use files::{hash as hash_file, publish, remove_all, write_atomic, write_lightly};
pub use gc::{Candidate, Collected, GcOptions, Sweep};
pub use lease::{Lease, Pin, Vigil};
pub use logs::KeptLog;
pub use machine::Process;
pub use materialise::{Laid, Materialise, Standing, View};
pub use quarantine::{Flaw, Scrutiny};
pub use reservation::{Claim, Company, Owner, Reservations};
pub use sources::{ResolvedSource, SourceRequest, SourceStore, Supply, source_digest};
pub(crate) use stat_index::Quiet;
pub use stat_index::{Stamp, StatIndex};
pub use trajectory::{CheckpointRecord, Trajectory};
pub use tree::{Node, NodeEntry};
pub use usage::{Share, Usage};
pub use verify::{Damage, Depth, LostResult, Verified};

use format::Presence;
use lease::Leases;
use rustix::fs::{Access, access};

use crate::Digest;

const FOLDERS: [&str; 14] =
    ["cas", "tree", "act", "ac", "ckpt", "scratch", "res", "tmp", "src", "quarantine", "roots", "lease", "trash", "bin"];

/// One content store.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens a store, making it when there is none. What is no store of ours is left alone.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self { root: root.to_owned() };
        if format::check(root, &FOLDERS)? == Presence::Vacant {
            for folder in FOLDERS {
                files::make_folder(&root.join(folder))?;
            }
            format::mark(root)?;
        }
        Ok(store)
    }

    /// Opens a store to work with it. One that may only be read is an error here and not in the middle of a run.
    pub fn open_writable(root: &Path) -> Result<Self, StoreError> {
        let store = Self::open(root)?;
        // Stores of earlier versions lack the newer folders.
        for folder in FOLDERS {
            let folder = root.join(folder);
            files::make_folder(&folder).map_err(|error| read_only("create", &folder, error))?;
            access(&folder, Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|error| read_only("write into", &folder, StoreError::io("write into", &folder)(error.into())))?;
        }
        Ok(store)
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
        Reservations::new(self.root.join("res"), self.leases())
    }

    /// Who is at work, and what the collector must keep for it.
    pub(crate) fn leases(&self) -> Leases {
        Leases::new(self.root.join("lease"))
    }

    /// Tells the collector that somebody is at work, until the result is dropped.
    pub fn lease(&self, name: &str) -> Result<Arc<Lease>, StoreError> {
        self.leases().take(name).map(Arc::new)
    }

    /// Who holds what exists only so often: graphics cards and tokens.
    pub fn slots(&self) -> Reservations {
        Reservations::new(self.root.join("slots"), self.leases())
    }

    /// Pinned sources.
    pub fn sources(&self) -> SourceStore {
        SourceStore::new(self.root.clone())
    }

    /// The folder of an action's own files, which survives crashes and is removed with the result's commit.
    pub fn scratch(&self, key: &Digest) -> PathBuf {
        cas::shard(&self.root.join("scratch"), key)
    }

    /// Ends the lease of an attempt that may have been killed before it could.
    pub(crate) fn forget(&self, token: &str) {
        self.leases().remove(token);
    }

    /// A folder for one attempt's temporary files.
    pub fn temporary(&self, token: &str) -> PathBuf {
        self.root.join("tmp").join(token)
    }

    /// Remembers a project and its registry, so that the collector keeps what its runs and models refer to.
    pub fn register(&self, state: &Path, registry: &Path) -> Result<(), StoreError> {
        let text = [state.as_os_str().as_bytes(), b"\n", registry.as_os_str().as_bytes()].concat();
        let place = self.root.join("roots").join(Digest::of(state.as_os_str().as_bytes()).to_string());
        if fs::read(&place).is_ok_and(|known| known == text) { Ok(()) } else { files::write_atomic(&text, &place) }
    }

    /// Registered projects that still exist.
    pub fn registered(&self) -> Result<Vec<Registered>, StoreError> {
        let roots = self.root.join("roots");
        let mut projects = Vec::new();
        for entry in fs::read_dir(&roots).map_err(StoreError::io("list", &roots))? {
            let path = entry.map_err(StoreError::io("list", &roots))?.path();
            let text = fs::read(&path).map_err(StoreError::io("read", &path))?;
            let mut lines = text.split(|byte| *byte == b'\n').map(|line| PathBuf::from(OsStr::from_bytes(line)));
            let project = Registered { state: lines.next().unwrap_or_default(), registry: lines.next() };
            if project.state.is_dir() {
                projects.push(project);
            }
        }
        projects.sort();
        Ok(projects)
    }
}

/// A project that uses the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registered {
    /// Its state folder.
    pub state: PathBuf,
    /// The registry its models go to.
    pub registry: Option<PathBuf>,
}

fn read_only(operation: &'static str, path: &Path, error: StoreError) -> StoreError {
    if error.is_read_only() { StoreError::ReadOnly { operation, path: path.to_owned() } } else { error }
}
