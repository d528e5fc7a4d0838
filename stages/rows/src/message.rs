//! The messages of an Arrow IPC file: where a batch's buffers lie.
//!
//! arrow2 trusts what a file says of itself, and can only read a batch by copying it. So these few lines of the layout are
//! here: they check a batch before arrow2 sees it, and let `tokens` be read in place.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
};

use arrow_format::ipc::{Block, MessageHeaderRef, MessageRef, RecordBatchRef, planus::ReadAsRoot};

use crate::error::Cause;

/// Length prefix of a message: a continuation marker and the length.
const PREFIX: usize = 8;
/// Length prefix of a compressed buffer: its size before compression, or -1 where it was left as it is.
const SIZE: usize = 8;
/// Zstandard's best case is a block of 128 KiB in a few bytes.
const MOST_COMPRESSION: usize = 1 << 16;

/// A batch message.
pub(crate) struct BatchMessage {
    /// Rows of the batch.
    pub(crate) rows: usize,
    /// Whether the buffers are compressed.
    pub(crate) compressed: bool,
    /// The buffers in schema order, in bytes from the start of the file. All lie inside the file.
    pub(crate) buffers: Vec<Range<usize>>,
}

/// Where a block's message lies and where its body begins.
pub(crate) fn message_range(block: &Block, end: usize) -> Result<Range<usize>, Cause> {
    let start = usize::try_from(block.offset)?;
    let body = start.checked_add(usize::try_from(block.meta_data_length)?).filter(|body| *body <= end);
    let body = body.ok_or("a block lies past the end")?;
    let message = start.checked_add(PREFIX).filter(|message| *message <= body);
    Ok(message.ok_or("a block is too short")?..body)
}

impl BatchMessage {
    /// Parses a message whose body starts at `body`, in a file of `end` bytes.
    pub(crate) fn parse(message: &[u8], body: usize, end: usize) -> Result<Self, Cause> {
        let Some(MessageHeaderRef::RecordBatch(batch)) = MessageRef::read_as_root(message)?.header()? else {
            return Err("a block is not a record batch".into());
        };
        if let Some(nodes) = batch.nodes()?
            && nodes.iter().any(|node| node.null_count() != 0)
        {
            return Err("a column has nulls".into());
        }
        let compressed = batch.compression()?.is_some();
        Ok(Self { rows: usize::try_from(batch.length()?)?, compressed, buffers: buffers(&batch, body, end)? })
    }

    /// Reads a block's message from a file and checks the stated sizes of its compressed buffers.
    pub(crate) fn check(file: &mut File, block: &Block) -> Result<(), Cause> {
        let end = usize::try_from(file.metadata()?.len())?;
        let range = message_range(block, end)?;
        let mut message = vec![0; range.len()];
        read_at(file, range.start, &mut message)?;
        let batch = Self::parse(&message, range.end, end)?;
        for buffer in batch.buffers.iter().filter(|buffer| batch.compressed && !buffer.is_empty()) {
            let packed = buffer.len().checked_sub(SIZE).ok_or("a compressed buffer has no size")?;
            let mut size = [0; SIZE];
            read_at(file, buffer.start, &mut size)?;
            let size = i64::from_le_bytes(size);
            if size != -1 && usize::try_from(size)? > packed.saturating_mul(MOST_COMPRESSION) {
                return Err(format!("a buffer of {packed} bytes claims to hold {size}").into());
            }
        }
        Ok(())
    }
}

fn read_at(file: &mut File, start: usize, bytes: &mut [u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(start as u64))?;
    file.read_exact(bytes)
}

fn buffers(batch: &RecordBatchRef<'_>, body: usize, end: usize) -> Result<Vec<Range<usize>>, Cause> {
    let buffers = batch.buffers()?.ok_or("a batch has no buffers")?;
    let range = |offset: i64, length: i64| -> Result<Range<usize>, Cause> {
        let start = body.checked_add(usize::try_from(offset)?).ok_or("a buffer lies past the end")?;
        let stop = start.checked_add(usize::try_from(length)?).filter(|stop| *stop <= end);
        Ok(start..stop.ok_or("a buffer lies past the end")?)
    };
    buffers.iter().map(|buffer| range(buffer.offset(), buffer.length())).collect()
}
