//! An untrained network.

use burn::tensor::Device;

use super::Network;
use crate::{Checkpoint, ModelConfig, ModelError};

impl Network {
    /// Makes a network with the weights of [`Checkpoint::random`].
    pub fn random(config: &ModelConfig, seed: u64, device: &Device) -> Result<Self, ModelError> {
        Self::from_checkpoint(&Checkpoint::random(config, seed), device)
    }
}
