//! Reads and writes `rows` and `tokens` artifacts: directories of Arrow IPC files. The only crate that names arrow2.
//!
//! A `rows` artifact holds [`flow_text::record::Record`]s, compressed, and is read batch by batch, so that memory stays
//! flat. A `tokens` artifact holds token ids and labels, uncompressed, and is memory-mapped, so that a trainer reads any
//! row without a copy. The bytes of both depend on the pushed rows alone. What a row means is left to the stages.

mod error;
mod message;
mod part;
mod records;
mod rows;
mod tokens;
mod viewer;

pub use error::RowsError;
pub use rows::{Batches, RowsReader, RowsWriter};
pub use tokens::{TokenRow, TokensMeta, TokensReader, TokensWriter};
pub use viewer::RowsViewer;
