//! Packing a run: what belongs inside, and the bytes of the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Cursor, Read, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    CapsuleError, DIGEST_BYTES, FORMAT, FileRecord, JOURNAL, LeftOut, MANIFEST, METADATA, Manifest, SKIPPED, blob_name,
    is_program, node_name, preimage_name, result_name, source_name,
};
use crate::{
    Artifact, Digest, SourceRef, StageRegistry,
    artifact::ArtifactForm,
    export::{Account, Layout, metadata, rocrate::without_nulls},
    project::Project,
    run::History,
    store::{NodeEntry, SourceRequest, StatIndex, Store},
};

const LEVEL: i32 = 6;

/// Whether pinned sources, such as models, are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// They are named by digest and can be fetched again.
    LeftOut,
    /// They are inside, so that everything can be done again offline.
    Inside,
}

/// A capsule that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packed {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The digest of the file.
    pub digest: Digest,
    /// How many files it holds.
    pub files: usize,
    /// Source files that are not inside.
    pub left_out: Vec<LeftOut>,
}

enum Body {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// Packs a run into a new file.
pub fn pack(
    account: &Account,
    (project, registry): (&Project, &StageRegistry),
    pinned: Pinned,
    file: &Path,
) -> Result<Packed, CapsuleError> {
    if file.symlink_metadata().is_ok() {
        return Err(CapsuleError::Exists { path: file.to_owned() });
    }
    if History::of(project).is_live(account.run) {
        return Err(CapsuleError::Live { run: account.run.to_string() });
    }
    let store = Store::open(&project.site.store)?;
    let index = StatIndex::open(&project.state.join("state"))?;
    let mut packer = Packer { account, project, registry, store, index, parts: BTreeMap::new(), left_out: BTreeSet::new() };
    packer.run()?;
    packer.results()?;
    packer.sources(pinned);
    packer.write(file)
}

struct Packer<'a> {
    account: &'a Account,
    project: &'a Project,
    registry: &'a StageRegistry,
    store: Store,
    index: StatIndex,
    parts: BTreeMap<String, Body>,
    left_out: BTreeSet<LeftOut>,
}

impl Packer<'_> {
    fn json(&mut self, name: impl Into<String>, value: &impl Serialize) -> Result<(), CapsuleError> {
        let name = name.into();
        let bytes =
            serde_json::to_vec_pretty(value).map_err(|error| CapsuleError::io("write", Path::new(&name))(error.into()))?;
        self.parts.insert(name, Body::Bytes(bytes));
        Ok(())
    }

    /// What was asked and what happened.
    fn run(&mut self) -> Result<(), CapsuleError> {
        let account = self.account;
        self.parts.insert(JOURNAL.to_owned(), Body::File(account.paths.journal()));
        if let Some(record) = &account.record {
            self.parts.insert("run/record.json".to_owned(), Body::File(record.clone()));
        }
        let layout = Layout::texts_only(account);
        for (path, text) in layout.texts() {
            self.parts.insert(path.to_owned(), Body::Bytes(text.as_bytes().to_vec()));
        }
        if let Some(lock) = &account.lock {
            self.parts.insert("flow.lock".to_owned(), Body::Bytes(lock.as_bytes().to_vec()));
        }
        let document = without_nulls(metadata(account, &layout));
        self.json(METADATA, &document)
    }

    fn results(&mut self) -> Result<(), CapsuleError> {
        let account = self.account;
        for stage in &account.stages {
            let Some(key) = &stage.key else { continue };
            if let Some(preimage) = &stage.preimage {
                self.json(preimage_name(key), preimage)?;
            }
            if stage.outputs.is_empty() {
                continue;
            }
            let gone = || CapsuleError::Gone { what: format!("the result of {}", stage.name) };
            self.json(result_name(key), stage.result.as_ref().ok_or_else(gone)?)?;
            for (port, artifact) in &stage.outputs {
                self.artifact(artifact, &format!("{}.{port}", stage.name))?;
            }
        }
        Ok(())
    }

    fn artifact(&mut self, artifact: &Artifact, what: &str) -> Result<(), CapsuleError> {
        match artifact.form {
            ArtifactForm::Blob => self.blob(&artifact.digest, what),
            ArtifactForm::Tree => self.tree(&artifact.digest, what),
        }
    }

    fn blob(&mut self, digest: &Digest, what: &str) -> Result<(), CapsuleError> {
        let path = self.store.cas().path(digest);
        // Bytes that are not what their name says must not leave the machine.
        if !self.store.cas().verify(digest)? {
            return Err(CapsuleError::Gone { what: what.to_owned() });
        }
        self.parts.insert(blob_name(digest), Body::File(path));
        Ok(())
    }

    fn tree(&mut self, digest: &Digest, what: &str) -> Result<(), CapsuleError> {
        let name = node_name(digest);
        if self.parts.contains_key(&name) {
            return Ok(());
        }
        let node = self.store.cas().node(digest).map_err(|_| CapsuleError::Gone { what: what.to_owned() })?;
        self.parts.insert(name, Body::Bytes(node.encode()));
        for entry in node.entries.values() {
            match entry {
                NodeEntry::File { digest, .. } => self.blob(digest, what)?,
                NodeEntry::Folder { digest } => self.tree(digest, what)?,
                NodeEntry::Link { .. } => {}
            }
        }
        Ok(())
    }

    /// Source files with the content that the keys name, wherever they still lie.
    fn sources(&mut self, pinned: Pinned) {
        let account = self.account;
        for stage in &account.stages {
            for (source, files) in stage.sources().into_iter().filter(|(source, _)| !is_program(source)) {
                let fetched = self.pinned(&source, pinned);
                for (name, digest) in files {
                    let place = fetched.get(&digest).cloned().or_else(|| self.near(&name, &digest));
                    if let Some(place) = place {
                        self.parts.insert(source_name(&digest), Body::File(place));
                    } else {
                        self.left_out.insert(LeftOut { source: source.clone(), name, digest });
                    }
                }
            }
        }
    }

    /// Files of a pinned source that is here, by digest.
    fn pinned(&self, source: &str, pinned: Pinned) -> BTreeMap<Digest, PathBuf> {
        let known = source.split_once(':').is_some_and(|(scheme, _)| self.registry.resolver(scheme).is_some());
        if pinned == Pinned::LeftOut || !known {
            return BTreeMap::new();
        }
        let request = SourceRequest::unwatched(self.project, self.registry, &self.index);
        let found = self.store.sources().look(&SourceRef::Pinned(source.to_owned()), &request);
        let files = found.ok().flatten().map(|found| found.files).unwrap_or_default();
        files.into_iter().map(|file| (file.digest, file.path)).collect()
    }

    /// A file of that name and content beside the workflow or one of its components.
    fn near(&self, name: &str, digest: &Digest) -> Option<PathBuf> {
        let folders = self.account.texts.iter().filter_map(|(path, _)| Path::new(path).parent());
        let places = folders.map(|folder| self.project.base.join(folder).join(name));
        let mut places = std::iter::once(self.project.base.join(name)).chain(places);
        places.find(|place| place.is_file() && self.index.digest(place).is_ok_and(|(found, _)| found == *digest))
    }

    fn write(self, file: &Path) -> Result<Packed, CapsuleError> {
        let manifest = self.manifest()?;
        let temporary = file.with_extension(format!("{}.part", ulid::Ulid::new()));
        let written = archive(&temporary, &manifest, &self.parts).and_then(|done| publish(&temporary, file).map(|()| done));
        // Linked or failed, the temporary name is of no use any more.
        fs::remove_file(&temporary).ok();
        let (digest, bytes) = written.map_err(CapsuleError::io("write", file))?;
        let left_out = self.left_out.into_iter().collect();
        Ok(Packed { file: file.to_owned(), bytes, digest, files: self.parts.len() + 1, left_out })
    }

    fn manifest(&self) -> Result<Manifest, CapsuleError> {
        let mut files = BTreeMap::new();
        for (name, body) in &self.parts {
            files.insert(name.clone(), measured(body).map_err(CapsuleError::io("read", Path::new(name)))?);
        }
        let state = &self.account.state;
        Ok(Manifest {
            format: FORMAT,
            flow: self.account.flow.clone().unwrap_or_else(|| "unknown".to_owned()),
            run: state.run,
            workflow: state.workflow.clone(),
            outcome: state.outcome,
            left_out: self.left_out.iter().cloned().collect(),
            files,
        })
    }
}

/// Gives a finished file its name. A link fails where a file appeared meanwhile; a rename would replace it.
fn publish(temporary: &Path, file: &Path) -> io::Result<()> {
    match fs::hard_link(temporary, file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && file.symlink_metadata().is_err() => {
            // Some file systems have no links.
            fs::rename(temporary, file)
        }
        done => done,
    }
}

fn opened(body: &Body) -> io::Result<Box<dyn Read + '_>> {
    Ok(match body {
        Body::Bytes(bytes) => Box::new(Cursor::new(bytes)),
        Body::File(path) => Box::new(File::open(path)?),
    })
}

fn measured(body: &Body) -> io::Result<FileRecord> {
    let mut hashed = Hashed::new(io::sink());
    io::copy(&mut opened(body)?, &mut hashed)?;
    let (blake3, bytes) = hashed.finish();
    Ok(FileRecord { blake3, bytes })
}

/// Writes the archive and what stands behind it; gives the digest and size of the file.
fn archive(place: &Path, manifest: &Manifest, parts: &BTreeMap<String, Body>) -> io::Result<(Digest, u64)> {
    let mut encoder = zstd::Encoder::new(Hashed::new(File::create_new(place)?), LEVEL)?;
    encoder.include_checksum(true)?;
    let mut archive = tar::Builder::new(encoder);
    let described = serde_json::to_vec_pretty(manifest)?;
    append(&mut archive, (MANIFEST, described.len() as u64), &mut described.as_slice())?;
    for (name, body) in parts {
        let bytes = manifest.files.get(name).map_or(0, |file| file.bytes);
        append(&mut archive, (name, bytes), &mut opened(body)?)?;
    }
    let mut hashed = archive.into_inner()?.finish()?;
    let inner = hashed.so_far();
    hashed.write_all(&SKIPPED)?;
    hashed.write_all(&DIGEST_BYTES.to_le_bytes())?;
    hashed.write_all(inner.as_bytes())?;
    hashed.inner.sync_all()?;
    Ok(hashed.finish())
}

/// A file whose header says nothing about the machine it was packed on.
fn append(archive: &mut tar::Builder<impl Write>, (name, bytes): (&str, u64), body: &mut dyn Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, name, body)
}

/// Hashes what passes through.
struct Hashed<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    fn so_far(&self) -> Digest {
        Digest::from_bytes(*self.hasher.finalize().as_bytes())
    }

    fn finish(self) -> (Digest, u64) {
        (self.so_far(), self.bytes)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
