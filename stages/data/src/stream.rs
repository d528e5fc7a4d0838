//! Rows in and out of a stage: all artifacts bound to an input one after another, and outputs that know their empty fields.

use std::collections::BTreeMap;

use flow_engine::{StageContext, StageError};
use flow_rows::{RowsError, RowsReader, RowsWriter};
use flow_text::record::Record;

use crate::tally::{as_f64, share};

/// Fields whose empty values are counted, at most: names that are data make no metrics.
const MOST_FIELDS: usize = 64;

/// The rows of every artifact bound to an input, in the order of the workflow.
pub(crate) struct RowsIn {
    readers: Vec<RowsReader>,
}

impl RowsIn {
    /// Opens what is bound to the input `rows`.
    pub(crate) fn open(cx: &StageContext<'_>) -> Result<Self, StageError> {
        Self::bound(cx, "rows")
    }

    /// Opens what is bound to an input.
    pub(crate) fn bound(cx: &StageContext<'_>, port: &str) -> Result<Self, StageError> {
        // An input without any artifact is the engine's fault, and named by it.
        cx.input(port)?;
        let readers = cx.inputs(port).iter().map(|input| RowsReader::open(&input.path)).collect::<Result<_, _>>()?;
        Ok(Self { readers })
    }

    /// The number of rows.
    pub(crate) fn count(&self) -> u64 {
        self.readers.iter().map(RowsReader::count).sum()
    }

    /// Reads from the start, one batch at a time.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Result<Vec<Record>, RowsError>> {
        self.readers.iter().flat_map(RowsReader::batches)
    }
}

/// An output of rows.
pub(crate) struct RowsOut {
    writer: RowsWriter,
    filled: Filled,
}

impl RowsOut {
    /// Makes the output of a port.
    pub(crate) fn create(cx: &StageContext<'_>, port: &str) -> Result<Self, StageError> {
        Ok(Self { writer: RowsWriter::create(cx.output(port)?)?, filled: Filled::default() })
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, record: &Record) -> Result<(), StageError> {
        self.filled.count(record);
        Ok(self.writer.push(record)?)
    }

    /// Completes the output and returns how often its fields are empty.
    pub(crate) fn finish(self) -> Result<Filled, StageError> {
        self.writer.finish()?;
        Ok(self.filled)
    }
}

/// How many rows have each field.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    rows: u64,
    prompts: u64,
    answers: u64,
    fields: BTreeMap<String, u64>,
}

impl Filled {
    fn count(&mut self, record: &Record) {
        self.rows += 1;
        let says = |role: &str| record.messages.iter().any(|message| message.role == role && !message.content.trim().is_empty());
        self.prompts += u64::from(says("user"));
        self.answers += u64::from(says("assistant"));
        for (name, _) in record.meta.iter().filter(|(name, value)| !value.is_null() && !name.starts_with('_')) {
            if let Some(count) = self.fields.get_mut(name) {
                *count += 1;
            } else if self.fields.len() < MOST_FIELDS {
                self.fields.insert(name.clone(), 1);
            }
        }
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds the counts of another output.
    pub(crate) fn join(&mut self, other: Self) {
        self.rows += other.rows;
        self.prompts += other.prompts;
        self.answers += other.answers;
        for (name, count) in other.fields {
            *self.fields.entry(name).or_default() += count;
        }
    }

    /// Measures `rows`, and `null_fraction.FIELD` of prompt, answer, and every other field that some row has.
    pub(crate) fn measure(&self, cx: &StageContext<'_>) {
        cx.measure("rows", as_f64(self.rows));
        if self.rows == 0 {
            return;
        }
        let own = [("prompt", self.prompts), ("answer", self.answers)];
        let fields = self.fields.iter().map(|(name, count)| (name.as_str(), *count));
        for (name, filled) in own.into_iter().chain(fields.filter(|(name, _)| !matches!(*name, "prompt" | "answer"))) {
            cx.measure(&format!("null_fraction.{name}"), share(self.rows - filled, self.rows));
        }
    }
}
