//! Writes `tokens` artifacts.

use std::{mem, path::Path, sync::Arc};

use arrow2::{
    array::{Array, ListArray, MutableUtf8Array, PrimitiveArray},
    datatypes::ArrowDataType,
    offset::Offsets,
};

use super::{TokenRow, TokensMeta, list, schema};
use crate::{
    RowsError,
    part::{Layout, PartWriter},
    records::boxed,
};

/// Rows in a batch at most.
const ROWS_PER_BATCH: usize = 65_536;
/// Tokens in a batch at most, but for one row: 32 MiB of ids and labels.
const TOKENS_PER_BATCH: usize = 4 << 20;

/// Writes encoded examples to a new directory, in the order they are pushed.
pub struct TokensWriter {
    parts: PartWriter,
    batch: Batch,
    rows: u64,
}

#[derive(Default)]
struct Batch {
    row_id: MutableUtf8Array<i64>,
    lengths: Offsets<i64>,
    input_ids: Vec<u32>,
    labels: Vec<i32>,
}

impl TokensWriter {
    /// Makes the directory and opens its first part.
    pub fn create(directory: &Path, meta: &TokensMeta) -> Result<Self, RowsError> {
        let layout = Layout { schema: schema(), compression: None, metadata: Some(Arc::new(meta.to_footer())) };
        Ok(Self { parts: PartWriter::create(directory, layout)?, batch: Batch::default(), rows: 0 })
    }

    /// Appends an example.
    pub fn push(&mut self, row: TokenRow<'_>) -> Result<(), RowsError> {
        let (ids, labels) = (row.input_ids.len(), row.labels.len());
        if ids != labels {
            return Err(RowsError::Uneven { row_id: row.row_id.to_owned(), ids, labels });
        }
        self.batch.lengths.try_push(ids).map_err(RowsError::write(self.parts.path()))?;
        self.batch.row_id.push(Some(row.row_id));
        self.batch.input_ids.extend_from_slice(row.input_ids);
        self.batch.labels.extend_from_slice(row.labels);
        self.rows += 1;
        if self.batch.is_full() { self.flush() } else { Ok(()) }
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
        let batch = mem::take(&mut self.batch);
        let height = batch.rows();
        let columns = batch.columns(self.parts.path())?;
        self.parts.write(columns, height)
    }
}

impl Batch {
    fn rows(&self) -> usize {
        self.row_id.len()
    }

    fn is_full(&self) -> bool {
        self.rows() == ROWS_PER_BATCH || self.input_ids.len() >= TOKENS_PER_BATCH
    }

    fn columns(self, path: &Path) -> Result<Vec<Box<dyn Array>>, RowsError> {
        let ids = PrimitiveArray::from_vec(self.input_ids).boxed();
        let labels = PrimitiveArray::from_vec(self.labels).boxed();
        let ids = lists(ArrowDataType::UInt32, self.lengths.clone(), ids).map_err(RowsError::write(path))?;
        let labels = lists(ArrowDataType::Int32, self.lengths, labels).map_err(RowsError::write(path))?;
        Ok(vec![boxed(self.row_id), ids, labels])
    }
}

fn lists(item: ArrowDataType, offsets: Offsets<i64>, values: Box<dyn Array>) -> Result<Box<dyn Array>, crate::error::Cause> {
    Ok(ListArray::try_new(list(item), offsets.into(), values, None)?.boxed())
}
