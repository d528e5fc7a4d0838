//! Adafactor (Shazeer and Stern 2018) with a given learning rate, as transformers computes it: the second moment of a matrix is
//! kept as one number a row and one a column.

use burn::tensor::Tensor;

use super::rule::{Layout, Rule, Slot, Slots, Update, take_floats};

const ROWS: &str = "rows";
const COLUMNS: &str = "columns";
/// Added to the squared gradient.
const FLOOR: f64 = 1e-30;
/// The moment's decay at step t is 1 - t^-0.8.
const DECAY: f64 = -0.8;
/// The largest root mean square of an update before the learning rate.
const LONGEST: f64 = 1.0;

/// Adafactor without a first moment, and without steps relative to the parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adafactor {
    /// Decoupled decay of the parameters, times the learning rate.
    pub weight_decay: f64,
}

impl Rule for Adafactor {
    fn layout(&self, [rows, columns]: [usize; 2]) -> Vec<Layout> {
        vec![Layout::floats(ROWS, [rows, 1]), Layout::floats(COLUMNS, [1, columns])]
    }

    fn step(&self, slots: &mut Slots, parameter: Tensor<2>, gradient: Tensor<2>, update: &Update) -> Tensor<2> {
        #[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^52")]
        let keep = 1.0 - (update.step as f64).powf(DECAY);
        let squares = gradient.clone().square().add_scalar(FLOOR);
        let (row_means, column_means) = (squares.clone().mean_dim(1), squares.mean_dim(0));
        let rows = take_floats(slots, ROWS, &row_means).mul_scalar(keep) + row_means.mul_scalar(1.0 - keep);
        let columns = take_floats(slots, COLUMNS, &column_means).mul_scalar(keep) + column_means.mul_scalar(1.0 - keep);
        let row_factor = (rows.clone() / rows.clone().mean_dim(0)).sqrt().recip();
        let direction = gradient * row_factor * columns.clone().sqrt().recip();
        slots.insert(ROWS, Slot::Floats(rows));
        slots.insert(COLUMNS, Slot::Floats(columns));

        // By rows first: one long chain of 32-bit sums would lose digits.
        let length: f32 = direction.clone().square().mean_dim(1).mean().sqrt().into_scalar();
        let shorter = (f64::from(length) / LONGEST).max(1.0);
        // Subtracted, not multiplied by 1 - decay: in 32 bits that factor is off by as much as a step decays.
        let decay = parameter.clone().mul_scalar(update.rate * self.weight_decay);
        parameter - decay - direction.mul_scalar(update.rate / shorter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::{
        Algorithm, Optimizer,
        testing::{tensor, wave},
    };

    #[test]
    fn the_first_step_of_a_row_moves_every_number_by_the_rate() {
        let mut optimizer = Optimizer::new(Algorithm::Adafactor(Adafactor { weight_decay: 0.0 }));
        let update = Update { step: 1, rate: 0.5, clip: 1.0 };
        let moved = optimizer.step("w", tensor(&[1.0, 1.0]), tensor(&[3.0, -0.01]), &update);
        let apart: f32 = (moved - tensor(&[0.5, 1.5])).abs().max().into_scalar();
        assert!(apart < 1e-6, "{apart}");
    }

    #[test]
    fn memory_is_a_row_and_a_column() {
        let mut optimizer = Optimizer::new(Algorithm::Adafactor(Adafactor { weight_decay: 0.1 }));
        optimizer.step("w", wave([6, 9], 0), wave([6, 9], 1), &Update { step: 1, rate: 0.1, clip: 1.0 });
        let extents: Vec<[usize; 2]> = optimizer.slots()["w"].values().filter_map(extent).collect();
        assert_eq!(extents, [[1, 9], [6, 1]]);
    }

    fn extent(slot: &Slot) -> Option<[usize; 2]> {
        if let Slot::Floats(tensor) = slot { Some(tensor.dims()) } else { None }
    }
}
