//! What became of the rows of one split: counts by outcome, and why rows were left out.

use std::collections::BTreeMap;

use flow_engine::StageError;
use flow_text::encode::{EncodeError, Encoded, Fitted};

use crate::pack::Forecast;

/// Rows named for each reason.
const EXAMPLES: usize = 3;

/// The fate of the rows of one split.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) kept: u64,
    pub(super) truncated: u64,
    pub(super) tokens: u64,
    pub(super) supervised: u64,
    pub(super) forged: u64,
    pub(super) left_out: BTreeMap<String, LeftOut>,
    /// Rows by their length.
    lengths: BTreeMap<usize, u64>,
}

/// Rows left out for one reason.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    pub(super) rows: u64,
    pub(super) examples: Vec<String>,
}

impl Tally {
    /// Counts a row and returns what is left of it. A row that is too long under [`flow_text::encode::Overflow::Error`] is
    /// the stage's error.
    pub(super) fn add(
        &mut self,
        row_id: &str,
        forged: u64,
        fitted: Result<Fitted, EncodeError>,
    ) -> Result<Option<Encoded>, StageError> {
        self.rows += 1;
        self.forged += forged;
        match fitted {
            Ok(Fitted::Whole(encoded)) => Ok(Some(self.keep(encoded))),
            Ok(Fitted::Truncated { encoded, .. }) => {
                self.truncated += 1;
                Ok(Some(self.keep(encoded)))
            }
            Ok(Fitted::Dropped { .. }) => {
                self.leave_out(row_id, "longer than max_length".to_owned());
                Ok(None)
            }
            Err(error @ EncodeError::TooLong { .. }) => {
                let message = format!("row {row_id} is too long");
                let help = "raise `max_length`, or set `overflow: drop` or `overflow: truncate`";
                Err(StageError::input(message).because(&error).help(help))
            }
            Err(error) => {
                self.leave_out(row_id, chain(&error));
                Ok(None)
            }
        }
    }

    fn keep(&mut self, encoded: Encoded) -> Encoded {
        let length = encoded.input_ids.len();
        self.kept += 1;
        self.tokens += length as u64;
        self.supervised += encoded.count_supervised() as u64;
        *self.lengths.entry(length).or_default() += 1;
        encoded
    }

    fn leave_out(&mut self, row_id: &str, reason: String) {
        let left_out = self.left_out.entry(reason).or_default();
        left_out.rows += 1;
        if left_out.examples.len() < EXAMPLES {
            left_out.examples.push(row_id.to_owned());
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.rows - self.kept
    }

    /// A split that had rows and has none left is a mistake, not a result.
    pub(super) fn require_something(&self) -> Result<(), StageError> {
        if self.rows == 0 || self.kept > 0 {
            return Ok(());
        }
        let (reason, example) = match self.left_out.iter().max_by_key(|(_, left_out)| left_out.rows) {
            Some((reason, left_out)) => (reason.as_str(), left_out.examples.join(", ")),
            None => ("unknown", String::new()),
        };
        let message = format!("none of {} rows could be tokenized: {reason}", self.rows);
        Err(StageError::input(message).help(format!("look at rows such as {example}; every row needs an assistant's turn")))
    }

    /// Rows by length, each bar up to twice as long as the one before.
    pub(super) fn histogram(&self) -> Vec<(String, f64)> {
        let label = |power: u32| format!("{}-{}", 1_u64 << power, (2_u64 << power) - 1);
        let mut bars: BTreeMap<u32, u64> = BTreeMap::new();
        for (length, rows) in &self.lengths {
            *bars.entry(length.max(&1).ilog2()).or_default() += rows;
        }
        bars.into_iter().map(|(power, rows)| (label(power), super::float(rows))).collect()
    }

    /// What a trainer would get by packing these rows into bins of so many tokens.
    pub(super) fn packed(&self, capacity: usize) -> Forecast {
        Forecast::new(&self.lengths, capacity)
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(length: usize) -> Encoded {
        let labels = (0..length).map(|at| if at == 0 { -100 } else { 7 }).collect();
        Encoded { input_ids: vec![7; length], labels }
    }

    #[test]
    fn every_row_is_kept_or_left_out_for_a_reason() {
        let mut tally = Tally::default();
        assert!(tally.add("a", 0, Ok(Fitted::Whole(encoded(5)))).unwrap().is_some());
        assert!(tally.add("b", 1, Ok(Fitted::Truncated { encoded: encoded(8), tokens: 20 })).unwrap().is_some());
        assert!(tally.add("c", 0, Ok(Fitted::Dropped { tokens: 99 })).unwrap().is_none());
        assert!(tally.add("d", 0, Err(EncodeError::NoSupervision)).unwrap().is_none());
        assert_eq!((tally.rows, tally.kept, tally.truncated, tally.dropped(), tally.forged), (4, 2, 1, 2, 1));
        assert_eq!((tally.tokens, tally.supervised), (13, 11));
        assert_eq!(tally.left_out.values().map(|left_out| left_out.rows).sum::<u64>(), tally.dropped());
        assert_eq!(tally.histogram(), [("4-7".to_owned(), 1.0), ("8-15".to_owned(), 1.0)]);
        assert_eq!(tally.packed(13), Forecast { bins: 1, tokens: 13, room: 13 });
        assert_eq!(tally.packed(8), Forecast { bins: 2, tokens: 13, room: 16 });
    }

    #[test]
    fn a_long_row_is_the_stages_error_when_asked_for() {
        let error = Tally::default().add("row7", 0, Err(EncodeError::TooLong { tokens: 9, max_length: 4 })).unwrap_err();
        assert!(error.to_string().contains("row7") && error.to_string().contains("more than 4"), "{error}");
    }

    #[test]
    fn losing_every_row_is_an_error_that_names_one() {
        let mut tally = Tally::default();
        assert!(tally.require_something().is_ok());
        tally.add("row7", 0, Err(EncodeError::NoSupervision)).unwrap();
        let error = tally.require_something().unwrap_err();
        assert!(error.message.contains("no token to learn from") && error.help.unwrap().contains("row7"));
    }
}
