//! Artifacts as files and folders that a stage can open: blobs in place, trees as folders of hard links or copies.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::{Cas, StoreError, files, tree, tree::NodeEntry};
use crate::{Artifact, Digest, artifact::ArtifactForm};

/// How much a reader is trusted not to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Materialise {
    /// Blobs in place and hard links: for our own stages.
    Linked,
    /// Copies: for commands and for folders that people open.
    Copied,
}

impl Cas {
    /// Lays an artifact out below `place`, which does not exist yet, and returns the path to open.
    pub fn materialise(&self, artifact: &Artifact, place: &Path, how: Materialise) -> Result<PathBuf, StoreError> {
        match (artifact.form, how) {
            (ArtifactForm::Blob, Materialise::Linked) => Ok(self.path(&artifact.digest)),
            (ArtifactForm::Blob, Materialise::Copied) => {
                copy(&self.path(&artifact.digest), place, 0o644)?;
                Ok(place.to_owned())
            }
            (ArtifactForm::Tree, how) => {
                self.lay_out(&artifact.digest, place, how)?;
                Ok(place.to_owned())
            }
        }
    }

    fn lay_out(&self, digest: &Digest, place: &Path, how: Materialise) -> Result<(), StoreError> {
        files::make_folder(place)?;
        for (name, entry) in &self.node(digest)?.entries {
            let path = place.join(tree::name(name));
            match entry {
                NodeEntry::File { digest, executable, .. } => self.lay_out_file(digest, &path, (*executable, how))?,
                NodeEntry::Folder { digest } => self.lay_out(digest, &path, how)?,
                NodeEntry::Link { target } => symlink(tree::name(target), &path).map_err(StoreError::io("link", &path))?,
            }
        }
        Ok(())
    }

    fn lay_out_file(&self, digest: &Digest, path: &Path, (executable, how): (bool, Materialise)) -> Result<(), StoreError> {
        let blob = self.path(digest);
        // A blob is shared by files with and without the executable bit, so an executable is always a copy.
        if how == Materialise::Linked && !executable && fs::hard_link(&blob, path).is_ok() {
            return Ok(());
        }
        copy(&blob, path, if executable { 0o755 } else { 0o644 })
    }
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), StoreError> {
    if let Some(folder) = to.parent() {
        files::make_folder(folder)?;
    }
    fs::copy(from, to).map_err(StoreError::io("copy", to))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(StoreError::io("copy", to))
}
