//! What `with:` of `data/ingest` accepts.

use std::{borrow::Cow, collections::BTreeSet};

use flow_engine::{Fraction, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Map, compress::Compression, reject::Reject};

/// Read JSONL, JSON, CSV, TSV, Parquet, Arrow, and text files, compressed or not, into rows.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// Where rows come from, in order.
    pub sources: Vec<Source>,
    /// Fail when more than this share of lines cannot be read; not asked in a run with `--limit`.
    #[serde(default = "hundredth")]
    pub max_bad_fraction: Fraction,
    /// Longer lines are quarantined without reading them into memory.
    #[serde(default = "max_record_bytes")]
    pub max_record_bytes: usize,
    /// Deeper JSON is quarantined.
    #[serde(default = "max_depth")]
    pub max_depth: usize,
    /// What becomes of lines with NUL characters.
    #[serde(default)]
    pub nul: Nul,
    /// What becomes of lines that are no UTF-8.
    #[serde(default, skip_serializing_if = "is_default")]
    pub invalid_utf8: InvalidUtf8,
    /// What becomes of JSON objects with one key twice.
    #[serde(default, skip_serializing_if = "is_default")]
    pub duplicate_keys: DuplicateKeys,
    /// What becomes of a run in which no row can be read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_empty: OnEmpty,
    /// How many times the size of a compressed file may come out of it.
    #[serde(default = "max_decompress_ratio", skip_serializing_if = "is_usual_ratio")]
    pub max_decompress_ratio: u64,
}

/// One source of rows.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name: part of every row's identity.
    pub name: String,
    /// A file or pattern, relative to the workflow file. Without it the files bound to the input `files` are read.
    #[serde(default)]
    pub path: Option<String>,
    /// What the files are; `auto` goes by the name's ending, then by the first bytes.
    #[serde(default)]
    pub format: Format,
    /// How the files are compressed; `auto` goes by their first bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub compression: Compression,
    /// Of a Hugging Face data set's folder, read the files with this split in their name, such as `train`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// How a row of the source becomes a conversation.
    #[serde(default)]
    pub map: Map,
    /// The licence of the source as an SPDX expression, for the report.
    #[serde(default)]
    pub license: Option<String>,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// By the ending of its name, then by its first bytes.
    #[default]
    Auto,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated, with a header line.
    Csv,
    /// Tab-separated, with a header line.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// One array of JSON objects, or objects one after another over several lines.
    Json,
    /// An Arrow IPC file.
    Ipc,
    /// Plain text: every line is a row with the field `text`.
    Txt,
}

/// What becomes of lines that are no UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvalidUtf8 {
    /// The line is quarantined.
    #[default]
    Reject,
    /// Bytes that are none become U+FFFD, and the field `_encoding` says `replaced`.
    Replace,
    /// The line is read as Latin-1, and the field `_encoding` says `latin1`.
    Latin1,
}

impl InvalidUtf8 {
    /// What `_encoding` says of a line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reject => "utf8",
            Self::Replace => "replaced",
            Self::Latin1 => "latin1",
        }
    }

    /// Returns the text of bytes: borrowed when they are UTF-8.
    pub(super) fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, Reject> {
        match (std::str::from_utf8(bytes), self) {
            (Ok(text), _) => Ok(Cow::Borrowed(text)),
            (Err(_), Self::Reject) => Err(Reject::InvalidUtf8),
            (Err(_), Self::Replace) => Ok(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())),
            (Err(_), Self::Latin1) => Ok(Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect())),
        }
    }
}

/// What becomes of JSON objects with one key twice: readers disagree which value counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateKeys {
    /// The line is quarantined.
    #[default]
    Quarantine,
    /// The first value counts.
    First,
    /// The last value counts.
    Last,
}

/// What becomes of a run in which no row can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnEmpty {
    /// The stage fails.
    #[default]
    Fail,
    /// The report says so, as long as no line was rejected.
    Warn,
}

/// What becomes of NUL characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nul {
    /// The line is quarantined.
    #[default]
    Quarantine,
    /// They are taken out of texts.
    Strip,
}

impl Source {
    /// A source with every option as it is by default.
    pub(super) fn plain(name: &str, format: Format) -> Self {
        let (compression, split) = (Compression::Auto, None);
        Self { name: name.to_owned(), path: None, format, compression, split, map: Map::default(), license: None }
    }
}

impl IngestConfig {
    /// No source yet, and every option as it is by default.
    pub(super) fn plain() -> Self {
        Self {
            sources: Vec::new(),
            max_bad_fraction: hundredth(),
            max_record_bytes: max_record_bytes(),
            max_depth: max_depth(),
            nul: Nul::default(),
            invalid_utf8: InvalidUtf8::default(),
            duplicate_keys: DuplicateKeys::default(),
            on_empty: OnEmpty::default(),
            max_decompress_ratio: max_decompress_ratio(),
        }
    }

    /// Checks what no single field shows.
    pub(super) fn check(&self) -> Result<(), StageError> {
        let mut names = BTreeSet::new();
        if self.sources.is_empty() {
            return Err(StageError::input("no source is named").help("add `sources: [{name: NAME, path: FILE}]`"));
        }
        if let Some(twice) = self.sources.iter().find(|source| !names.insert(&source.name)) {
            return Err(
                StageError::input(format!("two sources are named {}", twice.name)).help("give every source a name of its own")
            );
        }
        if self.sources.iter().filter(|source| source.path.is_none()).count() > 1 {
            return Err(StageError::input("two sources have no path").help("only one can read the files bound to `files`"));
        }
        Ok(())
    }
}

fn hundredth() -> Fraction {
    Fraction::try_from(0.01).expect("a hundredth is a fraction")
}

fn max_record_bytes() -> usize {
    32 << 20
}

fn max_depth() -> usize {
    64
}

/// Options that came later leave no trace where they are not used, so that keys stay.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn max_decompress_ratio() -> u64 {
    200
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_usual_ratio(ratio: &u64) -> bool {
    *ratio == max_decompress_ratio()
}
