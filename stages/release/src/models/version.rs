//! The record of one version: identity, files with two hashes, base model, lineage, and metrics.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use flow_engine::{Digest, context::Ancestor};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{ModelName, RegistryError, entries};
use crate::card;

/// The record's file name inside a version.
pub(super) const VERSION_FILE: &str = "version.json";
/// The model card's file name inside a version.
pub(super) const CARD_FILE: &str = "README.md";

/// The model an adapter lies over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The URI of the workflow, such as `pip:PACKAGE==VERSION/FILE`.
    pub uri: String,
    /// BLAKE3 of its content, as `flow.lock` pins it.
    pub blake3: Digest,
}

/// One file of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its path inside the version, with `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its content.
    pub blake3: String,
    /// SHA-256 of its content, for tools that know no BLAKE3.
    pub sha256: String,
}

/// What a push brings.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// Files or folders to copy, by their place inside the version.
    pub contents: Vec<(String, PathBuf)>,
    /// The model the adapter lies over.
    pub base: Base,
    /// One sentence for people.
    pub description: String,
    /// SPDX identifier or `LicenseRef-…` of the result.
    pub licence: String,
    /// The workflow's name.
    pub workflow: String,
    /// Metrics of the evidence, by stage and name.
    pub metrics: BTreeMap<String, f64>,
    /// The stages that led here, nearest last.
    pub lineage: Vec<Ancestor>,
}

/// The record of one version. Nothing of it changes once it is written; aliases live elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Version of this record's format.
    pub format: u32,
    /// The model.
    pub name: ModelName,
    /// Counts from 1.
    pub version: u32,
    /// When it was pushed, RFC 3339 in UTC.
    pub created: String,
    /// Digest over name-free content: files, base, licence, and description.
    pub content: String,
    /// The model the adapter lies over.
    pub base: Base,
    /// One sentence for people.
    pub description: String,
    /// SPDX identifier or `LicenseRef-…` of the result.
    pub licence: String,
    /// The workflow's name.
    pub workflow: String,
    /// Metrics of the evidence.
    pub metrics: BTreeMap<String, f64>,
    /// The stages that led here, nearest last.
    pub lineage: Vec<Ancestor>,
    /// Every file but this record and the card.
    pub files: Vec<FileRecord>,
}

impl NewVersion {
    /// The identity of what is pushed: equal for equal files, base, licence, and description.
    pub(super) fn content_digest(&self, files: &[FileRecord]) -> String {
        let mut framed = Vec::new();
        let mut add = |text: &str| {
            framed.extend_from_slice(&(text.len() as u64).to_le_bytes());
            framed.extend_from_slice(text.as_bytes());
        };
        for text in [self.base.uri.as_str(), &self.base.blake3.to_string(), &self.licence, &self.description] {
            add(text);
        }
        for file in files {
            add(&file.path);
            add(&file.blake3);
        }
        Digest::derive("flow.dev 2026-11 model version v1", &framed).to_string()
    }

    pub(super) fn into_version(self, (name, version): (&ModelName, u32), content: String, files: Vec<FileRecord>) -> Version {
        Version {
            format: 1,
            name: name.clone(),
            version,
            created: jiff::Timestamp::now().to_string(),
            content,
            base: self.base,
            description: self.description,
            licence: self.licence,
            workflow: self.workflow,
            metrics: self.metrics,
            lineage: self.lineage,
            files,
        }
    }
}

impl Version {
    /// Writes the record and the model card into a staged version.
    pub(super) fn write(&self, staging: &Path) -> Result<(), RegistryError> {
        let path = staging.join(VERSION_FILE);
        let json = serde_json::to_vec_pretty(self).map_err(|source| RegistryError::Corrupt { path: path.clone(), source })?;
        write_synced(&path, &json)?;
        write_synced(&staging.join(CARD_FILE), card::render(self).as_bytes())
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), RegistryError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| RegistryError::Io { path: path.to_path_buf(), source })
}

/// Hashes every file below a version but the record and the card, sorted by path.
pub(super) fn hash_files(root: &Path) -> Result<Vec<FileRecord>, RegistryError> {
    let mut files = Vec::new();
    collect(root, "", &mut files)?;
    files.retain(|file| file.path != VERSION_FILE && file.path != CARD_FILE);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(folder: &Path, prefix: &str, into: &mut Vec<FileRecord>) -> Result<(), RegistryError> {
    for name in entries(folder)? {
        let path = folder.join(&name);
        let inside = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if path.is_dir() {
            collect(&path, &inside, into)?;
        } else {
            into.push(hash_file(&path, inside)?);
        }
    }
    Ok(())
}

fn hash_file(path: &Path, inside: String) -> Result<FileRecord, RegistryError> {
    let fail = |source: io::Error| RegistryError::Io { path: path.to_path_buf(), source };
    let mut file = fs::File::open(path).map_err(fail)?;
    let (mut blake3, mut sha256, mut bytes) = (blake3::Hasher::new(), Sha256::new(), 0_u64);
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(fail)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        blake3.update(piece);
        sha256.update(piece);
        bytes += piece.len() as u64;
    }
    let sha256 = format!("{:x}", sha256.finalize());
    Ok(FileRecord { path: inside, bytes, blake3: blake3.finalize().to_hex().to_string(), sha256 })
}
