//! Writes text: reads prompts, keeps keys and values, and picks tokens, for any number of sequences at once.
//!
//! Every pass takes tokens from all running sequences, prompts in pieces and answers one by one; who is finished leaves and
//! who waits enters. No row's arithmetic depends on its neighbours (see `kernel`), so an answer does not depend on the batch
//! it was written in. It runs on the processor, on the weights as they are stored.

mod activation;
mod attention;
mod block;
mod engine;
mod kernel;
mod norm;
mod projection;
mod sample;
mod sequence;

use std::{fmt, ops::ControlFlow, path::Path, sync::Arc};

use flow_text::{
    generate::{Completion, Decoder, Generate, GenerateError, ModelCard, Sampling},
    record::Message,
    tokenizer::ChatTokenizer,
};

use crate::{Checkpoint, ModelError, Opened, adapter::StoredAdapter, chat_defaults};
use attention::Cache;
use engine::{Engine, Row};
use sequence::Sequence;

/// Sequences that run at the same time.
const MAX_SEQUENCES: usize = 32;
/// Tokens of one pass: enough for full speed, few enough that activations stay in cache.
const MAX_ROWS: usize = 128;

/// A model that generates.
pub struct Generator {
    card: ModelCard,
    engine: Engine,
    tokenizer: Arc<ChatTokenizer>,
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").field("card", &self.card).finish_non_exhaustive()
    }
}

impl Generator {
    /// Prepares an opened model, with the adapter of a PEFT folder laid over it if there is one.
    pub fn new(name: &str, opened: &Opened, adapter: Option<&Path>) -> Result<Self, ModelError> {
        let config = opened.checkpoint.config();
        let system = adapter.map(chat_defaults::read).transpose()?.flatten();
        let adapter = adapter.map(|folder| StoredAdapter::open(folder, config)).transpose()?;
        let card = ModelCard {
            name: name.to_owned(),
            context: config.context,
            parameters: config.parameters() + adapter.as_ref().map_or(0, StoredAdapter::parameters),
            system,
        };
        let engine = Engine::new(&opened.checkpoint, adapter.as_ref())?;
        Ok(Self { card, engine, tokenizer: Arc::clone(&opened.tokenizer) })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &ChatTokenizer {
        &self.tokenizer
    }
}

impl Generate for Generator {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, GenerateError> {
        self.tokenizer.encode_chat(messages).map_err(failed)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, GenerateError> {
        self.tokenizer.encode(text).map_err(failed)
    }

    fn decoder(&self) -> Decoder {
        let tokenizer = Arc::clone(&self.tokenizer);
        Arc::new(move |ids| tokenizer.decode(ids).map_err(failed))
    }

    fn generate(
        &mut self,
        prompts: &[Vec<u32>],
        sampling: &Sampling,
        on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<Completion>, GenerateError> {
        let mut batch = Batch::new(&mut self.engine, self.tokenizer.stop_ids());
        batch.run(prompts, sampling, on_token)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn failed(error: flow_text::tokenizer::TokenizerError) -> GenerateError {
    GenerateError { message: error.to_string(), help: None }
}

/// One call of `generate`: running sequences, each with its cache.
struct Batch<'a> {
    engine: &'a mut Engine,
    stop_ids: &'a [u32],
    running: Vec<Sequence>,
    caches: Vec<Cache>,
}

impl<'a> Batch<'a> {
    fn new(engine: &'a mut Engine, stop_ids: &'a [u32]) -> Self {
        Self { engine, stop_ids, running: Vec::new(), caches: Vec::new() }
    }

    fn run(
        &mut self,
        prompts: &[Vec<u32>],
        sampling: &Sampling,
        on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<Completion>, GenerateError> {
        let waiting = prompts.iter().enumerate().map(|(index, prompt)| {
            let config = self.engine.config();
            sequence::check(prompt, config)?;
            Ok(Sequence::new(index, prompt, sampling, config.context))
        });
        let mut waiting = waiting.collect::<Result<Vec<_>, GenerateError>>()?.into_iter();
        let mut finished: Vec<Option<Completion>> = vec![None; prompts.len()];
        loop {
            while self.running.len() < MAX_SEQUENCES
                && let Some(sequence) = waiting.next()
            {
                self.running.push(sequence);
                self.caches.push(Cache::new(self.engine.config()));
            }
            self.retire(&mut finished);
            if self.running.is_empty() && waiting.len() == 0 {
                return Ok(finished.into_iter().flatten().collect());
            }
            self.pass(sampling, on_token)?;
        }
    }

    /// Moves finished sequences out, their caches with them.
    fn retire(&mut self, finished: &mut [Option<Completion>]) {
        let mut slot = 0;
        while let Some(sequence) = self.running.get_mut(slot) {
            match sequence.take_completion() {
                Some(completion) => {
                    finished[sequence.index] = Some(completion);
                    self.running.swap_remove(slot);
                    self.caches.swap_remove(slot);
                }
                None => slot += 1,
            }
        }
    }

    /// Runs a few tokens of every sequence and lets those that are due pick their next one.
    fn pass(
        &mut self,
        sampling: &Sampling,
        on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<(), GenerateError> {
        let mut rows = Vec::new();
        let mut due = Vec::new();
        // Those that write go first: a long prompt may not hold up an answer.
        let mut order: Vec<usize> = (0..self.running.len()).collect();
        order.sort_by_key(|slot| self.running[*slot].pending());
        for slot in order {
            let sequence = &mut self.running[slot];
            let room = MAX_ROWS - rows.len();
            rows.extend(sequence.take(room).map(|(position, token)| Row { sequence: slot, position, token }));
            if sequence.pending() == 0 && !rows.is_empty() {
                due.push((slot, rows.len() - 1));
            }
        }
        let hidden = self.engine.forward(&rows, &mut self.caches);
        if due.is_empty() {
            return Ok(());
        }
        let width = self.engine.config().hidden_size;
        let last: Vec<f32> = due.iter().flat_map(|(_, row)| &hidden[row * width..(row + 1) * width]).copied().collect();
        let logits = self.engine.logits(&last);
        let chosen = sample::greedy(&logits, due.len());
        for (column, (slot, _)) in due.iter().enumerate() {
            let sequence = &mut self.running[*slot];
            let best = chosen[column].ok_or_else(not_a_number)?;
            let token = if sampling.temperature > 0.0 {
                let own: Vec<f32> = logits.iter().skip(column).step_by(due.len()).copied().collect();
                sample::draw(&own, sampling, &mut sequence.rng)
            } else {
                best
            };
            sequence.accept(token, self.stop_ids, on_token);
        }
        Ok(())
    }
}

fn not_a_number() -> GenerateError {
    GenerateError {
        message: "cannot pick a token: the model's output is not a number".to_owned(),
        help: Some("the weights or the adapter hold infinities; train with a smaller learning rate".to_owned()),
    }
}

/// Returns the logits after every token of one sequence, `[tokens, vocabulary]`: the decoder's own view, for comparisons.
pub fn logits(checkpoint: &Checkpoint, adapter: Option<&Path>, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
    let config = checkpoint.config();
    let adapter = adapter.map(|folder| StoredAdapter::open(folder, config)).transpose()?;
    let mut engine = Engine::new(checkpoint, adapter.as_ref())?;
    let mut caches = [Cache::new(config)];
    let mut out = Vec::with_capacity(tokens.len() * config.vocab_size);
    for (position, token) in tokens.iter().enumerate() {
        let hidden = engine.forward(&[Row { sequence: 0, position, token: *token }], &mut caches);
        out.extend(engine.logits(&hidden));
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
