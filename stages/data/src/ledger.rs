//! What became of rows, one line each: `ledger.jsonl` beside the report. `flow rows ROW_ID` reads it.
//!
//! Rows that pass unchanged have no line. A line holds ids and reasons and never a value of the row.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
};

use flow_engine::{StageContext, StageError};
use serde::Serialize;

/// The lines of one stage, in the order of the rows.
pub(crate) struct Ledger {
    file: BufWriter<File>,
}

/// What was done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deed {
    /// It left for good.
    Dropped,
    /// Another row stands for it.
    Merged,
    /// Its text changed.
    Edited,
    /// It stays, with a note in `meta._flags`.
    Flagged,
    /// It stays, with a note in `meta._review`.
    SentToReview,
}

#[derive(Serialize)]
struct Line<'a> {
    row_id: &'a str,
    action: Deed,
    reason: &'a str,
    /// The row that stands for a merged one.
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<&'a str>,
}

impl Ledger {
    /// Makes the file in the folder of the report.
    pub(crate) fn create(cx: &StageContext<'_>) -> Result<Self, StageError> {
        let folder = cx.output("report")?;
        fs::create_dir_all(folder)?;
        Ok(Self { file: BufWriter::new(File::create(folder.join("ledger.jsonl"))?) })
    }

    /// Writes what became of a row.
    pub(crate) fn note(&mut self, row_id: &str, deed: Deed, reason: &str) -> Result<(), StageError> {
        self.write(&Line { row_id, action: deed, reason, other: None })
    }

    /// Writes what became of a row with regard to another.
    pub(crate) fn note_with(&mut self, row_id: &str, deed: Deed, (reason, other): (&str, &str)) -> Result<(), StageError> {
        self.write(&Line { row_id, action: deed, reason, other: Some(other) })
    }

    fn write(&mut self, line: &Line<'_>) -> Result<(), StageError> {
        serde_json::to_writer(&mut self.file, line)
            .map_err(|error| StageError::internal("cannot write the ledger").because(&error))?;
        Ok(self.file.write_all(b"\n")?)
    }

    /// Completes the file.
    pub(crate) fn finish(mut self) -> Result<(), StageError> {
        Ok(self.file.flush()?)
    }
}
