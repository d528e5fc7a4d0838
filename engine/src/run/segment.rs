//! What a runner tells its engine, through a file: it survives both, and any later engine can read it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::inputs::LostInput;
use crate::{StageError, context::Progress};

/// One line of an attempt's `seg.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Segment {
    /// How far the work is.
    Progress(Progress),
    /// A number that was measured.
    Metric {
        /// Its name.
        name: String,
        /// Its value.
        value: f64,
    },
    /// The stage failed; the last line.
    Failed {
        /// Why.
        error: StageError,
    },
    /// Inputs are missing or damaged; the last line.
    Lost {
        /// Which.
        inputs: Vec<LostInput>,
    },
    /// The result is recorded; the last line.
    Committed,
    /// A line of a newer `flow`.
    #[serde(other)]
    Unknown,
}

/// Reads the lines of a growing file, each once.
#[derive(Debug)]
pub struct SegmentReader {
    path: PathBuf,
    offset: u64,
}

impl SegmentReader {
    /// Starts at the beginning of an attempt's `seg.jsonl`, which need not exist yet.
    pub fn new(attempt: &Path) -> Self {
        Self { path: attempt.join("seg.jsonl"), offset: 0 }
    }

    /// Complete lines that were added since the last call. A file that cannot be read has none.
    pub fn poll(&mut self) -> Vec<Segment> {
        let Ok(bytes) = self.read_new() else { return Vec::new() };
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        self.offset += end as u64 + 1;
        let complete = bytes.get(..end).unwrap_or_default();
        complete.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    fn read_new(&self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Writes the lines of one attempt.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    file: File,
    /// Whether the last line may lack its end.
    torn: bool,
}

impl SegmentWriter {
    pub(crate) fn open(attempt: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).append(true).open(attempt.join("seg.jsonl")).map(|file| Self { file, torn: false })
    }

    /// Adds a line. Reports never stop a stage, so a full disk here is only logged.
    pub(crate) fn write(&mut self, segment: &Segment) {
        let line = serde_json::to_string(segment).map_err(io::Error::from);
        // What a full disk cut off must not swallow the line after it, which may be the error to report.
        let start = if self.torn { "\n" } else { "" };
        let written = line.and_then(|line| self.file.write_all(format!("{start}{line}\n").as_bytes()));
        self.torn = written.is_err();
        if let Err(error) = written {
            tracing::warn!(%error, "Could not report.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_full_disk_cut_off_does_not_swallow_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = SegmentWriter::open(folder.path()).unwrap();
        writer.file.write_all(br#"{"type":"pro"#).unwrap();
        writer.torn = true;
        writer.write(&Segment::Failed { error: StageError::input("the disk is full") });
        let told = SegmentReader::new(folder.path()).poll();
        assert!(matches!(told.as_slice(), [Segment::Failed { error }] if error.message == "the disk is full"));
    }
}
