//! What `with:` of `data/ingest` accepts.

use std::collections::BTreeSet;

use flow_engine::{Fraction, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Map;

/// Read JSONL, CSV, TSV, and Parquet files into rows.
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

impl IngestConfig {
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
