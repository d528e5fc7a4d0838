//! Reads `tokens` artifacts in place.

use std::path::{Path, PathBuf};

use super::{TOKENS, TokenRow, TokensMeta, map::Part};
use crate::{
    RowsError,
    part::{self, foreign},
};

/// A mapped `tokens` artifact. Any row is read without a copy.
#[derive(Debug)]
pub struct TokensReader {
    parts: Vec<(PathBuf, Part)>,
    /// The first row of each batch, with its part and its place there.
    starts: Vec<Start>,
    rows: usize,
    meta: TokensMeta,
}

#[derive(Debug)]
struct Start {
    row: usize,
    part: usize,
    batch: usize,
}

impl TokensReader {
    /// Maps every part and checks its columns.
    pub fn open(directory: &Path) -> Result<Self, RowsError> {
        let mut parts = Vec::new();
        for path in part::list(directory)? {
            let part = Part::open(&path)?;
            parts.push((path, part));
        }
        let (starts, rows) = index(&parts);
        let meta = match parts.first() {
            Some((_, part)) => part.meta().clone(),
            None => {
                return Err(RowsError::NoParts { path: directory.to_owned() });
            }
        };
        match parts.iter().find(|(_, part)| *part.meta() != meta) {
            Some((path, _)) => Err(foreign(path, TOKENS, "its tokenizer, template, or length differs from the first part's")),
            None => Ok(Self { parts, starts, rows, meta }),
        }
    }

    /// The number of rows in all parts.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How the tokens were made.
    pub fn meta(&self) -> &TokensMeta {
        &self.meta
    }

    /// Returns a row by its place in the artifact.
    pub fn get(&self, index: usize) -> Result<TokenRow<'_>, RowsError> {
        let missing = || RowsError::NoRow { index, rows: self.rows };
        let after = self.starts.partition_point(|start| start.row <= index);
        let start = after.checked_sub(1).and_then(|at| self.starts.get(at)).filter(|_| index < self.rows);
        let Start { row, part, batch } = start.ok_or_else(missing)?;
        let (path, part) = self.parts.get(*part).ok_or_else(missing)?;
        part.row(*batch, index - row).ok_or_else(|| RowsError::torn(path)(format!("row {index} lies outside its buffers")))
    }

    /// Every row in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<TokenRow<'_>, RowsError>> {
        (0..self.rows).map(|index| self.get(index))
    }
}

fn index(parts: &[(PathBuf, Part)]) -> (Vec<Start>, usize) {
    let mut starts = Vec::new();
    let mut row = 0;
    for (part, (_, mapped)) in parts.iter().enumerate() {
        for (batch, rows) in mapped.batch_rows().enumerate() {
            starts.push(Start { row, part, batch });
            row += rows;
        }
    }
    (starts, row)
}
