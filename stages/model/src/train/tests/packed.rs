//! Packed training against the plain formula, across groupings, and across a stop.

use super::*;
use crate::batch::group_bins;

/// Rows in bins of different numbers of rows, some of a single one.
fn bins<'a>(rows: &[TokenRow<'a>]) -> Vec<Vec<TokenRow<'a>>> {
    let mut rows = rows.to_vec();
    let sizes = [3, 1, 2, 4, 2, 1, 2, 1];
    sizes.iter().map(|&size| rows.drain(..size).collect()).collect()
}

#[test]
fn packed_loss_and_gradients_equal_the_plain_formula_row_by_row() {
    let (network, adapter, rows) = (network(), adapter(0.0), Rows::random(16, 1));
    let (want, expected) = plain(&network, &adapter, &rows.get());
    let trainer = Trainer::new(&network, &adapter, options(3, 1e-3, 10));
    let (sum, gradients) = trainer.gradients(&group_bins(&bins(&rows.get()), 3), 1.0);
    assert!((sum - want).abs() / want < 1e-6, "{sum} is not {want}");
    assert_eq!(gradients.names().count(), expected.len());
    for (name, gradient) in expected {
        let apart = distance(&gradient, gradients.get(&name).unwrap().clone());
        assert!(apart <= 1e-5, "{name} is {apart:e} apart");
    }
}

#[test]
fn a_packed_run_stopped_at_any_step_ends_with_the_same_bits() {
    let (network, fresh, rows) = (network(), adapter(0.1), Rows::random(16, 4));
    let rows = rows.get();
    let steps: Vec<Vec<Vec<TokenRow<'_>>>> = bins(&rows).chunks(2).map(<[_]>::to_vec).collect();
    let start = || Trainer::new(&network, &fresh, options(1, 1e-2, 4));
    let mut straight = start();
    for bins in &steps {
        straight.step_packed(bins).unwrap();
    }
    for stop in 1..steps.len() {
        let folder = tempfile::tempdir().unwrap();
        let cursor = Cursor { step: stop as u64, epoch: 0, row: 2 * stop as u64, rows: 8, seed: 5 };
        let mut first = start();
        steps.iter().take(stop).for_each(|bins| _ = first.step_packed(bins).unwrap());
        first.checkpoint().write(folder.path(), &cursor).unwrap();
        let mut second = start();
        second.restore(Checkpoint::read(folder.path()).unwrap().0).unwrap();
        steps.iter().skip(stop).for_each(|bins| _ = second.step_packed(bins).unwrap());
        assert_eq!(second.history(), straight.history(), "stopped after step {stop}");
        assert_eq!(bits(second.adapter()), bits(straight.adapter()), "stopped after step {stop}");
    }
}

#[test]
fn recomputed_packed_activations_give_the_same_bits() {
    let (network, rows) = (network(), Rows::random(16, 2));
    let train = |recompute| {
        let mut trainer = Trainer::new(&network, &adapter(0.2), TrainerOptions { recompute, ..options(3, 1e-2, 4) });
        (0..3).for_each(|_| _ = trainer.step_packed(&bins(&rows.get())).unwrap());
        bits(trainer.adapter())
    };
    assert_eq!(train(Recompute::None), train(Recompute::Block));
}
