//! Rows of CSV and TSV files: a header line, then one text a cell. A row that does not fit the header is quarantined.

use std::{collections::BTreeSet, io::BufRead};

use csv::{ByteRecord, ReaderBuilder};
use flow_engine::StageError;
use serde_json::{Map, Value};

use super::{
    config::{InvalidUtf8, Nul},
    lines::Position,
    reject::Reject,
    source::{Entries, Entry},
};

/// How a file of cells is read.
#[derive(Clone, Copy)]
pub(super) struct Cells {
    pub(super) delimiter: u8,
    pub(super) longest: usize,
    pub(super) nul: Nul,
    pub(super) invalid_utf8: InvalidUtf8,
}

/// Opens a file and reads its header.
pub(super) fn open(file: Box<dyn BufRead>, name: &str, how: Cells) -> Result<Entries<'_>, StageError> {
    let mut reader = ReaderBuilder::new().delimiter(how.delimiter).flexible(true).from_reader(file);
    let names = header(reader.byte_headers().map_err(|error| unreadable(name, &error))?, name)?;
    Ok(Box::new(reader.into_byte_records().map(move |record| {
        let record = record.map_err(|error| unreadable(name, &error))?;
        let at = record.position().map_or(Position { line: 0, offset: 0 }, |at| Position { line: at.line(), offset: at.byte() });
        Ok(Entry::Row { position: at, parsed: fields(&names, &record, how) })
    })))
}

fn unreadable(name: &str, error: &csv::Error) -> StageError {
    StageError::input(format!("cannot read {name} as a table"))
        .because(error)
        .help("set `format:` of the source if it is something else")
}

fn header(cells: &ByteRecord, file: &str) -> Result<Vec<String>, StageError> {
    let names: Result<Vec<String>, _> = cells.iter().map(|cell| String::from_utf8(cell.to_vec())).collect();
    let names = names.map_err(|error| StageError::input(format!("cannot read the header of {file} as UTF-8")).because(&error))?;
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => Err(StageError::input(format!("two columns of {file} are named {twice:?}")).help("rename one of them")),
        None => Ok(names),
    }
}

fn fields(names: &[String], record: &ByteRecord, how: Cells) -> Result<Map<String, Value>, Reject> {
    if record.len() != names.len() {
        return Err(Reject::WrongColumns(format!("{} cells under {} columns", record.len(), names.len())));
    }
    if record.as_slice().len() > how.longest {
        return Err(Reject::TooLong);
    }
    let value = |cell: &[u8]| {
        let text = how.invalid_utf8.decode(cell)?;
        match (text.contains('\0'), how.nul) {
            (true, Nul::Quarantine) => Err(Reject::Nul),
            (true, Nul::Strip) => Ok(Value::String(text.replace('\0', ""))),
            (false, _) => Ok(Value::String(text.into_owned())),
        }
    };
    names.iter().zip(record).map(|(name, cell)| Ok((name.clone(), value(cell)?))).collect()
}
