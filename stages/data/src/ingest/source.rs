//! One file as a stream of parsed rows, whatever its format.

use std::{
    io::{self, BufRead, Read},
    path::Path,
};

use flow_engine::StageError;
use serde_json::{Map, Value};

use super::{
    compress::{self, Plain},
    config::{Format, IngestConfig, Nul, Source},
    csv::{self, Cells},
    elements::Elements,
    ipc,
    json::{self, Manner},
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

/// A line of a file that is read for its fields alone.
pub(crate) struct Row {
    /// Counted from 1.
    pub(crate) line: u64,
    /// Its fields, or why there are none.
    pub(crate) fields: Result<Map<String, Value>, String>,
}

/// Reads a file of any format whole: for sets that are small.
pub(crate) fn read_rows(path: &Path, name: &str, format: Format) -> Result<Vec<Row>, StageError> {
    let (source, config) = (Source::plain(name, format), IngestConfig::plain());
    let input = Input { path, name, source: &source, config: &config };
    let mut rows = Vec::new();
    for entry in input.open()? {
        if let Entry::Row { position, parsed } = entry? {
            let fields = parsed.map_err(|reject| match reject.detail() {
                "" => reject.reason().to_owned(),
                detail => format!("{} ({detail})", reject.reason()),
            });
            rows.push(Row { line: position.line, fields });
        }
    }
    Ok(rows)
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
        let plain = self.plain()?;
        let format = self.format(plain.is_compressed)?;
        match format {
            Format::Csv => csv::open(plain.reader, self.name, self.cells(b',')),
            Format::Tsv => csv::open(plain.reader, self.name, self.cells(b'\t')),
            Format::Parquet | Format::Ipc if plain.is_compressed => {
                Err(StageError::input(format!("{} is a compressed table", self.name))
                    .help("Parquet and Arrow files compress their columns themselves: decompress the file"))
            }
            Format::Parquet => parquet::open(self.path, self.name),
            Format::Ipc => ipc::open(self.path, self.name),
            Format::Json => {
                let elements = Elements::new(plain.reader, self.config.max_record_bytes);
                Ok(self.texts(elements.map_err(|error| self.torn(&error))?))
            }
            Format::Txt => self.lines_of_text(plain.reader),
            Format::Jsonl | Format::Auto => {
                let lines = Lines::new(plain.reader, self.config.max_record_bytes);
                Ok(self.texts(lines.map_err(|error| self.torn(&error))?))
            }
        }
    }

    fn plain(&self) -> Result<Plain, StageError> {
        compress::open(self.path, self.name, (self.source.compression, self.config.max_decompress_ratio))
    }

    fn cells(&self, delimiter: u8) -> Cells {
        let IngestConfig { max_record_bytes: longest, nul, invalid_utf8, .. } = *self.config;
        Cells { delimiter, longest, nul, invalid_utf8 }
    }

    fn torn(&self, error: &io::Error) -> StageError {
        torn(self.name, error)
    }

    /// Objects as JSON, one an item.
    fn texts(&self, items: impl Iterator<Item = io::Result<(Position, Content)>> + 'a) -> Entries<'a> {
        let (manner, name) = (Manner::of(self.config), self.name);
        Box::new(items.map(move |item| {
            let (position, content) = item.map_err(|error| torn(name, &error))?;
            Ok(match content {
                Content::TooLong => Entry::Row { position, parsed: Err(Reject::TooLong) },
                Content::Bytes(line) if line.trim_ascii().is_empty() => Entry::Blank,
                Content::Bytes(line) => Entry::Row { position, parsed: json::parse(&line, manner) },
            })
        }))
    }

    /// Lines of plain text as the field `text`.
    fn lines_of_text(&self, reader: Box<dyn BufRead>) -> Result<Entries<'a>, StageError> {
        let (manner, name) = (Manner::of(self.config), self.name);
        let lines = Lines::new(reader, self.config.max_record_bytes).map_err(|error| self.torn(&error))?;
        Ok(Box::new(lines.map(move |item| {
            let (position, content) = item.map_err(|error| torn(name, &error))?;
            Ok(match content {
                Content::TooLong => Entry::Row { position, parsed: Err(Reject::TooLong) },
                Content::Bytes(line) if line.trim_ascii().is_empty() => Entry::Blank,
                Content::Bytes(line) => Entry::Row { position, parsed: text_fields(&line, manner) },
            })
        })))
    }

    fn format(&self, is_compressed: bool) -> Result<Format, StageError> {
        if self.source.format != Format::Auto {
            return Ok(self.source.format);
        }
        let name = Path::new(self.name);
        let name = if is_compressed { Path::new(name.file_stem().unwrap_or_default()) } else { name };
        let ending = name.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("jsonl" | "ndjson") => Ok(Format::Jsonl),
            Some("csv") => Ok(Format::Csv),
            Some("tsv") => Ok(Format::Tsv),
            Some("parquet") => Ok(Format::Parquet),
            Some("arrow" | "ipc" | "feather") => Ok(Format::Ipc),
            Some("txt" | "text") => Ok(Format::Txt),
            ending => self.sniff(ending == Some("json")),
        }
    }

    /// Goes by the first bytes.
    fn sniff(&self, is_json: bool) -> Result<Format, StageError> {
        let mut head = Vec::new();
        self.plain()?.reader.take(4_096).read_to_end(&mut head).map_err(|error| self.torn(&error))?;
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
        let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match text.first() {
            _ if head.starts_with(b"PAR1") => Ok(Format::Parquet),
            _ if head.starts_with(b"ARROW1") => Ok(Format::Ipc),
            Some(b'[') => Ok(Format::Json),
            // An object that goes on after its first line is no line of JSONL, and neither is a lone bracket.
            Some(b'{') if first_line.trim_ascii() == b"{" => Ok(Format::Json),
            Some(b'{') | None => Ok(Format::Jsonl),
            Some(_) if is_json => Ok(Format::Jsonl),
            Some(_) => {
                let message = format!("cannot tell the format of {} of source {}", self.name, self.source.name);
                Err(StageError::input(message)
                    .help("set `format: jsonl`, `json`, `csv`, `tsv`, `parquet`, `ipc`, or `txt` of the source"))
            }
        }
    }
}

fn text_fields(line: &[u8], manner: Manner) -> Result<Map<String, Value>, Reject> {
    let text = manner.invalid_utf8.decode(line)?;
    let text = match (text.contains('\0'), manner.nul) {
        (true, Nul::Quarantine) => return Err(Reject::Nul),
        (true, Nul::Strip) => text.replace('\0', ""),
        (false, _) => text.into_owned(),
    };
    Ok(Map::from_iter([("text".to_owned(), Value::String(text))]))
}

/// A file that ends in the middle, or holds more than it may.
fn torn(name: &str, error: &io::Error) -> StageError {
    StageError::input(format!("cannot read {name} to its end"))
        .because(error)
        .help("the file may be torn: get it again, or set `compression:` and `max_decompress_ratio`")
}
