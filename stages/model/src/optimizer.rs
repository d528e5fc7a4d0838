//! From gradients to new parameters: the update rules that trainers of language models offer, as their reference
//! implementations compute them.
//!
//! A rule is a pure function of a parameter, its gradient, the step, and what the rule remembers of the parameter (its slots);
//! [`Optimizer`] keeps the slots by name, so that a checkpoint is a list of named tensors whatever the rule. burn's own rules
//! keep moments in the gradient's type and have no form that is resumed bit for bit; both change what is learned.

mod adafactor;
mod adamw;
mod dynamic8;
mod gradients;
mod lion;
mod muon;
mod rule;
mod sgd;
#[cfg(test)]
mod testing;
mod walk;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

pub use self::{
    adafactor::Adafactor,
    adamw::{AdamW, AdamW8bit},
    dynamic8::{Codes, Quantizer},
    gradients::{Gradients, clip_factor},
    lion::Lion,
    muon::Muon,
    rule::{Layout, Rule, Slot, Slots, Storage, Update},
    sgd::Sgd,
    walk::Walk,
};
pub use crate::ranges::BelowOne;

/// An update rule with its constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Algorithm {
    /// AdamW with 32-bit moments.
    AdamW(AdamW),
    /// AdamW with 8-bit moments.
    AdamW8bit(AdamW8bit),
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// The sign of a running mean.
    Lion(Lion),
    /// Factored second moments.
    Adafactor(Adafactor),
    /// Orthogonalized momentum.
    Muon(Muon),
}

impl Algorithm {
    fn rule(&self) -> &dyn Rule {
        match self {
            Self::AdamW(rule) => rule,
            Self::AdamW8bit(rule) => rule,
            Self::Sgd(rule) => rule,
            Self::Lion(rule) => rule,
            Self::Adafactor(rule) => rule,
            Self::Muon(rule) => rule,
        }
    }

    /// What the rule remembers of a parameter of this shape.
    pub fn layout(&self, shape: [usize; 2]) -> Vec<Layout> {
        self.rule().layout(shape)
    }
}

/// A rule and what it remembers of every parameter it has moved.
#[derive(Clone, Debug)]
pub struct Optimizer {
    algorithm: Algorithm,
    slots: BTreeMap<String, Slots>,
}

impl Optimizer {
    /// An optimizer that has seen no gradient.
    pub fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, slots: BTreeMap::new() }
    }

    /// The rule.
    pub fn algorithm(&self) -> &Algorithm {
        &self.algorithm
    }

    /// What is remembered, by parameter name.
    pub fn slots(&self) -> &BTreeMap<String, Slots> {
        &self.slots
    }

    /// Puts back what was remembered of a parameter.
    pub fn restore(&mut self, name: String, slots: Slots) {
        self.slots.insert(name, slots);
    }

    /// Returns the parameter after one step along its gradient.
    pub fn step(&mut self, name: &str, parameter: Tensor<2>, gradient: Tensor<2>, update: &Update) -> Tensor<2> {
        let gradient = if update.clip < 1.0 { gradient.mul_scalar(update.clip) } else { gradient };
        let mut slots = match self.slots.remove(name) {
            Some(slots) => slots,
            None => self.fresh(parameter.dims(), &parameter.device()),
        };
        let moved = self.algorithm.rule().step(&mut slots, parameter, gradient, update);
        self.slots.insert(name.to_owned(), slots);
        moved
    }

    fn fresh(&self, shape: [usize; 2], device: &Device) -> Slots {
        self.algorithm.layout(shape).iter().map(|layout| (layout.name, layout.zeros(device))).collect()
    }
}
