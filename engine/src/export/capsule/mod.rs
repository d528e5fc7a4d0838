//! Capsules: a run and everything its results rest on, in one file that can be checked offline.
//!
//! A capsule is a tar archive in zstd: the workflow with its components and pins, the journal, every key's pre-image, every
//! result with its blobs and trees, the source files, and the metadata of a research object. Its bytes depend on the run
//! alone. Behind the archive stands a digest of everything before it, in a frame that other programs skip.

mod check;
mod error;
mod read;
mod rerun;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    check::{Checked, CheckedStage, check},
    error::{CapsuleError, Finding},
    read::{Unpacked, unpack},
    rerun::{Rerun, RerunOutcome, rerun},
    write::{Packed, Pinned, pack},
};
use crate::{
    Digest,
    run::{Outcome, RunId},
};

const FORMAT: u32 = 1;
const MANIFEST: &str = "capsule.json";
const JOURNAL: &str = "run/journal.jsonl";
const METADATA: &str = "ro-crate-metadata.json";
/// A zstd frame that decoders skip; it holds the digest.
const SKIPPED: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();
const DIGEST_BYTES: u32 = 32;
const TRAILER_BYTES: usize = 8 + DIGEST_BYTES as usize;

/// What a capsule says about itself; its first file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of capsules.
    pub format: u32,
    /// The version of `flow` that ran the workflow.
    pub flow: String,
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// How the run ended.
    pub outcome: Option<Outcome>,
    /// Source files that keys name and that are not inside.
    pub left_out: Vec<LeftOut>,
    /// Every other file.
    pub files: BTreeMap<String, FileRecord>,
}

/// A file of a capsule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The digest of its content.
    pub blake3: Digest,
    /// Its size.
    pub bytes: u64,
}

/// A source file that is not inside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOut {
    /// The pattern or URI.
    pub source: String,
    /// The file's name.
    pub name: String,
    /// The digest of its content.
    pub digest: Digest,
}

/// Whether a source is a program of the machine: its digest is in the key, and whoever does the work again has their own.
fn is_program(source: &str) -> bool {
    source.starts_with("tool:")
}

fn blob_name(digest: &Digest) -> String {
    format!("cas/{digest}")
}

fn node_name(digest: &Digest) -> String {
    format!("tree/{digest}")
}

fn source_name(digest: &Digest) -> String {
    format!("src/{digest}")
}

fn preimage_name(key: &Digest) -> String {
    format!("act/{key}.json")
}

fn result_name(key: &Digest) -> String {
    format!("ac/{key}.json")
}
