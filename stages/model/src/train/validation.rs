//! The validation loss: over a part of the rows that every evaluation and every run draws alike, in whatever order they lie.

use flow_engine::{StageContext, StageError};
use flow_rows::{TokenRow, TokensReader};

use super::{EvalConfig, Trainer, trainer::mean_loss_watched};
use crate::rng::Rng;

/// Mean loss per supervised token of the base and of what was learned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validation {
    /// Of the base.
    pub(super) before: f64,
    /// Of the base with the adapter.
    pub(super) after: f64,
    /// Rows that were scored.
    pub(super) rows: usize,
    /// Rows that there are.
    pub(super) of: usize,
}

/// Scores the drawn rows without and with the adapter; nothing when none of them is supervised.
pub(super) fn validate(
    trainer: &Trainer<'_>,
    tokens: &TokensReader,
    eval: &EvalConfig,
    cx: &StageContext<'_>,
) -> Result<Option<Validation>, StageError> {
    let rows = draw(tokens.iter().collect::<Result<_, _>>()?, eval);
    let (mut done, total) = (0, 2 * rows.len() as u64);
    let mut watch = |more: usize| {
        done += more as u64;
        cx.progress_note(done, Some(total), "rows", "validation".to_owned());
        cx.check_cancelled()
    };
    let mut score = |adapter| mean_loss_watched((trainer.network(), adapter), &rows, trainer.micro(), &mut watch);
    let (before, after) = (score(None)?, score(Some(trainer.adapter()))?);
    Ok(before.zip(after).map(|(before, after)| Validation { before, after, rows: rows.len(), of: tokens.len() }))
}

/// Draws rows by a hash of their ids: one row more or less changes the draw by at most one, another order changes nothing.
fn draw<'a>(mut rows: Vec<TokenRow<'a>>, eval: &EvalConfig) -> Vec<TokenRow<'a>> {
    rows.sort_by_cached_key(|row| (Rng::named(eval.seed, row.row_id).next_u64(), row.row_id));
    rows.truncate(eval.max_examples.map_or(rows.len(), |most| most.get() as usize));
    rows
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, num::NonZeroU32};

    use super::*;

    fn drawn(ids: &[String], most: u32, seed: u64) -> Vec<String> {
        let rows = ids.iter().map(|row_id| TokenRow { row_id, input_ids: &[], labels: &[] }).collect();
        let eval = EvalConfig { max_examples: NonZeroU32::new(most), seed };
        draw(rows, &eval).into_iter().map(|row| row.row_id.to_owned()).collect()
    }

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("row{number}")).collect()
    }

    #[test]
    fn the_order_of_the_rows_changes_nothing() {
        let (forward, mut backward) = (ids(90), ids(90));
        backward.reverse();
        assert_eq!(drawn(&forward, 20, 0), drawn(&backward, 20, 0));
        assert_eq!(drawn(&forward, 20, 0).len(), 20);
        assert_eq!(drawn(&forward, 500, 0).len(), 90);
    }

    #[test]
    fn a_sample_is_spread_over_the_rows_and_another_seed_draws_another() {
        let late = |id: &String| id.trim_start_matches("row").parse::<usize>().unwrap() >= 500;
        let share = drawn(&ids(1000), 200, 0).iter().filter(|id| late(id)).count();
        assert!((70..130).contains(&share), "{share} of 200 from the second half");
        assert_ne!(drawn(&ids(1000), 200, 0), drawn(&ids(1000), 200, 1));
    }

    #[test]
    fn one_more_row_changes_at_most_one_of_the_sample() {
        let set = |count| drawn(&ids(count), 30, 0).into_iter().collect::<BTreeSet<_>>();
        for count in 60..90 {
            assert!(set(count).difference(&set(count + 1)).count() <= 1, "{count}");
        }
    }
}
