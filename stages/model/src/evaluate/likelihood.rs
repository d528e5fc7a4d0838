//! How likely each arm finds the right answers: negative log-likelihood of the reference, its end-of-turn token included.

use std::path::Path;

use flow_engine::StageError;
use flow_rows::TokenRow;
use flow_text::{
    encode::{Encoded, Fitted, IGNORED, Limit, Overflow, encode_conversation},
    record::Message,
};

use super::{Answers, Arm, Item, Metric, SuiteConfig};
use crate::{
    Adapter, Network, Opened,
    batch::{Batch, Layout},
    device, train,
};

/// A network with and without its adapter.
pub(super) struct Likelihood {
    opened: Opened,
    network: Network,
    adapter: Adapter,
    batch: usize,
}

impl Likelihood {
    pub(super) fn open(base: &Path, adapter: &Path, config: &SuiteConfig) -> Result<Self, StageError> {
        let device = device::open(&config.device)?;
        let opened = crate::open(base)?;
        let network = Network::from_checkpoint(&opened.checkpoint, &device)?;
        let adapter = Adapter::load(adapter, network.config(), &device)?;
        Ok(Self { opened, network, adapter, batch: config.batch.get() as usize })
    }

    /// Adds the likelihood of every reference to every arm's scores.
    pub(super) fn score(&self, items: &[Item], arms: &[Arm], answers: &mut [Answers]) -> Result<(), StageError> {
        for arm in arms {
            let rows = arm.prompts.iter().zip(items).map(|(prompt, item)| self.encode(prompt, item));
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            let adapter = arm.is_tuned().then_some(&self.adapter);
            let losses = rows.chunks(self.batch).flat_map(|rows| self.mean_losses(rows, adapter));
            let scored = answers.iter_mut().filter(|answers| answers.kind.name() == arm.name());
            for (answer, loss) in scored.flat_map(|answers| &mut answers.answers).zip(losses) {
                answer.scores.insert(Metric::Nll, loss);
            }
        }
        Ok(())
    }

    /// Encodes a prompt and its right answer; only the answer is scored.
    fn encode(&self, prompt: &[Message], item: &Item) -> Result<Encoded, StageError> {
        let tokenizer = &*self.opened.tokenizer;
        let failed = |error: &(dyn std::error::Error + 'static)| {
            StageError::input(format!("row {} cannot be scored", item.row_id)).because(error)
        };
        let answer = Message { role: "assistant".to_owned(), content: item.reference.clone() };
        let messages: Vec<Message> = prompt.iter().cloned().chain([answer]).collect();
        let limit = Limit { max_length: self.network.config().context, overflow: Overflow::Error };
        let start = tokenizer.encode_chat(prompt).map_err(|error| failed(&error))?.len();
        match encode_conversation(tokenizer, &messages, limit).map_err(|error| failed(&error))? {
            Fitted::Whole(mut encoded) | Fitted::Truncated { mut encoded, .. } => {
                encoded.labels.iter_mut().take(start).for_each(|label| *label = IGNORED);
                Ok(encoded)
            }
            Fitted::Dropped { tokens } => Err(StageError::internal(format!("row {} lost its {tokens} tokens", item.row_id))),
        }
    }

    /// The mean negative log-likelihood per scored token of each row.
    fn mean_losses(&self, rows: &[Encoded], adapter: Option<&Adapter>) -> Vec<f64> {
        let rows: Vec<TokenRow<'_>> =
            rows.iter().map(|row| TokenRow { row_id: "", input_ids: &row.input_ids, labels: &row.labels }).collect();
        let Some(batch) = Batch::new(&rows, Layout::Padded, &self.network.device()) else { return Vec::new() };
        let mut losses = train::losses(&self.network, adapter, &batch).into_iter();
        batch.per_row.iter().map(|count| mean(losses.by_ref().take(*count), *count)).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a row has far fewer than 2^52 tokens")]
fn mean(losses: impl Iterator<Item = f32>, count: usize) -> f64 {
    losses.map(f64::from).sum::<f64>() / count.max(1) as f64
}
