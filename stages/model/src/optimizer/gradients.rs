//! Gradients by parameter name, and their norm as one vector.
//!
//! burn's own optimizers clip each tensor alone, which turns the step into another direction.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::testing::tensor;

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
