//! Artifacts as files and folders that a stage can open: blobs in place, trees as folders of clones, hard links, or copies.
//!
//! A clone shares blocks until it is written to, so it is best; a hard link is as cheap but shares the file, so whoever gets
//! one is looked after with [`Laid`]; a copy is hashed while it is made.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    Cas, Scrutiny, StoreError,
    files::{self, Durable, Sealed},
    tree,
    tree::NodeEntry,
};
use crate::{Artifact, Digest, artifact::ArtifactForm};

/// How much a reader is trusted not to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Materialise {
    /// Blobs in place, clones, and hard links: for our own stages.
    Linked,
    /// Clones and copies: for commands and for folders that people open.
    Copied,
}

/// A file of the store that a reader may open under a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Laid {
    /// Where the reader sees it.
    pub path: PathBuf,
    /// What it should hold.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// An artifact that can be opened.
#[derive(Clone, Debug)]
pub struct View {
    /// The file or folder to open.
    pub path: PathBuf,
    /// Files that are the store's own under this or another name: a write to one of them is a write into the store.
    pub shared: Vec<Laid>,
}

/// One layout: how, what the file system can do, and what it shared.
struct Layout<'a> {
    cas: &'a Cas,
    how: Materialise,
    clones: AtomicBool,
    shared: Vec<Laid>,
}

/// What became of a file that a reader could have written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as it was.
    Whole,
    /// It is gone.
    Gone,
    /// Somebody wrote to it.
    Written,
}

impl Cas {
    /// Lays an artifact out below `place`, which does not exist yet, and returns the path to open.
    pub fn materialise(&self, artifact: &Artifact, place: &Path, how: Materialise) -> Result<PathBuf, StoreError> {
        self.view(artifact, place, how).map(|view| view.path)
    }

    /// The same, with the list of files to look after. An object that is missing or damaged is [`StoreError::Damaged`].
    pub fn view(&self, artifact: &Artifact, place: &Path, how: Materialise) -> Result<View, StoreError> {
        let mut layout = Layout { cas: self, how, clones: AtomicBool::new(true), shared: Vec::new() };
        let path = match (artifact.form, how) {
            (ArtifactForm::Blob, Materialise::Linked) => {
                let path = self.path(&artifact.digest);
                layout.check(&artifact.digest, artifact.bytes)?;
                layout.shared.push(Laid { path: path.clone(), digest: artifact.digest, bytes: artifact.bytes });
                path
            }
            (ArtifactForm::Blob, Materialise::Copied) => {
                if let Some(folder) = place.parent() {
                    files::make_folder(folder)?;
                }
                layout.private((&artifact.digest, artifact.bytes), place, 0o644)?;
                place.to_owned()
            }
            (ArtifactForm::Tree, _) => {
                layout.folder(&artifact.digest, place)?;
                place.to_owned()
            }
        };
        Ok(View { path, shared: layout.shared })
    }

    /// Looks at a file after its reader is gone.
    pub fn standing(&self, laid: &Laid) -> Standing {
        // Both names: a hard link that the reader removed or replaced is no harm to the store.
        match self.path(&laid.digest).symlink_metadata() {
            Ok(metadata) if metadata.len() == laid.bytes && files::sealed(&metadata) != Sealed::Broken => Standing::Whole,
            Ok(_) => Standing::Written,
            Err(_) => Standing::Gone,
        }
    }

    /// Moves a blob that somebody wrote to out of the store.
    pub fn quarantine(&self, laid: &Laid) -> Result<(), StoreError> {
        self.set_aside(&self.path(&laid.digest), &laid.digest, (Some(laid.bytes), "a stage wrote to it"))
    }
}

impl Layout<'_> {
    fn folder(&mut self, digest: &Digest, place: &Path) -> Result<(), StoreError> {
        files::make_folder(place)?;
        for (name, entry) in &self.cas.node(digest)?.entries {
            let path = place.join(tree::name(name));
            match entry {
                NodeEntry::File { digest, bytes, executable } => self.file((digest, *bytes), &path, *executable)?,
                NodeEntry::Folder { digest } => self.folder(digest, &path)?,
                NodeEntry::Link { target } => symlink(tree::name(target), &path).map_err(StoreError::io("link", &path))?,
            }
        }
        Ok(())
    }

    fn file(&mut self, (digest, bytes): (&Digest, u64), path: &Path, executable: bool) -> Result<(), StoreError> {
        // A blob is shared by files with and without the executable bit, so an executable is always a file of its own.
        if executable {
            return self.private((digest, bytes), path, 0o755);
        }
        if self.how == Materialise::Copied {
            return self.private((digest, bytes), path, 0o644);
        }
        self.check(digest, bytes)?;
        let blob = self.cas.path(digest);
        if self.clone(&blob, path, 0o444)? {
            return Ok(());
        }
        if fs::hard_link(&blob, path).is_ok() {
            self.shared.push(Laid { path: path.to_owned(), digest: *digest, bytes });
            return Ok(());
        }
        self.private((digest, bytes), path, 0o444)
    }

    /// Whether a blob may be shown without a copy that would be hashed on the way.
    fn check(&self, digest: &Digest, bytes: u64) -> Result<(), StoreError> {
        match self.cas.blob_flaw(digest, bytes, Scrutiny::OncePerBoot)? {
            None => Ok(()),
            Some(flaw) => Err(StoreError::Damaged { digest: flaw.digest, reason: flaw.reason }),
        }
    }

    /// A file that the reader may do with as it likes.
    fn private(&self, (digest, bytes): (&Digest, u64), path: &Path, mode: u32) -> Result<(), StoreError> {
        let blob = self.cas.path(digest);
        if self.clones.load(Ordering::Relaxed) {
            self.check(digest, bytes)?;
            if self.clone(&blob, path, mode)? {
                return Ok(());
            }
        }
        let (found, _) = match files::copy_hashing(&blob, path, Durable::No) {
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Damaged { digest: *digest, reason: "it is missing".to_owned() });
            }
            copied => copied?,
        };
        if found != *digest {
            let reason = format!("its content is {found}");
            self.cas.set_aside(&blob, digest, (Some(bytes), &reason))?;
            return Err(StoreError::Damaged { digest: *digest, reason });
        }
        allow(path, mode)
    }

    /// Tries a clone; a file system that refuses one is not asked again.
    fn clone(&self, blob: &Path, path: &Path, mode: u32) -> Result<bool, StoreError> {
        if !self.clones.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if files::reflink(blob, path).is_err() {
            self.clones.store(false, Ordering::Relaxed);
            return Ok(false);
        }
        allow(path, mode).map(|()| true)
    }
}

fn allow(path: &Path, mode: u32) -> Result<(), StoreError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(StoreError::io("copy", path))
}
