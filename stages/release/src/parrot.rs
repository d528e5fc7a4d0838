//! A model that repeats the last message: complete enough to exercise the server and the chat without weights.

use std::{ops::ControlFlow, sync::Arc};

use flow_text::{
    generate::{Completion, Decoder, Finish, Generate, GenerateError, LoadModel, ModelCard, ModelFiles, Sampling},
    record::Message,
};

/// Tokens are the bytes of the text, so that a piece can end inside a character.
pub struct Parrot {
    card: ModelCard,
}

impl Parrot {
    /// A parrot that answers to a name.
    pub fn new(name: &str) -> Self {
        Self { card: ModelCard { name: name.to_owned(), context: 4096, parameters: 0, system: None } }
    }
}

impl LoadModel for Parrot {
    fn load(model: &ModelFiles<'_>) -> Result<Box<dyn Generate>, GenerateError> {
        Ok(Box::new(Self::new(model.name)))
    }
}

impl Generate for Parrot {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, GenerateError> {
        let last = messages.last().ok_or_else(|| GenerateError { message: "there is no message".to_owned(), help: None })?;
        self.encode(&last.content)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, GenerateError> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn decoder(&self) -> Decoder {
        Arc::new(|ids| {
            let bytes: Vec<u8> = ids.iter().filter_map(|id| u8::try_from(*id).ok()).collect();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        })
    }

    fn generate(
        &mut self,
        prompts: &[Vec<u32>],
        sampling: &Sampling,
        on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<Completion>, GenerateError> {
        Ok(prompts.iter().enumerate().map(|(index, prompt)| repeat((index, prompt), sampling, on_token)).collect())
    }
}

fn repeat(
    (index, prompt): (usize, &[u32]),
    sampling: &Sampling,
    on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
) -> Completion {
    let mut ids = Vec::new();
    for id in prompt.iter().take(sampling.max_tokens) {
        ids.push(*id);
        if on_token(index, *id).is_break() {
            return Completion { ids, finish: Finish::Cancelled };
        }
    }
    let finish = if ids.len() < prompt.len() { Finish::Length } else { Finish::Stop };
    Completion { ids, finish }
}
