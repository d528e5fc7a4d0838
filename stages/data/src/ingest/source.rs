//! One file as a stream of parsed rows, whatever its format.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use flow_engine::StageError;
use serde_json::{Map, Value};

use super::{
    config::{Format, IngestConfig, Source},
    csv::{self, Cells},
    json,
    lines::{Content, Lines, Position},
    parquet,
    reject::Reject,
};

/// One line or row.
#[derive(Debug)]
pub(super) enum Entry {
    /// Nothing stands there.
    Blank,
    /// Something does.
    Row {
        /// Where it starts.
        position: Position,
        /// Its fields, or why there are none.
        parsed: Result<Map<String, Value>, Reject>,
    },
}

/// The entries of a file; an error ends them.
pub(super) type Entries<'a> = Box<dyn Iterator<Item = Result<Entry, StageError>> + 'a>;

/// A file and how to read it.
pub(super) struct Input<'a> {
    pub(super) path: &'a Path,
    pub(super) name: &'a str,
    pub(super) source: &'a Source,
    pub(super) config: &'a IngestConfig,
}

impl<'a> Input<'a> {
    /// Opens the file.
    pub(super) fn open(&self) -> Result<Entries<'a>, StageError> {
        let cells = |delimiter| Cells { delimiter, longest: self.config.max_record_bytes, nul: self.config.nul };
        match self.format()? {
            Format::Csv => csv::open(self.path, self.name, cells(b',')),
            Format::Tsv => csv::open(self.path, self.name, cells(b'\t')),
            Format::Parquet => parquet::open(self.path, self.name),
            Format::Jsonl | Format::Auto => self.json_lines(),
        }
    }

    fn json_lines(&self) -> Result<Entries<'a>, StageError> {
        let (max_depth, nul) = (self.config.max_depth, self.config.nul);
        let reader = BufReader::with_capacity(1 << 20, File::open(self.path)?);
        let lines = Lines::new(reader, self.config.max_record_bytes)?;
        Ok(Box::new(lines.map(move |line| {
            let (position, content) = line?;
            Ok(match content {
                Content::TooLong => Entry::Row { position, parsed: Err(Reject::TooLong) },
                Content::Bytes(line) if line.trim_ascii().is_empty() => Entry::Blank,
                Content::Bytes(line) => Entry::Row { position, parsed: json::parse(&line, max_depth, nul) },
            })
        })))
    }

    fn format(&self) -> Result<Format, StageError> {
        if self.source.format != Format::Auto {
            return Ok(self.source.format);
        }
        let ending = Path::new(self.name).extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("jsonl" | "ndjson" | "json") => Ok(Format::Jsonl),
            Some("csv") => Ok(Format::Csv),
            Some("tsv") => Ok(Format::Tsv),
            Some("parquet") => Ok(Format::Parquet),
            _ => self.sniff(),
        }
    }

    /// Goes by the first bytes.
    fn sniff(&self) -> Result<Format, StageError> {
        let mut head = Vec::new();
        File::open(self.path)?.take(512).read_to_end(&mut head)?;
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
        match text.first() {
            _ if head.starts_with(b"PAR1") => Ok(Format::Parquet),
            Some(b'{') | None => Ok(Format::Jsonl),
            Some(_) => {
                let message = format!("cannot tell the format of {} of source {}", self.name, self.source.name);
                Err(StageError::input(message).help("set `format: jsonl`, `csv`, `tsv`, or `parquet` of the source"))
            }
        }
    }
}
