//! One memory-mapped part. A batch message lists its buffers in schema order: three for the text column and four for each
//! list of numbers; rows are read straight from them.

use std::{fs::File, ops::Range, path::Path};

use arrow_format::ipc::Block;
use bytemuck::AnyBitPattern;
use memmap2::Mmap;

use super::{TOKENS, TokenRow, TokensMeta, schema};
use crate::{
    RowsError,
    error::Cause,
    message::{BatchMessage, message_range},
    part::{foreign, open},
};

/// Buffers of `row_id` (validity, offsets, text), `input_ids`, and `labels` (validity, offsets, validity, numbers).
const BUFFERS: usize = 11;

/// A mapped part.
#[derive(Debug)]
pub(super) struct Part {
    map: Mmap,
    batches: Vec<Batch>,
    meta: TokensMeta,
}

/// Where one batch's buffers lie, in bytes from the start of the file.
#[derive(Debug)]
struct Batch {
    rows: usize,
    id_offsets: Range<usize>,
    id_text: Range<usize>,
    list_offsets: Range<usize>,
    input_ids: Range<usize>,
    label_offsets: Range<usize>,
    labels: Range<usize>,
}

impl Part {
    /// Maps a part and finds its batches.
    pub(super) fn open(path: &Path) -> Result<Self, RowsError> {
        let (file, metadata) = open(path, &schema(), TOKENS)?;
        let footer = metadata.custom_schema_metadata.as_deref();
        let meta = footer.and_then(TokensMeta::from_footer);
        let meta = meta.ok_or_else(|| foreign(path, TOKENS, "its footer does not name a tokenizer, template, and length"))?;
        let map = map(&file).map_err(RowsError::io("map", path))?;
        let batches = metadata.blocks.iter().map(|block| Batch::locate(&map, block)).collect::<Result<_, _>>();
        Ok(Self { batches: batches.map_err(RowsError::torn(path))?, map, meta })
    }

    pub(super) fn meta(&self) -> &TokensMeta {
        &self.meta
    }

    /// Rows of each batch.
    pub(super) fn batch_rows(&self) -> impl Iterator<Item = usize> {
        self.batches.iter().map(|batch| batch.rows)
    }

    /// Returns a row of a batch, or nothing where the file's offsets lead astray.
    pub(super) fn row(&self, batch: usize, row: usize) -> Option<TokenRow<'_>> {
        let batch = self.batches.get(batch)?;
        let id = span(self.numbers(&batch.id_offsets)?, row)?;
        let row_id = std::str::from_utf8(self.map.get(batch.id_text.clone())?.get(id)?).ok()?;
        let input_ids = self.numbers(&batch.input_ids)?.get(span(self.numbers(&batch.list_offsets)?, row)?)?;
        let labels = self.numbers(&batch.labels)?.get(span(self.numbers(&batch.label_offsets)?, row)?)?;
        (input_ids.len() == labels.len()).then_some(TokenRow { row_id, input_ids, labels })
    }

    fn numbers<N: AnyBitPattern>(&self, range: &Range<usize>) -> Option<&[N]> {
        bytemuck::try_cast_slice(self.map.get(range.clone())?).ok()
    }
}

#[expect(unsafe_code, reason = "a mapping is only safe while nobody truncates the file; artifacts are read-only once made")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: inputs of a stage are published, read-only files that no stage writes or truncates.
    unsafe { Mmap::map(file) }
}

fn span(offsets: &[i64], row: usize) -> Option<Range<usize>> {
    let start = usize::try_from(*offsets.get(row)?).ok()?;
    let end = usize::try_from(*offsets.get(row + 1)?).ok()?;
    Some(start..end)
}

impl Batch {
    fn locate(map: &[u8], block: &Block) -> Result<Self, Cause> {
        let range = message_range(block, map.len())?;
        let body = range.end;
        let message = map.get(range).ok_or("a block lies past the end")?;
        let batch = BatchMessage::parse(message, body, map.len())?;
        if batch.compressed {
            return Err("a batch is compressed".into());
        }
        Self::from_buffers(batch.rows, &batch.buffers)
    }

    fn from_buffers(rows: usize, buffers: &[Range<usize>]) -> Result<Self, Cause> {
        let [_, id_offsets, id_text, _, list_offsets, _, input_ids, _, label_offsets, _, labels] = buffers else {
            return Err(format!("a batch has {} buffers, expected {BUFFERS}", buffers.len()).into());
        };
        Ok(Self {
            rows,
            id_offsets: id_offsets.clone(),
            id_text: id_text.clone(),
            list_offsets: list_offsets.clone(),
            input_ids: input_ids.clone(),
            label_offsets: label_offsets.clone(),
            labels: labels.clone(),
        })
    }
}
