//! The `rows` artifact: records in order, zstd, read batch by batch.

use std::{
    fs::File,
    io::BufReader,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    slice,
};

use arrow2::io::ipc::{
    read::{FileReader, get_row_count_from_blocks},
    write::Compression,
};
use flow_text::record::Record;

use crate::{
    RowsError,
    message::BatchMessage,
    part::{self, Layout, PartWriter},
    records::{self, Builder, ROWS},
};

/// Rows in a full batch.
const ROWS_PER_BATCH: usize = 65_536;
/// Text in a batch, so that memory stays flat when rows are long.
const BYTES_PER_BATCH: usize = 64 << 20;

/// Writes records to a new directory, in the order they are pushed.
pub struct RowsWriter {
    parts: PartWriter,
    batch: Builder,
    rows: u64,
}

impl RowsWriter {
    /// Makes the directory and opens its first part.
    pub fn create(directory: &Path) -> Result<Self, RowsError> {
        let layout = Layout { schema: records::schema(), compression: Some(zstd()), metadata: None };
        Ok(Self { parts: PartWriter::create(directory, layout)?, batch: Builder::default(), rows: 0 })
    }

    /// Appends a record.
    pub fn push(&mut self, record: &Record) -> Result<(), RowsError> {
        self.batch.push(record, self.parts.path())?;
        self.rows += 1;
        if self.batch.rows() == ROWS_PER_BATCH || self.batch.bytes() >= BYTES_PER_BATCH { self.flush() } else { Ok(()) }
    }

    /// Completes the artifact and returns the number of rows. Dropping the writer without it leaves a torn part.
    pub fn finish(mut self) -> Result<u64, RowsError> {
        if self.batch.rows() > 0 {
            self.flush()?;
        }
        self.parts.finish()?;
        Ok(self.rows)
    }

    fn flush(&mut self) -> Result<(), RowsError> {
        let height = self.batch.rows();
        let columns = self.batch.take(self.parts.path())?;
        self.parts.write(columns, height)
    }
}

#[expect(clippy::default_trait_access, reason = "arrow2 does not export the type of the level")]
fn zstd() -> Compression {
    Compression::ZSTD(Default::default())
}

/// A `rows` artifact whose parts are all complete and of the right columns.
#[derive(Debug)]
pub struct RowsReader {
    parts: Vec<PathBuf>,
    rows: u64,
}

impl RowsReader {
    /// Checks every part's footer and columns and counts the rows; reads no record yet.
    pub fn open(directory: &Path) -> Result<Self, RowsError> {
        let parts = part::list(directory)?;
        let mut rows = 0;
        for path in &parts {
            let (mut file, metadata) = part::open(path, &records::schema(), ROWS)?;
            let counted = get_row_count_from_blocks(&mut file, &metadata.blocks).map_err(RowsError::torn(path))?;
            rows += u64::try_from(counted).map_err(RowsError::torn(path))?;
        }
        Ok(Self { parts, rows })
    }

    /// The number of rows in all parts.
    pub fn count(&self) -> u64 {
        self.rows
    }

    /// Reads from the start, one batch at a time.
    pub fn batches(&self) -> Batches<'_> {
        Batches { parts: self.parts.iter(), open: None }
    }

    /// Reads every record: for artifacts known to fit in memory.
    pub fn read_all(&self) -> Result<Vec<Record>, RowsError> {
        let mut records = Vec::new();
        for batch in self.batches() {
            records.extend(batch?);
        }
        Ok(records)
    }
}

/// The batches of a `rows` artifact in order. Stop at the first error.
pub struct Batches<'a> {
    parts: slice::Iter<'a, PathBuf>,
    open: Option<OpenPart<'a>>,
}

struct OpenPart<'a> {
    path: &'a Path,
    reader: FileReader<BufReader<File>>,
}

impl<'a> OpenPart<'a> {
    fn open(path: &'a Path) -> Result<Self, RowsError> {
        let (mut file, metadata) = part::open(path, &records::schema(), ROWS)?;
        for block in &metadata.blocks {
            BatchMessage::check(&mut file, block).map_err(RowsError::torn(path))?;
        }
        Ok(Self { path, reader: FileReader::new(BufReader::new(file), metadata, None, None) })
    }

    fn next_batch(&mut self) -> Option<Result<Vec<Record>, RowsError>> {
        // arrow2 panics on some corrupt files that pass every check made so far.
        let read = catch_unwind(AssertUnwindSafe(|| self.reader.next()));
        let batch = match read {
            Ok(batch) => batch?.map_err(RowsError::torn(self.path)),
            Err(_) => Err(RowsError::torn(self.path)("a batch is corrupt")),
        };
        Some(batch.and_then(|batch| records::decode(&batch, self.path)))
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<Vec<Record>, RowsError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.open.as_mut().and_then(OpenPart::next_batch) {
                return Some(batch);
            }
            match OpenPart::open(self.parts.next()?) {
                Ok(part) => self.open = Some(part),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_batches_make_parts_that_are_read_in_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut writer = RowsWriter::create(folder.path()).expect("it creates");
        for index in 0..33 {
            let record =
                Record { row_id: index.to_string(), source: String::new(), messages: Vec::new(), meta: serde_json::Map::new() };
            writer.push(&record).expect("it pushes");
            writer.flush().expect("it flushes");
        }
        assert_eq!(writer.finish().expect("it finishes"), 33);
        let reader = RowsReader::open(folder.path()).expect("it opens");
        let names: Vec<_> = reader.parts.iter().filter_map(|path| path.file_name()).collect();
        assert_eq!(names, ["part-00000.arrow", "part-00001.arrow", "part-00002.arrow"]);
        let ids: Vec<String> = reader.read_all().expect("it reads").into_iter().map(|record| record.row_id).collect();
        assert_eq!(ids, (0..33).map(|index| index.to_string()).collect::<Vec<_>>());
    }
}
