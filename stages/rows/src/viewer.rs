//! Rows as the engine compares them: by `row_id`, with a digest of everything else and a line to read.

use std::path::Path;

use flow_engine::{
    ArtifactKind, ArtifactViewer, Digest, StageError,
    viewer::{Row, Visit},
};
use flow_text::record::Record;

use crate::RowsReader;

/// Characters of a row that are shown.
const SHOWN: usize = 160;

/// Reads `rows` artifacts for `flow diff`.
pub struct RowsViewer;

impl ArtifactViewer for RowsViewer {
    fn kind(&self) -> ArtifactKind {
        ArtifactKind::Rows
    }

    fn rows(&self, path: &Path, visit: Visit<'_>) -> Result<(), StageError> {
        for batch in RowsReader::open(path)?.batches() {
            for record in batch? {
                if visit(row(&record)?).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn row(record: &Record) -> Result<Row, StageError> {
    let content = serde_json::to_vec(&(&record.source, &record.messages, &record.meta))
        .map_err(|error| StageError::internal("cannot serialize a row").because(&error))?;
    let said = record.messages.iter().map(|message| format!("{}: {}", message.role, message.content));
    let line = said.collect::<Vec<_>>().join(" | ").split_whitespace().collect::<Vec<_>>().join(" ");
    let text = line.chars().take(SHOWN).collect();
    Ok(Row { id: record.row_id.clone(), digest: Digest::of(&content), text })
}
