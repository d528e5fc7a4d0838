//! Content-addressed storage. Knows paths and digests; what an artifact means is the caller's concern.
//!
//! Blobs lie under `cas/`, directory nodes under `tree/`. An object is linked into place only when it is complete, flushed,
//! and read-only, and carries a fixed modification time: a later write through any link shows without hashing. A read-only
//! mode is never taken as evidence.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Lease, Pin, Scrutiny, StoreError, failpoint,
    files::{self, Durable, Published},
    gc,
    tree::{self, Links, Node},
};
use crate::{Artifact, ArtifactKind, Digest, artifact::ArtifactForm};

pub(crate) const BLOB_MODE: u32 = 0o444;

/// The blobs and trees of one store.
#[derive(Clone, Debug)]
pub struct Cas {
    root: PathBuf,
    lease: Option<Arc<Lease>>,
    /// Notes what was not there before.
    fresh: Option<Arc<Mutex<BTreeSet<Digest>>>>,
}

/// An output lying where a stage wrote it, and what its port says it is.
#[derive(Clone, Debug)]
pub struct Staged {
    /// A file or a folder; consumed by the ingestion.
    pub path: PathBuf,
    /// The kind of its port.
    pub kind: ArtifactKind,
}

impl Cas {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, lease: None, fresh: None }
    }

    /// The same store; what is taken into it is kept for the holder of the lease from before it is there.
    #[must_use]
    pub fn under(self, lease: Arc<Lease>) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// The same store; digests of what is taken into it and was not there before are added to `fresh`.
    #[must_use]
    pub(super) fn noting(self, fresh: &Arc<Mutex<BTreeSet<Digest>>>) -> Self {
        Self { fresh: Some(fresh.clone()), ..self }
    }

    fn note(&self, digest: Digest, published: Published) {
        if let (Some(fresh), Published::New) = (&self.fresh, published) {
            fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        }
    }

    fn pin(&self, pin: Pin) -> Result<(), StoreError> {
        self.lease.as_ref().map_or(Ok(()), |lease| lease.pin([pin]))
    }

    /// Where a blob lies: complete and read-only, if it exists.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        shard(&self.root.join("cas"), digest)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn node_path(&self, digest: &Digest) -> PathBuf {
        shard(&self.root.join("tree"), digest)
    }

    /// Takes outputs into the store, in order. When this returns, everything is on disk.
    pub fn ingest(&self, staged: &[Staged]) -> Result<Vec<Artifact>, StoreError> {
        let mut touched = BTreeSet::new();
        let mut kept = Vec::with_capacity(staged.len());
        for output in staged {
            kept.push(self.ingest_files(output, &mut touched)?);
        }
        self.reach("commit-4-ingested")?;
        sync_all(&touched)?;
        self.reach("commit-5-synced")?;
        touched.clear();
        let mut artifacts = Vec::with_capacity(kept.len());
        for (artifact, nodes) in kept {
            for node in &nodes {
                self.keep_node(node, &mut touched)?;
            }
            artifacts.push(artifact);
        }
        sync_all(&touched)?;
        self.reach("commit-6-trees")?;
        Ok(artifacts)
    }

    fn reach(&self, site: &str) -> Result<(), StoreError> {
        failpoint::reach(site).map_err(StoreError::io("write into", &self.root))
    }

    fn ingest_files(&self, staged: &Staged, touched: &mut BTreeSet<PathBuf>) -> Result<(Artifact, Vec<Node>), StoreError> {
        let path = &staged.path;
        let metadata = path.symlink_metadata().map_err(StoreError::io("read", path))?;
        if metadata.is_file() {
            let (digest, bytes) = self.keep_blob(path)?;
            touched.extend(self.path(&digest).parent().map(Path::to_owned));
            let artifact = Artifact { kind: staged.kind, digest, form: ArtifactForm::Blob, bytes };
            return Ok((artifact, Vec::new()));
        }
        if !metadata.is_dir() {
            return Err(StoreError::Unsupported { path: path.clone(), reason: "it is neither a file nor a folder" });
        }
        let listing = tree::list(path, Links::Keep)?;
        let hashed = files::parallel(&listing.files, |file| self.keep_blob(file))?;
        touched.extend(hashed.iter().filter_map(|(digest, _)| self.path(digest).parent().map(Path::to_owned)));
        let (nodes, bytes) = tree::nodes(&listing, &hashed);
        let digest = nodes.last().map_or_else(|| Node::default().digest(), Node::digest);
        Ok((Artifact { kind: staged.kind, digest, form: ArtifactForm::Tree, bytes }, nodes))
    }

    /// Moves one file into the store, or copies it when somebody else holds a link to it.
    fn keep_blob(&self, file: &Path) -> Result<(Digest, u64), StoreError> {
        let (digest, bytes) = files::hash(file)?;
        let place = self.path(&digest);
        self.pin(Pin::Blob(digest))?;
        // Touching the change time keeps the collector away while nothing refers to the blob yet. If it was faster, the blob is gone.
        if self.blob_flaw(&digest, bytes, Scrutiny::Stat)?.is_none() && files::touch(&place).is_ok() {
            return Ok((digest, bytes));
        }
        if let Some(folder) = place.parent() {
            files::make_folder(folder)?;
        }
        let shared = file.symlink_metadata().map_err(StoreError::io("read", file))?.nlink() > 1;
        let source = if shared { self.copy_aside(file, &digest)? } else { file.to_owned() };
        files::seal(&source, BLOB_MODE)?;
        let published = files::link(&source, &place)?;
        if shared {
            fs::remove_file(&source).map_err(StoreError::io("remove", &source))?;
        }
        self.note(digest, published);
        self.reach("commit-4-blob")?;
        Ok((digest, bytes))
    }

    fn copy_aside(&self, file: &Path, expected: &Digest) -> Result<PathBuf, StoreError> {
        let aside = self.root.join("tmp").join(format!("copy-{}", ulid::Ulid::new()));
        let (digest, _) = files::copy_hashing(file, &aside, Durable::Yes)?;
        if digest != *expected {
            return Err(StoreError::Unsupported { path: file.to_owned(), reason: "it is still being written" });
        }
        Ok(aside)
    }

    fn keep_node(&self, node: &Node, touched: &mut BTreeSet<PathBuf>) -> Result<(), StoreError> {
        let digest = node.digest();
        let place = self.node_path(&digest);
        self.pin(Pin::Tree(digest))?;
        if self.node(&digest).is_ok() && files::touch(&place).is_ok() {
            return Ok(());
        }
        let temporary = self.root.join("tmp").join(format!("node-{}", ulid::Ulid::new()));
        let published = files::publish(&node.encode(), &place, &temporary)?;
        if published == Published::Existed {
            // The old file does not match its name, else it would have been used above.
            files::write_atomic(&node.encode(), &place)?;
        }
        touched.extend(place.parent().map(Path::to_owned));
        self.note(digest, published);
        self.reach("commit-6-node")
    }

    /// Reads a directory node and checks it against its name.
    pub fn node(&self, digest: &Digest) -> Result<Node, StoreError> {
        let path = self.node_path(digest);
        let read = || fs::read(&path);
        let rescued = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound if gc::rescue(&self.root, ("tree", digest)).unwrap_or(false) => read(),
            _ => Err(error),
        };
        let bytes = read().or_else(rescued).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                StoreError::Damaged { digest: *digest, reason: "its directory node is missing".to_owned() }
            }
            _ => StoreError::io("read", &path)(error),
        })?;
        let node = Node::decode(&bytes).filter(|node| node.digest() == *digest);
        node.ok_or_else(|| StoreError::Damaged {
            digest: *digest,
            reason: "the directory node does not match its name".to_owned(),
        })
    }
}

/// Digest and size of a file, read or remembered.
pub(crate) type HashFile<'a> = &'a (dyn Fn(&Path) -> Result<(Digest, u64), StoreError> + Sync);

/// Digest, content bytes, and files of a file or folder outside the store.
pub(crate) fn measure(path: &Path, hash: HashFile<'_>) -> Result<Measured, StoreError> {
    let metadata = path.metadata().map_err(StoreError::io("read", path))?;
    if metadata.is_file() {
        let (digest, bytes) = hash(path)?;
        return Ok(Measured { digest, bytes, files: vec![(path.to_owned(), digest, bytes)] });
    }
    let listing = tree::list(path, Links::Follow)?;
    let hashed = files::parallel(&listing.files, |file| hash(file))?;
    let (nodes, bytes) = tree::nodes(&listing, &hashed);
    let digest = nodes.last().map_or_else(|| Node::default().digest(), Node::digest);
    let mut files: Vec<_> = listing.files.into_iter().zip(hashed).map(|(path, (digest, bytes))| (path, digest, bytes)).collect();
    files.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(Measured { digest, bytes, files })
}

/// A file or folder that was hashed where it lies.
pub(crate) struct Measured {
    /// The blob's digest for a file, the tree's digest for a folder.
    pub(crate) digest: Digest,
    /// Content bytes.
    pub(crate) bytes: u64,
    /// Path, digest, and size of every file, sorted by path.
    pub(crate) files: Vec<(PathBuf, Digest, u64)>,
}

/// Spreads objects over 256 folders by the first byte of their digest.
pub(crate) fn shard(folder: &Path, digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    folder.join(name.get(..2).unwrap_or_default()).join(name)
}

fn sync_all(folders: &BTreeSet<PathBuf>) -> Result<(), StoreError> {
    let folders: Vec<&PathBuf> = folders.iter().collect();
    files::parallel(&folders, |folder| files::sync_folder(folder)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::store::{Materialise, testing::Bench};

    impl Bench {
        fn ingest(&self, path: &Path) -> Result<Artifact, StoreError> {
            let staged = Staged { path: path.to_owned(), kind: ArtifactKind::File };
            self.store.cas().ingest(&[staged]).map(|mut artifacts| artifacts.remove(0))
        }
    }

    #[test]
    fn a_blob_is_named_by_the_hash_of_its_bytes_and_read_only() {
        let bench = Bench::new();
        let artifact = bench.ingest(&bench.file("a", "abc")).unwrap();
        assert_eq!((artifact.digest, artifact.bytes), (Digest::of(b"abc"), 3));
        let blob = bench.store.cas().path(&artifact.digest);
        assert_eq!(fs::read_to_string(&blob).unwrap(), "abc");
        assert_eq!(fs::metadata(&blob).unwrap().permissions().mode() & 0o777, 0o444);
        assert_eq!(bench.ingest(&bench.file("b", "abc")).unwrap(), artifact);
    }

    #[test]
    fn a_tree_comes_out_as_it_went_in() {
        let bench = Bench::new();
        bench.file("out/a.txt", "one");
        bench.file("out/deep/b.txt", "two");
        let tool = bench.file("out/deep/tool", "#!/bin/sh\n");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(bench.path("out/empty")).unwrap();
        symlink("../a.txt", bench.path("out/deep/link")).unwrap();
        let artifact = bench.ingest(&bench.path("out")).unwrap();
        assert_eq!((artifact.form, artifact.bytes), (ArtifactForm::Tree, 16));
        for (place, how) in [("linked", Materialise::Linked), ("copied", Materialise::Copied)] {
            let laid_out = bench.store.cas().materialise(&artifact, &bench.path(place), how).unwrap();
            assert_eq!(fs::read_to_string(laid_out.join("deep/link")).unwrap(), "one");
            assert!(laid_out.join("empty").is_dir());
            assert_eq!(fs::metadata(laid_out.join("deep/tool")).unwrap().permissions().mode() & 0o111, 0o111);
            assert_eq!(bench.ingest(&laid_out).unwrap().digest, artifact.digest);
        }
    }

    #[test]
    fn what_cannot_be_an_artifact_is_refused() {
        let bench = Bench::new();
        for (name, target) in [("absolute", "/etc/passwd"), ("escaping", "../../x"), ("hidden", "a/../../x")] {
            fs::create_dir(bench.path(name)).unwrap();
            symlink(target, bench.path(name).join("link")).unwrap();
            assert!(matches!(bench.ingest(&bench.path(name)), Err(StoreError::Unsupported { .. })), "{name}");
        }
    }

    /// A stage may link a file of the user into its output; the store must not share it.
    #[test]
    fn a_file_with_other_links_is_copied() {
        let bench = Bench::new();
        let original = bench.file("original", "abc");
        fs::hard_link(&original, bench.path("output")).unwrap();
        let artifact = bench.ingest(&bench.path("output")).unwrap();
        fs::write(&original, "xyz").unwrap();
        assert_eq!(fs::read_to_string(bench.store.cas().path(&artifact.digest)).unwrap(), "abc");
        assert!(bench.store.cas().holds(&artifact).unwrap());
    }

    #[test]
    fn a_write_through_a_link_is_seen_and_the_blob_set_aside() {
        let bench = Bench::new();
        bench.file("out/a", "abc");
        let artifact = bench.ingest(&bench.path("out")).unwrap();
        let view = bench.store.cas().materialise(&artifact, &bench.path("view"), Materialise::Linked).unwrap();
        assert!(bench.store.cas().holds(&artifact).unwrap());
        fs::set_permissions(view.join("a"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(view.join("a"), "xyz").unwrap();
        assert!(!bench.store.cas().holds(&artifact).unwrap());
        assert!(!bench.store.cas().path(&Digest::of(b"abc")).exists());
    }

    #[test]
    fn verification_reads_the_bytes_whatever_the_times_say() {
        let bench = Bench::new();
        let artifact = bench.ingest(&bench.file("a", "abc")).unwrap();
        assert!(bench.store.cas().verify(&artifact.digest).unwrap());
        let blob = bench.store.cas().path(&artifact.digest);
        fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&blob, "xyz").unwrap();
        files::seal(&blob, BLOB_MODE).unwrap();
        assert!(bench.store.cas().holds(&artifact).unwrap());
        assert!(!bench.store.cas().verify(&artifact.digest).unwrap());
        assert!(!bench.store.cas().holds(&artifact).unwrap());
    }

    #[test]
    fn a_full_disk_has_an_error_of_its_own() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = StoreError::io("write", Path::new("/store/x"))(full);
        let told = crate::StageError::from(error);
        assert_eq!(told.message, "cannot write /store/x: the disk is full");
        assert!(told.help.unwrap().contains("flow gc"));
    }
}
