//! What results and leases name, directly and through directory nodes.

use std::collections::BTreeSet;

use crate::{
    Artifact, Digest,
    artifact::ArtifactForm,
    store::{ActionResult, Pin, Store, tree::NodeEntry},
};

/// Objects that must stay.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    pub(crate) blobs: BTreeSet<Digest>,
    pub(crate) nodes: BTreeSet<Digest>,
    /// Content bytes of the blobs.
    pub(crate) bytes: u64,
}

impl Marked {
    /// Marks everything a result names.
    pub(crate) fn add_result(&mut self, store: &Store, result: &ActionResult) {
        for artifact in result.outputs.values() {
            self.add(store, artifact);
        }
    }

    /// Marks what leases name; a result that is not recorded yet names nothing.
    pub(crate) fn add_pins(&mut self, store: &Store, pins: impl Iterator<Item = Pin>) {
        for pin in pins {
            match pin {
                Pin::Result(key) => {
                    if let Ok(Some(result)) = store.actions().peek(&key) {
                        self.add_result(store, &result);
                    }
                }
                Pin::Blob(digest) => {
                    self.blobs.insert(digest);
                }
                Pin::Tree(digest) => self.add_tree(store, digest),
            }
        }
    }

    /// Marks an artifact.
    pub(crate) fn add(&mut self, store: &Store, artifact: &Artifact) {
        match artifact.form {
            ArtifactForm::Blob => self.add_blob(artifact.digest, artifact.bytes),
            ArtifactForm::Tree => self.add_tree(store, artifact.digest),
        }
    }

    fn add_blob(&mut self, digest: Digest, bytes: u64) {
        if self.blobs.insert(digest) {
            self.bytes += bytes;
        }
    }

    fn add_tree(&mut self, store: &Store, digest: Digest) {
        if !self.nodes.insert(digest) {
            return;
        }
        // A node that cannot be read makes its result a miss later; nothing below it can be known.
        let Ok(node) = store.cas().node(&digest) else { return };
        for entry in node.entries.values() {
            match entry {
                NodeEntry::File { digest, bytes, .. } => self.add_blob(*digest, *bytes),
                NodeEntry::Folder { digest } => self.add_tree(store, *digest),
                NodeEntry::Link { .. } => {}
            }
        }
    }
}
