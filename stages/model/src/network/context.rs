//! What every block of one forward pass shares: rotary tables by position, what attention sees, and dropout.

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
    /// What a token may look at.
    pub(super) sight: Sight,
    /// Dropout on adapters, for training only.
    pub(super) dropout: Option<Dropout>,
}

/// What the tokens of one forward pass may look at.
#[derive(Clone, Debug)]
pub(super) enum Sight {
    /// Their own row: `[batch or 1, 1, 1, width, width]`, added to the scores, 0 where a query may look.
    Row(Tensor<5>),
    /// Their own document of the one row that holds them all.
    Document {
        /// Tokens of each document.
        lengths: Vec<usize>,
        /// [`Sight::Row`] of the longest document, whose corner serves every shorter one.
        bias: Tensor<5>,
    },
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
        let bias = bias(config, &starts, width, device);
        let positions: Vec<usize> =
            starts.iter().flat_map(|start| (0..width).map(|column| column.saturating_sub(*start))).collect();
        let [cos, sin] = tables(config, &positions, starts.len(), device);
        Self { cos, sin, sight: Sight::Row(bias), dropout: None }
    }

    /// Describes one row of documents of these lengths, one after another. Each has positions of its own and sees no other.
    pub fn documents(config: &ModelConfig, lengths: &[usize], device: &Device) -> Self {
        let lengths: Vec<usize> = lengths.iter().copied().filter(|length| *length > 0).collect();
        let bias = bias(config, &[0], lengths.iter().copied().max().unwrap_or(0), device);
        let positions: Vec<usize> = lengths.iter().flat_map(|length| 0..*length).collect();
        let [cos, sin] = tables(config, &positions, 1, device);
        Self { cos, sin, sight: Sight::Document { lengths, bias }, dropout: None }
    }

    /// Switches dropout on.
    #[must_use]
    pub fn with_dropout(mut self, dropout: Dropout) -> Self {
        self.dropout = (dropout.rate > 0.0).then_some(dropout);
        self
    }
}

/// Causal, within the window if there is one, and never before a row's start.
fn bias(config: &ModelConfig, starts: &[usize], width: usize, device: &Device) -> Tensor<5> {
    let mut bias = Vec::with_capacity(starts.len() * width * width);
    for start in starts {
        for query in 0..width {
            let first = config.window.map_or(0, |window| (query + 1).saturating_sub(window)).max(*start);
            bias.extend((0..width).map(|key| if (first..=query).contains(&key) { 0.0 } else { HIDDEN }));
        }
    }
    Tensor::from_data(TensorData::new(bias, [starts.len(), 1, 1, width, width]), device)
}

/// Cosines and sines of so many rows.
fn tables(config: &ModelConfig, positions: &[usize], rows: usize, device: &Device) -> [Tensor<4>; 2] {
    let (cos, sin) = rope_tables(config, positions);
    let shape = [rows, 1, positions.len() / rows.max(1), config.head_dim];
    [cos, sin].map(|values| Tensor::from_data(TensorData::new(values, shape), device))
}
