//! Small tensors for the tests of rules.

use burn::tensor::{Device, Tensor, TensorData};

/// One row.
pub(super) fn tensor(values: &[f32]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), &Device::flex())
}

/// The numbers of a tensor.
pub(super) fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// A matrix of numbers from -1 to 1 that look different at every step.
pub(super) fn wave(shape: [usize; 2], step: u64) -> Tensor<2> {
    let mut rng = crate::rng::Rng::named(step, "wave");
    let numbers: Vec<f32> = (0..shape[0] * shape[1]).map(|_| rng.symmetric(1.0)).collect();
    Tensor::from_data(TensorData::new(numbers, shape), &Device::flex())
}
