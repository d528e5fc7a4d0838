//! Checked-out commits: read-only folders by commit and tree digest, published whole or not at all.
//!
//! Where the files come from is the business of [`crate::component`].

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    StatIndex, Store, StoreError,
    cas::HashFile,
    files,
    tree::{self, Links, Node},
};
use crate::{
    Digest,
    lock::{LockError, LockFile},
    project::Project,
};

/// Checked-out commits of one store.
#[derive(Clone, Debug)]
pub struct Checkouts {
    root: PathBuf,
}

/// One checked-out commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Its files.
    pub folder: PathBuf,
    /// The digest over names, contents, and executable bits.
    pub digest: Digest,
}

/// A folder to check out into; removed unless it is published.
#[derive(Debug)]
pub struct Staging(PathBuf);

impl Staging {
    /// The empty folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What is left is swept later.
        files::remove_all(&self.0).ok();
    }
}

impl Store {
    /// Checked-out commits.
    pub fn checkouts(&self) -> Checkouts {
        Checkouts { root: self.root().to_owned() }
    }
}

impl Checkouts {
    fn place(&self, commit: &str, digest: &Digest) -> PathBuf {
        let name = Digest::derive("flow.dev 2026-11 checkout v1", format!("{digest} {commit}").as_bytes());
        self.root.join("src").join(name.to_string()).join(commit)
    }

    /// A commit that was checked out before, verified. A damaged one is set aside and counts as missing.
    pub fn find(&self, commit: &str, digest: &Digest, index: &StatIndex) -> Result<Option<Checkout>, StoreError> {
        let folder = self.place(commit, digest);
        if !folder.is_dir() {
            return Ok(None);
        }
        if listed(&folder, &|file| index.digest(file)).is_ok_and(|found| found.0 == *digest) {
            return Ok(Some(Checkout { folder, digest: *digest }));
        }
        tracing::warn!(commit, "A checked-out component is damaged; it is fetched again.");
        let aside = self.root.join("quarantine").join(format!("{digest}.{}.src", ulid::Ulid::new()));
        fs::rename(folder.parent().unwrap_or(&folder), &aside).map_err(StoreError::io("set aside", &folder))?;
        Ok(None)
    }

    /// An empty folder to check out into.
    pub fn staging(&self) -> Result<Staging, StoreError> {
        let folder = self.root.join("tmp").join(format!("checkout-{}", ulid::Ulid::new()));
        files::make_folder(&folder)?;
        Ok(Staging(folder))
    }

    /// Keeps a checkout under its commit, read-only.
    pub fn publish(&self, commit: &str, staging: &Staging) -> Result<Checkout, StoreError> {
        let (digest, found) = listed(staging.path(), &|file| files::hash(file))?;
        for (file, _) in &found {
            let executable = file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o100 != 0);
            files::seal(file, if executable { 0o555 } else { 0o444 })?;
        }
        let folder = self.place(commit, &digest);
        let top = folder.parent().unwrap_or(&folder);
        let outer = self.root.join("tmp").join(format!("src-{}", ulid::Ulid::new()));
        files::make_folder(&outer)?;
        fs::rename(staging.path(), outer.join(commit)).map_err(StoreError::io("move", staging.path()))?;
        files::sync_folder(&outer)?;
        match fs::rename(&outer, top) {
            Ok(()) => files::sync_folder(&self.root.join("src"))?,
            // Somebody else checked the same commit out meanwhile.
            Err(_) if folder.is_dir() => files::remove_all(&outer).map_err(StoreError::io("remove", &outer))?,
            Err(error) => return Err(StoreError::io("publish", top)(error)),
        }
        Ok(Checkout { folder, digest })
    }
}

impl Checkout {
    /// Every file with its content's digest, sorted by path.
    pub fn files(&self) -> Result<Vec<(PathBuf, Digest)>, StoreError> {
        listed(&self.folder, &|file| files::hash(file)).map(|found| found.1)
    }
}

/// The tree digest of a folder, links kept as links, and its files.
fn listed(folder: &Path, hash: HashFile<'_>) -> Result<(Digest, Vec<(PathBuf, Digest)>), StoreError> {
    let listing = tree::list(folder, Links::Keep)?;
    let hashed = files::parallel(&listing.files, |file| hash(file))?;
    let (nodes, _) = tree::nodes(&listing, &hashed);
    let digest = nodes.last().map_or_else(|| Node::default().digest(), Node::digest);
    let mut found: Vec<_> = listing.files.into_iter().zip(hashed).map(|(path, (digest, _))| (path, digest)).collect();
    found.sort();
    Ok((digest, found))
}

/// Changes a project's lock file. Runs of other processes pin too; nobody's pin may be lost.
pub(crate) fn amend_lock(project: &Project, change: impl FnOnce(&mut LockFile)) -> Result<(), AmendError> {
    let state = project.state.join("state");
    files::make_folder(&state)?;
    let _turn = files::exclusive(&state.join("pinning"))?;
    let mut lock = LockFile::read(&project.lock_file)?;
    change(&mut lock);
    Ok(lock.write(&project.lock_file)?)
}

/// Why a lock file could not be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AmendError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
