//! Lion (Chen et al. 2023): every number moves by the learning rate, in the direction of a running mean's sign.

use burn::tensor::Tensor;

use super::{
    BelowOne,
    rule::{Layout, Rule, Slot, Slots, Update, decayed, take_floats},
};

const FIRST: &str = "first";

/// Lion. It wants a learning rate of a third to a tenth of AdamW's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    /// The weight of the mean in the direction, and the decay rate of the mean.
    pub betas: [BelowOne; 2],
    /// Decoupled decay of the parameters, times the learning rate.
    pub weight_decay: f64,
}

impl Rule for Lion {
    fn layout(&self, shape: [usize; 2]) -> Vec<Layout> {
        vec![Layout::floats(FIRST, shape)]
    }

    fn step(&self, slots: &mut Slots, parameter: Tensor<2>, gradient: Tensor<2>, update: &Update) -> Tensor<2> {
        let [beta1, beta2] = self.betas.map(f64::from);
        let first = take_floats(slots, FIRST, &gradient);
        let direction = (first.clone().mul_scalar(beta1) + gradient.clone().mul_scalar(1.0 - beta1)).sign();
        let first = first.mul_scalar(beta2) + gradient.mul_scalar(1.0 - beta2);
        slots.insert(FIRST, Slot::Floats(first));
        decayed(parameter, update.rate, self.weight_decay) - direction.mul_scalar(update.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::{
        Algorithm, Optimizer,
        testing::{tensor, values},
    };

    #[test]
    fn every_number_moves_by_the_rate_and_none_without_a_gradient() {
        let lion = Lion { betas: [BelowOne::of(0.9), BelowOne::of(0.99)], weight_decay: 0.0 };
        let mut optimizer = Optimizer::new(Algorithm::Lion(lion));
        let update = Update { step: 1, rate: 0.25, clip: 1.0 };
        let moved = values(optimizer.step("w", tensor(&[1.0, 1.0, 1.0]), tensor(&[1e-6, -80.0, 0.0]), &update));
        assert_eq!(moved, [0.75, 1.25, 1.0]);
    }
}
