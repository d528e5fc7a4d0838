//! Gradients by parameter name, their global norm, and AdamW as PyTorch computes it.
//!
//! burn's own optimizer clips each tensor alone and keeps moments in the gradient's type; both change what is learned.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A number from 0 up to, but not including, 1: a decay rate or a share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct BelowOne(f64);

impl BelowOne {
    /// A default; `value` lies in the range.
    pub(crate) const fn of(value: f64) -> Self {
        Self(value)
    }

    /// The plain number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for BelowOne {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        if (0.0..1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("expected a number from 0 to below 1, got {value}"))
        }
    }
}

impl From<BelowOne> for f64 {
    fn from(beta: BelowOne) -> Self {
        beta.0
    }
}

impl JsonSchema for BelowOne {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BelowOne".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})
    }
}

/// The constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay rates of the means of the gradient and of its square.
    pub betas: [BelowOne; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay of the parameters, times the learning rate.
    pub weight_decay: f64,
}

/// Gradients of one optimizer step by parameter name.
#[derive(Clone, Debug, Default)]
pub struct Gradients(BTreeMap<String, Tensor<2>>);

impl Gradients {
    /// Adds a gradient to what is there for the parameter.
    pub fn add(&mut self, name: String, gradient: Tensor<2>) {
        let sum = match self.0.remove(&name) {
            Some(so_far) => so_far + gradient,
            None => gradient,
        };
        self.0.insert(name, sum);
    }

    /// Adds every gradient of another set.
    pub fn merge(&mut self, other: Self) {
        for (name, gradient) in other.0 {
            self.add(name, gradient);
        }
    }

    /// The gradient of a parameter.
    pub fn get(&self, name: &str) -> Option<&Tensor<2>> {
        self.0.get(name)
    }

    /// The names of all parameters with a gradient.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The Euclidean norm of all gradients taken as one vector. One read from the device.
    pub fn norm(&self) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        let squares: Vec<Tensor<1>> = self.0.values().map(|gradient| gradient.clone().square().sum()).collect();
        let squares = Tensor::cat(squares, 0).into_data();
        squares.iter::<f32>().map(f64::from).sum::<f64>().sqrt()
    }
}

/// The factor that brings a gradient of this norm down to `max`, as `clip_grad_norm_` computes it.
pub fn clip_factor(norm: f64, max: Option<f64>) -> f64 {
    max.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0))
}

/// The running means of one parameter's gradient.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Mean of the gradient.
    pub first: Tensor<2>,
    /// Mean of its square.
    pub second: Tensor<2>,
}

/// What one step applies to every parameter.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// The number of this step, counted from 1.
    pub step: u64,
    /// The learning rate.
    pub rate: f64,
    /// The factor on the gradient, see [`clip_factor`].
    pub clip: f64,
}

/// AdamW with 32-bit moments.
#[derive(Clone, Debug)]
pub struct AdamW {
    config: AdamWConfig,
    moments: BTreeMap<String, Moments>,
}

impl AdamW {
    /// An optimizer that has seen no gradient.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, moments: BTreeMap::new() }
    }

    /// The running means by parameter name.
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// Puts back the running means of a parameter.
    pub fn restore(&mut self, name: String, moments: Moments) {
        self.moments.insert(name, moments);
    }

    /// Returns the parameter after one step along its gradient.
    pub fn step(&mut self, name: &str, parameter: Tensor<2>, gradient: Tensor<2>, update: &Update) -> Tensor<2> {
        let [beta1, beta2] = self.config.betas.map(f64::from);
        let gradient = if update.clip < 1.0 { gradient.mul_scalar(update.clip) } else { gradient };
        let (first, second) = match self.moments.remove(name) {
            Some(moments) => (moments.first, moments.second),
            None => (gradient.zeros_like(), gradient.zeros_like()),
        };
        let first = first.clone() + (gradient.clone() - first).mul_scalar(1.0 - beta1);
        let second = second.mul_scalar(beta2) + gradient.square().mul_scalar(1.0 - beta2);

        let exponent = i32::try_from(update.step).unwrap_or(i32::MAX);
        let correction1 = 1.0 - beta1.powi(exponent);
        let correction2 = (1.0 - beta2.powi(exponent)).sqrt();
        let scale = second.clone().sqrt().div_scalar(correction2).add_scalar(self.config.eps);
        let direction = (first.clone() / scale).mul_scalar(update.rate / correction1);
        let decayed = match self.config.weight_decay {
            0.0 => parameter,
            decay => parameter.mul_scalar(1.0 - update.rate * decay),
        };
        self.moments.insert(name.to_owned(), Moments { first, second });
        decayed - direction
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn tensor(values: &[f32]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), &Device::flex())
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn config(weight_decay: f64) -> AdamWConfig {
        AdamWConfig { betas: [BelowOne(0.9), BelowOne(0.999)], eps: 1e-8, weight_decay }
    }

    /// The textbook formula in double precision.
    fn reference(config: &AdamWConfig, gradients: &[f64], rate: f64, mut parameter: f64) -> f64 {
        let [beta1, beta2] = config.betas.map(f64::from);
        let (mut first, mut second) = (0.0, 0.0);
        for (index, gradient) in gradients.iter().enumerate() {
            let step = i32::try_from(index + 1).unwrap();
            first = beta1 * first + (1.0 - beta1) * gradient;
            second = beta2 * second + (1.0 - beta2) * gradient * gradient;
            let (mean, square) = (first / (1.0 - beta1.powi(step)), second / (1.0 - beta2.powi(step)));
            parameter = parameter * (1.0 - rate * config.weight_decay) - rate * mean / (square.sqrt() + config.eps);
        }
        parameter
    }

    #[test]
    fn the_first_step_moves_by_the_learning_rate() {
        let mut optimizer = AdamW::new(config(0.0));
        let update = Update { step: 1, rate: 0.1, clip: 1.0 };
        let moved = values(optimizer.step("w", tensor(&[1.0, 1.0]), tensor(&[0.5, -3.0]), &update));
        assert!((moved[0] - 0.9).abs() < 1e-6 && (moved[1] - 1.1).abs() < 1e-6, "{moved:?}");
    }

    #[test]
    fn two_hundred_steps_follow_the_formula() {
        for decay in [0.0, 0.1] {
            let config = config(decay);
            let gradients: Vec<f64> = (0..200).map(|i| 1e-4 * (f64::from(i) * 0.7).sin()).collect();
            let mut optimizer = AdamW::new(config);
            let mut parameter = tensor(&[0.3]);
            for (step, gradient) in (1..).zip(&gradients) {
                #[expect(clippy::cast_possible_truncation, reason = "tensors are 32-bit")]
                let gradient = tensor(&[*gradient as f32]);
                parameter = optimizer.step("w", parameter, gradient, &Update { step, rate: 1e-3, clip: 1.0 });
            }
            let want = reference(&config, &gradients, 1e-3, 0.3);
            let got = f64::from(values(parameter)[0]);
            assert!((got - want).abs() < 2e-6, "decay {decay}: {got} is not {want}");
        }
    }

    #[test]
    fn clipping_is_over_all_parameters_together() {
        let mut gradients = Gradients::default();
        gradients.add("a".to_owned(), tensor(&[3.0, 0.0]));
        gradients.add("b".to_owned(), tensor(&[1.0]));
        gradients.add("b".to_owned(), tensor(&[3.0]));
        let norm = gradients.norm();
        assert!((norm - 5.0).abs() < 1e-9);
        assert!((clip_factor(norm, Some(1.0)) - 1.0 / 5.000_001).abs() < 1e-12);
        assert!((clip_factor(norm, Some(10.0)) - 1.0).abs() < f64::EPSILON);
        assert!((clip_factor(norm, None) - 1.0).abs() < f64::EPSILON);
    }
}
