//! Unpacking a capsule: every byte is checked on the way, and what is wrong is named.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Component, Path, PathBuf},
};

use super::{CapsuleError, DIGEST_BYTES, FORMAT, FileRecord, Finding, MANIFEST, Manifest, SKIPPED, TRAILER_BYTES};
use crate::Digest;

const CHUNK: usize = 1 << 16;
/// A manifest beyond this describes no run of ours.
const LARGEST_MANIFEST: u64 = 256 << 20;

/// A capsule whose bytes are what they were when it was made.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// What it says about itself.
    pub manifest: Manifest,
    /// Where its files lie.
    pub folder: PathBuf,
    /// The digest of the file without what stands behind the archive.
    pub digest: Digest,
}

/// Unpacks a capsule into an empty folder.
pub fn unpack(file: &Path, folder: &Path) -> Result<Unpacked, CapsuleError> {
    let read = CapsuleError::io("read", file);
    let (sealed, expected) = match seal(file) {
        Ok(Some(seal)) => seal,
        Ok(None) => {
            let reason = "it does not end as one; it may be cut off".to_owned();
            return Err(CapsuleError::Foreign { path: file.to_owned(), reason });
        }
        Err(error) => return Err(read(error)),
    };
    let found = digest_of(file, sealed).map_err(CapsuleError::io("read", file))?;
    let mut unpacking = Unpacking { file, folder, findings: Vec::new(), seen: BTreeSet::new() };
    let manifest = unpacking.archive(sealed)?;
    if found != expected && unpacking.findings.is_empty() {
        unpacking.findings.push(Finding::new("the archive itself", format!("expected {expected}, got {found}")));
    }
    match manifest {
        Some(manifest) if unpacking.findings.is_empty() => Ok(Unpacked { manifest, folder: folder.to_owned(), digest: found }),
        _ => Err(CapsuleError::Damaged { path: file.to_owned(), findings: unpacking.findings }),
    }
}

/// How long the archive is and the digest that stands behind it, if the file ends as a capsule does.
fn seal(file: &Path) -> io::Result<Option<(u64, Digest)>> {
    let mut opened = File::open(file)?;
    let length = opened.metadata()?.len();
    let Some(sealed) = length.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
    opened.seek(SeekFrom::Start(sealed))?;
    let mut trailer = [0; TRAILER_BYTES];
    opened.read_exact(&mut trailer)?;
    let digest = trailer.strip_prefix(&SKIPPED).and_then(|rest| rest.strip_prefix(&DIGEST_BYTES.to_le_bytes()));
    let digest: Option<[u8; 32]> = digest.and_then(|bytes| bytes.try_into().ok());
    Ok(digest.map(|bytes| (sealed, Digest::from_bytes(bytes))))
}

fn digest_of(file: &Path, length: u64) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(file)?.take(length), &mut hasher)?;
    Ok(Digest::from_bytes(*hasher.finalize().as_bytes()))
}

struct Unpacking<'a> {
    file: &'a Path,
    folder: &'a Path,
    findings: Vec<Finding>,
    seen: BTreeSet<String>,
}

impl Unpacking<'_> {
    /// Reads the whole archive. None when not even its manifest can be read.
    fn archive(&mut self, length: u64) -> Result<Option<Manifest>, CapsuleError> {
        let opened = File::open(self.file).map_err(CapsuleError::io("read", self.file))?;
        let foreign = |error: io::Error| CapsuleError::Foreign { path: self.file.to_owned(), reason: error.to_string() };
        let decoder = zstd::Decoder::new(opened.take(length)).map_err(foreign)?;
        let mut archive = tar::Archive::new(decoder);
        let Ok(mut entries) = archive.entries() else { return Ok(self.broken(MANIFEST, "it cannot be read")) };
        let Some(Ok(mut first)) = entries.next() else { return Ok(self.broken(MANIFEST, "it cannot be read")) };
        let Some(manifest) = manifest(&mut first) else { return Ok(self.broken(MANIFEST, "it cannot be read")) };
        if manifest.format != FORMAT {
            let reason = format!("its format is {}, this flow knows {FORMAT}", manifest.format);
            return Err(CapsuleError::Foreign { path: self.file.to_owned(), reason });
        }
        for entry in entries {
            let Ok(mut entry) = entry else {
                self.findings.push(Finding::new(self.after(&manifest), "the archive cannot be read from here on"));
                break;
            };
            let name = entry.path().ok().and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_default();
            self.entry(&name, manifest.files.get(&name), &mut entry)?;
        }
        for name in manifest.files.keys().filter(|name| !self.seen.contains(*name)) {
            self.findings.push(Finding::new(name, "it is missing"));
        }
        Ok(Some(manifest))
    }

    fn broken(&mut self, name: &str, problem: &str) -> Option<Manifest> {
        self.findings.push(Finding::new(name, problem));
        None
    }

    /// The file that should come next.
    fn after(&self, manifest: &Manifest) -> String {
        manifest.files.keys().find(|name| !self.seen.contains(*name)).cloned().unwrap_or_else(|| "its end".to_owned())
    }

    fn entry(&mut self, name: &str, record: Option<&FileRecord>, body: &mut dyn Read) -> Result<(), CapsuleError> {
        let Some(record) = record.filter(|_| is_inner(name)) else {
            self.findings.push(Finding::new(name, "it does not belong into the capsule"));
            return Ok(());
        };
        self.seen.insert(name.to_owned());
        let place = self.folder.join(name);
        let parent = place.parent().unwrap_or(self.folder);
        fs::create_dir_all(parent).map_err(CapsuleError::io("create", parent))?;
        let mut target = File::create(&place).map_err(CapsuleError::io("write", &place))?;
        match copied(body, &mut target, record.bytes) {
            Ok(found) if found == record.blake3 => {}
            Ok(found) => {
                self.findings.push(Finding::new(name, format!("expected {}, got {found}", record.blake3)));
            }
            Err(Copying::Read(error)) => self.findings.push(Finding::new(name, format!("it cannot be read: {error}"))),
            Err(Copying::Write(error)) => return Err(CapsuleError::io("write", &place)(error)),
        }
        Ok(())
    }
}

fn manifest(first: &mut tar::Entry<'_, impl Read>) -> Option<Manifest> {
    let named = first.path().ok()?.to_str()? == MANIFEST;
    let mut text = Vec::new();
    first.take(LARGEST_MANIFEST).read_to_end(&mut text).ok()?;
    if named { serde_json::from_slice(&text).ok() } else { None }
}

fn is_inner(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

enum Copying {
    Read(io::Error),
    Write(io::Error),
}

/// Copies a file and gives the digest of what it held: at most one byte more than it should be long.
fn copied(body: &mut dyn Read, target: &mut File, bytes: u64) -> Result<Digest, Copying> {
    let mut body = body.take(bytes.saturating_add(1));
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = body.read(&mut buffer).map_err(Copying::Read)?;
        let chunk = buffer.get(..count).unwrap_or_default();
        if chunk.is_empty() {
            return Ok(Digest::from_bytes(*hasher.finalize().as_bytes()));
        }
        hasher.update(chunk);
        target.write_all(chunk).map_err(Copying::Write)?;
    }
}
