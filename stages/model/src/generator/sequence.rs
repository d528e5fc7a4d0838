//! One prompt on its way to an answer.

use std::ops::ControlFlow;

use flow_text::generate::{Completion, Finish, GenerateError, Sampling};

use crate::{ModelConfig, rng::Rng};

pub(super) struct Sequence {
    /// Which prompt it is.
    pub(super) index: usize,
    /// Draws of this sequence alone.
    pub(super) rng: Rng,
    /// Prompt and answer.
    tokens: Vec<u32>,
    prompt: usize,
    /// Tokens that have been run.
    done: usize,
    max_tokens: usize,
    finish: Option<Finish>,
}

/// Refuses a prompt that cannot be run.
pub(super) fn check(prompt: &[u32], config: &ModelConfig) -> Result<(), GenerateError> {
    let refuse = |message: String, help: &str| Err(GenerateError { message, help: Some(help.to_owned()) });
    if prompt.is_empty() {
        return refuse("cannot continue an empty prompt".to_owned(), "send at least one token");
    }
    if prompt.len() >= config.context {
        let message = format!("cannot continue a prompt of {} tokens: the context holds {}", prompt.len(), config.context);
        return refuse(message, "shorten the prompt");
    }
    match prompt.iter().find(|id| **id as usize >= config.vocab_size) {
        Some(id) => refuse(
            format!("cannot continue a prompt with token {id}: the vocabulary has {}", config.vocab_size),
            "encode the prompt with the model's own tokenizer",
        ),
        None => Ok(()),
    }
}

impl Sequence {
    pub(super) fn new(index: usize, prompt: &[u32], sampling: &Sampling, context: usize) -> Self {
        let max_tokens = sampling.max_tokens.min(context - prompt.len());
        Self {
            index,
            rng: Rng::named(sampling.seed, &index.to_string()),
            tokens: prompt.to_vec(),
            prompt: prompt.len(),
            done: 0,
            max_tokens,
            finish: (max_tokens == 0).then_some(Finish::Length),
        }
    }

    /// Tokens that wait to be run.
    pub(super) fn pending(&self) -> usize {
        self.tokens.len() - self.done
    }

    /// Takes some of the waiting tokens, with their positions.
    pub(super) fn take(&mut self, room: usize) -> impl Iterator<Item = (usize, u32)> {
        let (start, end) = (self.done, self.done + self.pending().min(room));
        self.done = end;
        (start..end).zip(self.tokens[start..end].iter().copied())
    }

    /// Takes the token that was picked after the last one.
    pub(super) fn accept(&mut self, token: u32, stop_ids: &[u32], on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>) {
        if stop_ids.contains(&token) {
            self.finish = Some(Finish::Stop);
            return;
        }
        self.tokens.push(token);
        if on_token(self.index, token).is_break() {
            self.finish = Some(Finish::Cancelled);
        } else if self.tokens.len() - self.prompt == self.max_tokens {
            self.finish = Some(Finish::Length);
        }
    }

    /// Returns the answer if the sequence has ended.
    pub(super) fn take_completion(&mut self) -> Option<Completion> {
        let finish = self.finish.take()?;
        Some(Completion { ids: self.tokens.split_off(self.prompt), finish })
    }
}
