//! The port through which evaluation, chat, and the server ask a model for text, whatever runs it.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use crate::record::Message;

/// A model that continues token sequences.
pub trait Generate: Send {
    /// What the model is.
    fn card(&self) -> &ModelCard;

    /// Renders a conversation with the model's own chat template, generation prompt included, and encodes it.
    fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, GenerateError>;

    /// Encodes plain text, special tokens off.
    fn encode(&self, text: &str) -> Result<Vec<u32>, GenerateError>;

    /// Decodes ids to text, special tokens skipped.
    fn decode(&self, ids: &[u32]) -> Result<String, GenerateError> {
        (self.decoder())(ids)
    }

    /// The function behind [`Generate::decode`], to be called while the model is busy generating.
    fn decoder(&self) -> Decoder;

    /// Continues every prompt until a stop token, a limit, or [`ControlFlow::Break`] from `on_token` (prompt index, id).
    /// Greedy output does not depend on the other prompts of the batch.
    fn generate(
        &mut self,
        prompts: &[Vec<u32>],
        sampling: &Sampling,
        on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<Completion>, GenerateError>;
}

/// Decodes ids to text, special tokens skipped.
pub type Decoder = Arc<dyn Fn(&[u32]) -> Result<String, GenerateError> + Send + Sync>;

/// Opens a model for generation. The composition root says which one.
pub trait LoadModel: Send + Sync + 'static {
    /// Opens the model that the files describe.
    fn load(model: &ModelFiles<'_>) -> Result<Box<dyn Generate>, GenerateError>;
}

/// Where a model lies.
#[derive(Clone, Copy, Debug)]
pub struct ModelFiles<'a> {
    /// The name it answers to.
    pub name: &'a str,
    /// A GGUF file or a Hugging Face folder.
    pub base: &'a Path,
    /// A PEFT folder to lay over it.
    pub adapter: Option<&'a Path>,
}

/// What a loaded model is.
#[derive(Clone, Debug)]
pub struct ModelCard {
    /// The name it answers to.
    pub name: String,
    /// Longest sequence in tokens, prompt and answer together.
    pub context: usize,
    /// Parameters in all, adapter included.
    pub parameters: u64,
    /// The system message that it was fine-tuned under, if there was one.
    pub system: Option<String>,
}

impl ModelCard {
    /// Opens a conversation as in training: under the model's own system message, unless the caller brought one. An empty one
    /// is left out, so that a caller can ask for none.
    pub fn open_as_trained(&self, mut messages: Vec<Message>) -> Vec<Message> {
        match (messages.first().filter(|message| message.role == "system"), &self.system) {
            (Some(opening), _) if opening.content.is_empty() => {
                messages.remove(0);
            }
            (None, Some(system)) => messages.insert(0, Message { role: "system".to_owned(), content: system.clone() }),
            (Some(_), _) | (None, None) => {}
        }
        messages
    }
}

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Tokens to produce at most.
    pub max_tokens: usize,
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus: smallest set of tokens with at least this probability; 1 keeps all.
    pub top_p: f32,
    /// Seed of the draws.
    pub seed: u64,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Produced ids, the stop token left out.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model said so.
    Stop,
    /// The limit or the context was reached.
    Length,
    /// The caller asked.
    Cancelled,
}

/// A model that could not be opened or run.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct GenerateError {
    /// What failed and on which object: lower case, no period.
    pub message: String,
    /// What the reader can do next.
    pub help: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, content: &str) -> Message {
        Message { role: role.to_owned(), content: content.to_owned() }
    }

    #[test]
    fn a_conversation_opens_as_in_training_unless_the_caller_says_otherwise() {
        let card = ModelCard { name: "m".to_owned(), context: 8, parameters: 0, system: Some("Triage.".to_owned()) };
        let (asked, own, none) = (message("user", "hi"), message("system", "Sing."), message("system", ""));
        assert_eq!(card.open_as_trained(vec![asked.clone()]), [message("system", "Triage."), asked.clone()]);
        assert_eq!(card.open_as_trained(vec![own.clone(), asked.clone()]), [own, asked.clone()]);
        assert_eq!(card.open_as_trained(vec![none, asked.clone()]), [asked]);
    }
}
