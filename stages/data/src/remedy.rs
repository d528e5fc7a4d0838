//! What becomes of a row that a stage objects to: it goes, or it stays with a note.

use flow_engine::StageError;
use flow_text::record::Record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ledger::{Deed, Ledger},
    tally::{Fate, Tally},
};

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// It stays as it is.
    Keep,
    /// It stays, and `meta._flags` says why it was noticed.
    Flag,
    /// It stays, and `meta._review` says why a person shall look at it.
    Review,
    /// It goes.
    Drop,
}

/// The account of rows that are objected to.
pub(crate) struct Court {
    pub(crate) tally: Tally,
    ledger: Ledger,
    pub(crate) flagged: u64,
    pub(crate) to_review: u64,
}

impl Court {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { tally: Tally::default(), ledger, flagged: 0, to_review: 0 }
    }

    /// Books a row that nothing is said against, or that stays whatever is said.
    pub(crate) fn pass(&mut self) {
        self.tally.rows_in += 1;
        self.tally.rows_out += 1;
    }

    /// Books a row with what is said against it, and tells whether it stays. The first of the worst is why it goes.
    pub(crate) fn judge(&mut self, record: &mut Record, said: &[(&'static str, Remedy)]) -> Result<bool, StageError> {
        if let Some((reason, _)) = said.iter().find(|(_, remedy)| *remedy == Remedy::Drop) {
            self.tally.rows_in += 1;
            self.tally.lose(Fate::Dropped, reason);
            self.ledger.note(&record.row_id, Deed::Dropped, reason)?;
            return Ok(false);
        }
        self.pass();
        for (remedy, field, deed) in [(Remedy::Flag, "_flags", Deed::Flagged), (Remedy::Review, "_review", Deed::SentToReview)] {
            let reasons: Vec<&'static str> = said.iter().filter(|(_, of)| *of == remedy).map(|(reason, _)| *reason).collect();
            match remedy {
                _ if reasons.is_empty() => continue,
                Remedy::Review => self.to_review += 1,
                Remedy::Keep | Remedy::Flag | Remedy::Drop => self.flagged += 1,
            }
            for reason in reasons {
                note(record, field, reason);
                self.ledger.note(&record.row_id, deed, reason)?;
            }
        }
        Ok(true)
    }

    /// Writes that a row was changed.
    pub(crate) fn edited(&mut self, record: &Record, reason: &str) -> Result<(), StageError> {
        self.ledger.note(&record.row_id, Deed::Edited, reason)
    }

    /// Completes the ledger and hands back the account.
    pub(crate) fn close(self) -> Result<Tally, StageError> {
        self.ledger.finish()?;
        Ok(self.tally)
    }
}

/// Adds a word to a list in `meta`, once.
fn note(record: &mut Record, field: &str, word: &str) {
    let list = record.meta.entry(field).or_insert_with(|| Value::Array(Vec::new()));
    if let Some(words) = list.as_array_mut()
        && !words.iter().any(|known| known == word)
    {
        words.push(word.into());
    }
}
