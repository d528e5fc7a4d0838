//! Steps over given rows in a given order, from a given adapter: what another trainer must agree with, number by number.

use std::path::Path;

use flow_engine::StageError;
use flow_rows::TokenRow;

use super::{Trainer, TrainerOptions};
use crate::{Adapter, Network, checkpoint::StepRecord, device};

/// What to train, on what, how.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// A GGUF file or a Hugging Face folder.
    pub base: &'a Path,
    /// The PEFT folder to start from.
    pub adapter: &'a Path,
    /// The rows; each step takes the next [`Replay::batch`] of them, starting over at the end.
    pub rows: &'a [TokenRow<'a>],
    /// Rows of one step.
    pub batch: usize,
    /// Steps to take.
    pub steps: usize,
    /// How to learn.
    pub options: TrainerOptions,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// One record for each step.
    pub history: Vec<StepRecord>,
    /// The adapter after the last step.
    pub adapter: Adapter,
}

/// Trains on the processor, without shuffling, files, or checkpoints.
pub fn replay(request: &Replay<'_>) -> Result<Replayed, StageError> {
    let network = Network::load(request.base, &device::open("cpu")?)?;
    let adapter = Adapter::load(request.adapter, network.config(), &network.device())?;
    let mut trainer = Trainer::new(&network, &adapter, request.options);
    let batches = request.rows.chunks(request.batch.max(1)).cycle();
    for rows in batches.take(request.steps) {
        trainer.step(rows)?;
    }
    Ok(Replayed { history: trainer.history().to_vec(), adapter: trainer.adapter().clone() })
}
