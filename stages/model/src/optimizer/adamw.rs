//! AdamW as PyTorch computes it, and with 8-bit moments as bitsandbytes computes it.

use burn::tensor::{Tensor, TensorData};

use super::{
    BelowOne,
    dynamic8::{Codes, Quantizer},
    rule::{Layout, Rule, Slot, Slots, Storage, Update, decayed, take_floats},
};

const FIRST: &str = "first";
const SECOND: &str = "second";

/// AdamW with 32-bit moments (Loshchilov and Hutter 2019, algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay rates of the means of the gradient and of its square.
    pub betas: [BelowOne; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay of the parameters, times the learning rate.
    pub weight_decay: f64,
}

impl Rule for AdamW {
    fn layout(&self, shape: [usize; 2]) -> Vec<Layout> {
        vec![Layout::floats(FIRST, shape), Layout::floats(SECOND, shape)]
    }

    fn step(&self, slots: &mut Slots, parameter: Tensor<2>, gradient: Tensor<2>, update: &Update) -> Tensor<2> {
        let [beta1, beta2] = self.betas.map(f64::from);
        let (first, second) = (take_floats(slots, FIRST, &gradient), take_floats(slots, SECOND, &gradient));
        let first = first.clone() + (gradient.clone() - first).mul_scalar(1.0 - beta1);
        let second = second.mul_scalar(beta2) + gradient.square().mul_scalar(1.0 - beta2);

        let correction1 = 1.0 - beta1.powi(update.exponent());
        let correction2 = (1.0 - beta2.powi(update.exponent())).sqrt();
        let scale = second.clone().sqrt().div_scalar(correction2).add_scalar(self.eps);
        let direction = (first.clone() / scale).mul_scalar(update.rate / correction1);
        slots.insert(FIRST, Slot::Floats(first));
        slots.insert(SECOND, Slot::Floats(second));
        decayed(parameter, update.rate, self.weight_decay) - direction
    }
}

/// AdamW whose moments take 8 bits (Dettmers et al. 2022): blocks of 256, each with its largest magnitude.
///
/// The moments are decoded, moved, and encoded on the host in one pass; small parameters keep 32-bit moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW8bit(pub AdamW);

/// Parameters with fewer numbers keep 32-bit moments, as in bitsandbytes.
const SMALLEST: usize = 4096;

impl Rule for AdamW8bit {
    fn layout(&self, shape: [usize; 2]) -> Vec<Layout> {
        if shape.iter().product::<usize>() < SMALLEST {
            return self.0.layout(shape);
        }
        vec![
            Layout { name: FIRST, shape, storage: Storage::SignedCodes },
            Layout { name: SECOND, shape, storage: Storage::UnsignedCodes },
        ]
    }

    fn step(&self, slots: &mut Slots, parameter: Tensor<2>, gradient: Tensor<2>, update: &Update) -> Tensor<2> {
        let (Some(Slot::Codes(mut first)), Some(Slot::Codes(mut second))) = (slots.remove(FIRST), slots.remove(SECOND)) else {
            return self.0.step(slots, parameter, gradient, update);
        };
        let (shape, device) = (parameter.dims(), parameter.device());
        let mut values: Vec<f32> = parameter.into_data().iter::<f32>().collect();
        let gradient: Vec<f32> = gradient.into_data().iter::<f32>().collect();
        self.walk((&mut values, &gradient), [&mut first, &mut second], update);
        slots.insert(FIRST, Slot::Codes(first));
        slots.insert(SECOND, Slot::Codes(second));
        Tensor::from_data(TensorData::new(values, shape), &device)
    }
}

impl AdamW8bit {
    /// Moves all values, a block of codes at a time.
    fn walk(&self, (values, gradient): (&mut [f32], &[f32]), [first, second]: [&mut Codes; 2], update: &Update) {
        let constants = Constants::of(&self.0, update);
        let (signed, unsigned) = (Quantizer::signed(), Quantizer::unsigned());
        let blocks = values.chunks_mut(Codes::BLOCK).zip(gradient.chunks(Codes::BLOCK));
        for (((values, gradient), mut first), mut second) in blocks.zip(first.blocks_mut()).zip(second.blocks_mut()) {
            let (mut means, mut squares) = (first.decoded(signed), second.decoded(unsigned));
            let moments = means.iter_mut().zip(&mut squares);
            for ((value, gradient), (mean, square)) in values.iter_mut().zip(gradient).zip(moments) {
                *value = constants.moved(*value, *gradient, (mean, square));
            }
            first.encode(signed, &means);
            second.encode(unsigned, &squares);
        }
    }
}

/// The numbers of one step in 32 bits, which is what the reference computes in.
struct Constants {
    keep: f32,
    step: f32,
    first: [f32; 2],
    second: [f32; 2],
    correction: f32,
    eps: f32,
}

impl Constants {
    #[expect(clippy::cast_possible_truncation, reason = "the reference computes in 32 bits")]
    fn of(rule: &AdamW, update: &Update) -> Self {
        let [beta1, beta2] = rule.betas.map(f64::from);
        let correction = 1.0 - beta1.powi(update.exponent());
        Self {
            keep: (1.0 - update.rate * rule.weight_decay) as f32,
            step: (update.rate / correction) as f32,
            first: [beta1 as f32, (1.0 - beta1) as f32],
            second: [beta2 as f32, (1.0 - beta2) as f32],
            correction: (1.0 - beta2.powi(update.exponent())).sqrt() as f32,
            eps: rule.eps as f32,
        }
    }

    /// Moves the moments along a gradient, and returns where the value goes.
    fn moved(&self, value: f32, gradient: f32, (mean, square): (&mut f32, &mut f32)) -> f32 {
        // Order and fused products are the reference's: an odd last bit may fall into the next code.
        *mean = gradient.mul_add(self.first[1], *mean * self.first[0]);
        *square = (gradient * self.second[1]).mul_add(gradient, *square * self.second[0]);
        value * self.keep - self.step * *mean / (square.sqrt() / self.correction + self.eps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::{
        Algorithm, Optimizer,
        testing::{tensor, values, wave},
    };

    fn rule(weight_decay: f64) -> AdamW {
        AdamW { betas: [BelowOne::of(0.9), BelowOne::of(0.999)], eps: 1e-8, weight_decay }
    }

    /// The textbook formula in double precision.
    fn reference(rule: &AdamW, gradients: &[f64], rate: f64, mut parameter: f64) -> f64 {
        let [beta1, beta2] = rule.betas.map(f64::from);
        let (mut first, mut second) = (0.0, 0.0);
        for (index, gradient) in gradients.iter().enumerate() {
            let step = i32::try_from(index + 1).unwrap();
            first = beta1 * first + (1.0 - beta1) * gradient;
            second = beta2 * second + (1.0 - beta2) * gradient * gradient;
            let (mean, square) = (first / (1.0 - beta1.powi(step)), second / (1.0 - beta2.powi(step)));
            parameter = parameter * (1.0 - rate * rule.weight_decay) - rate * mean / (square.sqrt() + rule.eps);
        }
        parameter
    }

    #[test]
    fn the_first_step_moves_by_the_learning_rate() {
        let mut optimizer = Optimizer::new(Algorithm::AdamW(rule(0.0)));
        let update = Update { step: 1, rate: 0.1, clip: 1.0 };
        let moved = values(optimizer.step("w", tensor(&[1.0, 1.0]), tensor(&[0.5, -3.0]), &update));
        assert!((moved[0] - 0.9).abs() < 1e-6 && (moved[1] - 1.1).abs() < 1e-6, "{moved:?}");
    }

    #[test]
    fn two_hundred_steps_follow_the_formula() {
        for decay in [0.0, 0.1] {
            let rule = rule(decay);
            let gradients: Vec<f64> = (0..200).map(|i| 1e-4 * (f64::from(i) * 0.7).sin()).collect();
            let mut optimizer = Optimizer::new(Algorithm::AdamW(rule));
            let mut parameter = tensor(&[0.3]);
            for (step, gradient) in (1..).zip(&gradients) {
                #[expect(clippy::cast_possible_truncation, reason = "tensors are 32-bit")]
                let gradient = tensor(&[*gradient as f32]);
                parameter = optimizer.step("w", parameter, gradient, &Update { step, rate: 1e-3, clip: 1.0 });
            }
            let want = reference(&rule, &gradients, 1e-3, 0.3);
            let got = f64::from(values(parameter)[0]);
            assert!((got - want).abs() < 2e-6, "decay {decay}: {got} is not {want}");
        }
    }

    #[test]
    fn eight_bits_follow_thirty_two_and_small_parameters_keep_them() {
        let shape = [32, 160];
        let mut narrow = Optimizer::new(Algorithm::AdamW8bit(AdamW8bit(rule(0.01))));
        let mut wide = Optimizer::new(Algorithm::AdamW(rule(0.01)));
        let (mut ours, mut exact) = (wave(shape, 0), wave(shape, 0));
        for step in 1..=20 {
            let update = Update { step, rate: 1e-3, clip: 1.0 };
            ours = narrow.step("w", ours, wave(shape, step), &update);
            exact = wide.step("w", exact, wave(shape, step), &update);
        }
        let moved: f32 = (exact.clone() - wave(shape, 0)).abs().mean().into_scalar();
        let apart: f32 = (ours - exact).abs().mean().into_scalar();
        assert!(apart > 0.0 && apart < 0.05 * moved, "{apart} of {moved}");
        assert!(matches!(narrow.slots()["w"][FIRST], Slot::Codes(_)));
        narrow.step("small", tensor(&[1.0]), tensor(&[1.0]), &Update { step: 1, rate: 1e-3, clip: 1.0 });
        assert!(matches!(narrow.slots()["small"][FIRST], Slot::Floats(_)));
    }
}
