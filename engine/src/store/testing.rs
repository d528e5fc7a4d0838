//! What the tests of the store share: a store in a folder of its own.

use std::{fs, path::PathBuf};

use super::{ActionResult, Staged, Store};
use crate::{Artifact, ArtifactKind, Digest};

pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    pub(super) store: Store,
}

impl Bench {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Records a result with one blob under a key of this name.
    pub(super) fn result(&self, name: &str, text: &str, seconds: f64) -> (Digest, Artifact) {
        let staged = Staged { path: self.file(&format!("output-{name}"), text), kind: ArtifactKind::File };
        let artifact = self.store.cas().ingest(&[staged]).unwrap().remove(0);
        let key = Digest::of(name.as_bytes());
        let mut result = ActionResult::new(key, "toy/emit");
        result.seconds = seconds;
        result.outputs.insert("out".to_owned(), artifact.clone());
        self.store.actions().put(&result).unwrap();
        (key, artifact)
    }

    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.store.cas().path(digest).exists()
    }
}
