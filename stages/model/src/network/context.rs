//! What every block of one forward pass shares: rotary tables by position, the attention bias, and dropout.

use burn::tensor::{Device, Tensor, TensorData};

use super::rope_tables;
use crate::ModelConfig;

/// Where padding goes. Real tokens see the same network either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Before the tokens.
    Left,
    /// After the tokens.
    Right,
}

impl Padding {
    /// Returns the column of the first real token.
    pub fn start(self, length: usize, width: usize) -> usize {
        match self {
            Self::Left => width - length,
            Self::Right => 0,
        }
    }
}

/// Dropout on the adapters' inputs: the mask is a pure function of the seed, so a recomputed block sees the same one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share of the inputs that become zero.
    pub rate: f32,
    /// Seed of this forward pass; change it every micro-batch.
    pub seed: u64,
}

/// What every block of one forward pass shares.
#[derive(Clone, Debug)]
pub struct Context {
    /// `[batch or 1, 1, width, head]`.
    pub(super) cos: Tensor<4>,
    /// `[batch or 1, 1, width, head]`, the first half negated for the rotation.
    pub(super) sin: Tensor<4>,
    /// `[batch or 1, 1, 1, width, width]`, added to the scores: 0 where a query may look.
    pub(super) bias: Tensor<5>,
    /// Dropout on adapters, for training only.
    pub(super) dropout: Option<Dropout>,
}

/// What a masked score becomes: far below any real one, yet finite, so that a row of padding stays a number.
const HIDDEN: f32 = -1e9;

impl Context {
    /// Describes rows of these lengths, padded to the longest. Positions count from each row's first real token.
    pub fn new(config: &ModelConfig, lengths: &[usize], padding: Padding, device: &Device) -> Self {
        let width = lengths.iter().copied().max().unwrap_or(0);
        // Padding on the right lies in every real token's future: rows differ only when it is on the left.
        let starts: Vec<usize> = match padding {
            Padding::Right => vec![0],
            Padding::Left => lengths.iter().map(|length| padding.start(*length, width)).collect(),
        };
        let mut positions = Vec::with_capacity(starts.len() * width);
        let mut bias = Vec::with_capacity(starts.len() * width * width);
        for start in &starts {
            positions.extend((0..width).map(|column| column.saturating_sub(*start)));
            for query in 0..width {
                let first = config.window.map_or(0, |window| (query + 1).saturating_sub(window)).max(*start);
                bias.extend((0..width).map(|key| if (first..=query).contains(&key) { 0.0 } else { HIDDEN }));
            }
        }
        let (cos, sin) = rope_tables(config, &positions);
        let rows = starts.len();
        let table = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [rows, 1, width, config.head_dim]), device);
        Self {
            cos: table(cos),
            sin: table(sin),
            bias: Tensor::from_data(TensorData::new(bias, [rows, 1, 1, width, width]), device),
            dropout: None,
        }
    }

    /// Switches dropout on.
    #[must_use]
    pub fn with_dropout(mut self, dropout: Dropout) -> Self {
        self.dropout = (dropout.rate > 0.0).then_some(dropout);
        self
    }
}
