//! Stochastic gradient descent with momentum as PyTorch computes it.

use burn::tensor::Tensor;

use super::{
    BelowOne,
    rule::{Layout, Rule, Slot, Slots, Update, take_floats},
};

const VELOCITY: &str = "velocity";

/// Stochastic gradient descent. Its decay is added to the gradient, unlike that of the other rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The share of the last velocity that stays; 0 remembers nothing.
    pub momentum: BelowOne,
    /// Whether a step looks ahead along the velocity (Nesterov).
    pub nesterov: bool,
    /// The share of the parameter that is added to its gradient.
    pub weight_decay: f64,
}

impl Rule for Sgd {
    fn layout(&self, shape: [usize; 2]) -> Vec<Layout> {
        if self.momentum.get() > 0.0 { vec![Layout::floats(VELOCITY, shape)] } else { Vec::new() }
    }

    fn step(&self, slots: &mut Slots, parameter: Tensor<2>, gradient: Tensor<2>, update: &Update) -> Tensor<2> {
        let momentum = self.momentum.get();
        let gradient = match self.weight_decay {
            0.0 => gradient,
            decay => gradient + parameter.clone().mul_scalar(decay),
        };
        if momentum == 0.0 {
            return parameter - gradient.mul_scalar(update.rate);
        }
        // Zeros before the first step make the first velocity the gradient itself.
        let velocity = take_floats(slots, VELOCITY, &gradient).mul_scalar(momentum) + gradient.clone();
        let direction = if self.nesterov { gradient + velocity.clone().mul_scalar(momentum) } else { velocity.clone() };
        slots.insert(VELOCITY, Slot::Floats(velocity));
        parameter - direction.mul_scalar(update.rate)
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
    fn velocity_gathers() {
        let moved = |momentum, nesterov| {
            let mut optimizer =
                Optimizer::new(Algorithm::Sgd(Sgd { momentum: BelowOne::of(momentum), nesterov, weight_decay: 0.0 }));
            let step = |optimizer: &mut Optimizer, at, step| {
                optimizer.step("w", at, tensor(&[1.0]), &Update { step, rate: 1.0, clip: 0.5 })
            };
            let once = step(&mut optimizer, tensor(&[0.0]), 1);
            values(step(&mut optimizer, once, 2))[0]
        };
        // The clipped gradient is 0.5: 0.5 + 0.5; 0.5 + 0.75; 0.75 + (0.5 + 0.5 * 0.75).
        let expected = [(0.0, false, -1.0), (0.5, false, -1.25), (0.5, true, -1.625)];
        for (momentum, nesterov, want) in expected {
            let got: f32 = moved(momentum, nesterov);
            assert!((got - want).abs() < f32::EPSILON, "{got} is not {want}");
        }
    }
}
