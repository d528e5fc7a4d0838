//! What an update rule is, and what it may remember between two steps.

use std::{collections::BTreeMap, fmt};

use burn::tensor::{Device, Tensor};

use super::dynamic8::Codes;

/// What one step applies to every parameter.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// The number of this step, counted from 1.
    pub step: u64,
    /// The learning rate.
    pub rate: f64,
    /// The factor on the gradient, see [`clip_factor`](super::clip_factor).
    pub clip: f64,
}

impl Update {
    /// The number of this step as an exponent.
    pub(super) fn exponent(&self) -> i32 {
        i32::try_from(self.step).unwrap_or(i32::MAX)
    }
}

/// A rule that moves parameters along their gradients.
pub trait Rule: fmt::Debug {
    /// What it remembers of a parameter of this shape; every slot begins with zeros.
    fn layout(&self, shape: [usize; 2]) -> Vec<Layout>;

    /// Returns the parameter after one step along its clipped gradient. `slots` has what [`Rule::layout`] names.
    fn step(&self, slots: &mut Slots, parameter: Tensor<2>, gradient: Tensor<2>, update: &Update) -> Tensor<2>;
}

/// How the numbers of a slot are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// As 32-bit numbers on the parameter's device.
    Floats,
    /// As 8-bit codes of numbers of either sign, in host memory.
    SignedCodes,
    /// As 8-bit codes of numbers from 0 on, in host memory.
    UnsignedCodes,
}

/// One thing that a rule remembers of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Its name in checkpoints.
    pub name: &'static str,
    /// Its extent.
    pub shape: [usize; 2],
    /// How it is stored.
    pub storage: Storage,
}

impl Layout {
    /// A slot of 32-bit numbers.
    pub(super) fn floats(name: &'static str, shape: [usize; 2]) -> Self {
        Self { name, shape, storage: Storage::Floats }
    }

    /// The slot before the first step.
    pub(super) fn zeros(&self, device: &Device) -> Slot {
        match self.storage {
            Storage::Floats => Slot::Floats(Tensor::zeros(self.shape, device)),
            Storage::SignedCodes | Storage::UnsignedCodes => Slot::Codes(Codes::zeros(self.shape)),
        }
    }
}

/// What is remembered under one name.
#[derive(Clone, Debug)]
pub enum Slot {
    /// 32-bit numbers.
    Floats(Tensor<2>),
    /// 8-bit codes.
    Codes(Codes),
}

/// What a rule remembers of one parameter, by name.
pub type Slots = BTreeMap<&'static str, Slot>;

/// Takes a slot of 32-bit numbers; zeros of the parameter's shape when there is none.
pub(super) fn take_floats(slots: &mut Slots, name: &'static str, like: &Tensor<2>) -> Tensor<2> {
    match slots.remove(name) {
        Some(Slot::Floats(tensor)) => tensor,
        Some(Slot::Codes(_)) | None => like.zeros_like(),
    }
}

/// Decoupled decay: the parameter times 1 - rate · decay.
pub(super) fn decayed(parameter: Tensor<2>, rate: f64, decay: f64) -> Tensor<2> {
    if decay == 0.0 { parameter } else { parameter.mul_scalar(1.0 - rate * decay) }
}
