//! One matrix moved over many steps, in and out of plain numbers: what another optimizer must agree with.

use burn::tensor::{Device, Tensor, TensorData};

use super::{Algorithm, Optimizer, Update};

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// The update rule.
    pub algorithm: Algorithm,
    /// Steps to take.
    pub steps: u64,
    /// The learning rate of every step.
    pub rate: f64,
}

impl Walk {
    /// Moves a matrix, row by row in one list, on the processor; `gradient` is asked for that of each step, counted from 0, at
    /// the matrix as it is then.
    pub fn from(&self, start: &[f32], shape: [usize; 2], mut gradient: impl FnMut(u64, &[f32]) -> Vec<f32>) -> Vec<f32> {
        let device = Device::flex();
        let mut optimizer = Optimizer::new(self.algorithm);
        let mut matrix = start.to_vec();
        for step in 0..self.steps {
            let tensor = |numbers| Tensor::from_data(TensorData::new(numbers, shape), &device);
            let gradient = tensor(gradient(step, &matrix));
            let update = Update { step: step + 1, rate: self.rate, clip: 1.0 };
            matrix = optimizer.step("matrix", tensor(matrix), gradient, &update).into_data().iter::<f32>().collect();
        }
        matrix
    }
}
