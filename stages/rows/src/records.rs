//! Records to columns and back: `row_id`, `source`, `messages` as a list of (role, content), and `meta` as JSON text.

use std::{mem, path::Path, sync::Arc};

use arrow2::{
    array::{Array, ListArray, MutableUtf8Array, StructArray, Utf8Array},
    datatypes::{ArrowDataType, ArrowSchema, ArrowSchemaRef, Field},
    offset::Offsets,
};
use flow_text::record::{Message, Record};

use crate::{
    RowsError,
    part::{Columns, foreign},
};

/// What this module's columns hold, for messages.
pub(crate) const ROWS: &str = "rows";

/// The columns of a `rows` artifact.
pub(crate) fn schema() -> ArrowSchemaRef {
    let fields = [text("row_id"), text("source"), field("messages", messages_type()), text("meta")];
    Arc::new(ArrowSchema::from_iter(fields.map(|field| (field.name.clone(), field))))
}

fn text(name: &'static str) -> Field {
    field(name, ArrowDataType::LargeUtf8)
}

fn field(name: &'static str, dtype: ArrowDataType) -> Field {
    Field::new(name.into(), dtype, false)
}

fn message_type() -> ArrowDataType {
    ArrowDataType::Struct(vec![text("role"), text("content")])
}

fn messages_type() -> ArrowDataType {
    ArrowDataType::LargeList(Box::new(field("item", message_type())))
}

/// Columns under construction.
#[derive(Default)]
pub(crate) struct Builder {
    rows: usize,
    bytes: usize,
    row_id: MutableUtf8Array<i64>,
    source: MutableUtf8Array<i64>,
    turns: Offsets<i64>,
    role: MutableUtf8Array<i64>,
    content: MutableUtf8Array<i64>,
    meta: MutableUtf8Array<i64>,
}

impl Builder {
    /// Rows pushed since the last [`Self::take`].
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of text pushed since the last [`Self::take`].
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a record; `path` is named in errors.
    pub(crate) fn push(&mut self, record: &Record, path: &Path) -> Result<(), RowsError> {
        let meta = serde_json::to_string(&record.meta).map_err(RowsError::write(path))?;
        self.turns.try_push(record.messages.len()).map_err(RowsError::write(path))?;
        for message in &record.messages {
            self.role.push(Some(&message.role));
            self.content.push(Some(&message.content));
            self.bytes += message.role.len() + message.content.len();
        }
        self.bytes += record.row_id.len() + record.source.len() + meta.len();
        self.row_id.push(Some(&record.row_id));
        self.source.push(Some(&record.source));
        self.meta.push(Some(meta));
        self.rows += 1;
        Ok(())
    }

    /// Returns the columns and starts over.
    pub(crate) fn take(&mut self, path: &Path) -> Result<Vec<Box<dyn Array>>, RowsError> {
        let Self { row_id, source, turns, role, content, meta, .. } = mem::take(self);
        let count = role.len();
        let parts: Vec<Box<dyn Array>> = vec![boxed(role), boxed(content)];
        let messages = StructArray::try_new(message_type(), count, parts, None).map_err(RowsError::write(path))?;
        let lists = ListArray::try_new(messages_type(), turns.into(), messages.boxed(), None).map_err(RowsError::write(path))?;
        Ok(vec![boxed(row_id), boxed(source), lists.boxed(), boxed(meta)])
    }
}

/// Returns a finished column of text.
pub(crate) fn boxed(column: MutableUtf8Array<i64>) -> Box<dyn Array> {
    let column: Utf8Array<i64> = column.into();
    column.boxed()
}

/// Returns the records of a batch.
pub(crate) fn decode(batch: &Columns, path: &Path) -> Result<Vec<Record>, RowsError> {
    let [row_id, source, messages, meta] = batch.arrays() else {
        return Err(foreign(path, ROWS, "a batch has not four columns"));
    };
    let lists: &ListArray<i64> = cast(messages.as_ref(), path)?;
    let turns: &StructArray = cast(lists.values().as_ref(), path)?;
    let [role, content] = turns.values() else {
        return Err(foreign(path, ROWS, "a message has not two fields"));
    };
    let (role, content) = (strings(role.as_ref(), path)?, strings(content.as_ref(), path)?);
    let mut turns = role.values_iter().zip(content.values_iter()).skip(first(lists));
    let cells = strings(row_id.as_ref(), path)?.values_iter().zip(strings(source.as_ref(), path)?.values_iter());
    let cells = cells.zip(strings(meta.as_ref(), path)?.values_iter()).zip(lists.offsets().lengths());
    cells
        .map(|(((row_id, source), meta), length)| {
            let messages = turns.by_ref().take(length).map(|(role, content)| message(role, content)).collect();
            let meta = serde_json::from_str(meta).map_err(|source| RowsError::Meta {
                path: path.to_owned(),
                row_id: row_id.to_owned(),
                source,
            })?;
            Ok(Record { row_id: row_id.to_owned(), source: source.to_owned(), messages, meta })
        })
        .collect()
}

fn first(lists: &ListArray<i64>) -> usize {
    // Arrow offsets are checked to be non-negative when the array is made.
    usize::try_from(*lists.offsets().first()).unwrap_or(0)
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}

fn strings<'a>(array: &'a dyn Array, path: &Path) -> Result<&'a Utf8Array<i64>, RowsError> {
    cast(array, path)
}

/// Downcasts a column and refuses nulls, which our writer never makes.
fn cast<'a, A: Array>(array: &'a dyn Array, path: &Path) -> Result<&'a A, RowsError> {
    if array.null_count() > 0 {
        return Err(foreign(path, ROWS, "a column has nulls"));
    }
    array.as_any().downcast_ref().ok_or_else(|| foreign(path, ROWS, format!("a column is {:?}", array.dtype())))
}
