//! A model's tokenizer together with its chat template: the one place where text becomes ids, for training, evaluation,
//! and serving alike.
//!
//! Ids equal those of `transformers`, with one exception on purpose: content never becomes a special token, so a user who
//! writes `<|im_start|>` cannot forge a turn. Leans on [`crate::template`]; files and GGUF parts are in the submodules.

mod folder;
mod guard;
mod parts;
#[cfg(test)]
pub(crate) mod tests;

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use serde_json::{Map, Value};
use tokenizers::Tokenizer;
use xxhash_rust::xxh3::xxh3_128;

pub(crate) use self::guard::{Guard, unused_characters};
pub use self::parts::TokenizerParts;
use crate::{
    record::Message,
    template::{ChatTemplate, GenerationPrompt, TemplateError},
};

/// A tokenizer and the chat template that goes with it.
#[derive(Debug)]
pub struct ChatTokenizer {
    /// Reads special tokens in text as special.
    special: Tokenizer,
    /// Reads them as plain characters.
    plain: Tokenizer,
    template: ChatTemplate,
    guard: Guard,
    /// `tokenizer.json`, digested and saved as it is.
    json: String,
    /// `tokenizer_config.json`.
    config: Map<String, Value>,
    stop_ids: Vec<u32>,
}

/// A tokenizer that could not be loaded or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A file could not be read or written.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// `read` or `write`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file of the tokenizer is not what it should be.
    #[error("cannot parse {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it broke.
        #[source]
        source: serde_json::Error,
    },
    /// The tokenizer library refused the definition.
    #[error("cannot build the tokenizer: {reason}")]
    Build {
        /// Why.
        reason: String,
    },
    /// Neither file nor metadata has a chat template.
    #[error("the model has no chat template")]
    NoTemplate,
    /// A GGUF tokenizer of a kind that is not read.
    #[error("unknown tokenizer model {name:?}; known: \"gpt2\"")]
    UnknownModel {
        /// Its `tokenizer.ggml.model`.
        name: String,
    },
    /// A GGUF pre-tokenizer that is not in the table.
    #[error("unknown pre-tokenizer {name:?}; known: {known}")]
    UnknownPreTokenizer {
        /// Its `tokenizer.ggml.pre`.
        name: String,
        /// The table's names.
        known: String,
    },
    /// Text that could not be encoded, or ids that could not be decoded.
    #[error("cannot {operation}: {reason}")]
    Use {
        /// `encode text` or `decode ids`.
        operation: &'static str,
        /// Why not.
        reason: String,
    },
    /// The chat template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl TokenizerError {
    /// What the reader can do next.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::Json { .. } | Self::Build { .. } => "fetch the model again: its tokenizer files are damaged",
            Self::NoTemplate => "use the instruct version of the model, which has a chat template",
            Self::UnknownModel { .. } | Self::UnknownPreTokenizer { .. } => {
                "use the model's Hugging Face folder, which has a tokenizer.json"
            }
            Self::Use { .. } => "this is a fault of flow, please report it",
            Self::Template(_) => "look at the roles of the conversation: many templates insist on user and assistant in turn",
        }
    }
}

impl ChatTokenizer {
    /// Joins a definition (`tokenizer.json`), a configuration (`tokenizer_config.json`), and a template's source.
    pub(crate) fn assemble(json: String, config: Map<String, Value>, template: &str) -> Result<Self, TokenizerError> {
        let build = |reason: tokenizers::Error| TokenizerError::Build { reason: reason.to_string() };
        let mut special = Tokenizer::from_str(&json).map_err(build)?;
        special.with_truncation(None).map_err(build)?.with_padding(None);
        let mut plain = special.clone();
        plain.set_encode_special_tokens(true);
        let names = special_names(&config);
        let template = ChatTemplate::new(template, names.clone())?;
        let guard = Guard::new(&special).map_err(|e| build(e.into()))?;
        let mut tokenizer = Self { special, plain, template, guard, json, config, stop_ids: Vec::new() };
        tokenizer.stop_ids = tokenizer.find_stop_ids(names.get("eos_token"));
        Ok(tokenizer)
    }

    /// Encodes text in which nothing is special; adds no token of its own.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        encode(&self.plain, text)
    }

    /// Encodes text of a template's author, in which special tokens are special; adds no token of its own.
    pub fn encode_template(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        encode(&self.special, text)
    }

    /// Renders and encodes a conversation up to where the assistant starts to speak.
    pub fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, TokenizerError> {
        let shielded = self.guard.shield(messages);
        let text = self.template.render(&shielded.messages, GenerationPrompt::Add)?;
        self.encode_shielded(&text, shielded.broken_by)
    }

    /// Returns the text of ids, special tokens left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        decode(&self.special, ids, Specials::Skip)
    }

    /// Returns the text of ids, special tokens included.
    pub fn decode_all(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        decode(&self.special, ids, Specials::Keep)
    }

    /// Ids that end an answer: the end-of-sequence token and the template's end-of-turn token, ascending.
    pub fn stop_ids(&self) -> &[u32] {
        &self.stop_ids
    }

    /// The number of tokens, added ones included.
    pub fn vocabulary(&self) -> usize {
        self.special.get_vocab_size(true)
    }

    /// The id of a token by its exact text in the vocabulary.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.special.token_to_id(token)
    }

    /// The chat template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// Digest of the tokenizer's definition: 32 hexadecimal digits.
    pub fn digest(&self) -> String {
        format!("{:032x}", xxh3_128(self.json.as_bytes()))
    }

    /// How many messages hold text that reads like a special token of this model.
    pub fn count_forged(&self, messages: &[Message]) -> usize {
        messages.iter().filter(|message| self.guard.matches(&message.content)).count()
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Encodes a rendering of shielded messages: what the guard broke is put together again, as plain characters.
    pub(crate) fn encode_shielded(&self, text: &str, broken_by: Option<char>) -> Result<Vec<u32>, TokenizerError> {
        let Some(mark) = broken_by else {
            return self.encode_template(text);
        };
        let mut ids = Vec::new();
        let mut rest = 0;
        for (range, id) in self.guard.find(text) {
            let before = text.get(rest..range.start).unwrap_or_default();
            ids.extend(self.encode(&before.replace(mark, ""))?);
            ids.push(id);
            rest = range.end;
        }
        let after = text.get(rest..).unwrap_or_default();
        ids.extend(self.encode(&after.replace(mark, ""))?);
        Ok(ids)
    }

    /// What ends a turn is what a rendering has after the assistant's words.
    fn find_stop_ids(&self, eos: Option<&String>) -> Vec<u32> {
        const ANSWER: &str = "flow";
        let turn = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
        let rendered = self.template.render(&[turn("user", "?"), turn("assistant", ANSWER)], GenerationPrompt::Omit);
        let end_of_turn = rendered.ok().and_then(|text| {
            let (_, after) = text.rsplit_once(ANSWER)?;
            self.guard.find(after).next().map(|(_, id)| id)
        });
        let mut ids: Vec<u32> = eos.and_then(|token| self.token_id(token)).into_iter().chain(end_of_turn).collect();
        ids.extend(self.config.get(folder::EXTRA_STOPS).and_then(Value::as_array).into_iter().flatten().filter_map(as_id));
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, TokenizerError> {
    let fault = |e: tokenizers::Error| TokenizerError::Use { operation: "encode text", reason: e.to_string() };
    Ok(tokenizer.encode_fast(text, false).map_err(fault)?.get_ids().to_vec())
}

/// What becomes of special tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Specials {
    Keep,
    Skip,
}

fn decode(tokenizer: &Tokenizer, ids: &[u32], specials: Specials) -> Result<String, TokenizerError> {
    let fault = |e: tokenizers::Error| TokenizerError::Use { operation: "decode ids", reason: e.to_string() };
    tokenizer.decode(ids, specials == Specials::Skip).map_err(fault)
}

fn as_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// The template's variables: every `*_token` of the configuration, whether written as text or as an object.
fn special_names(config: &Map<String, Value>) -> BTreeMap<String, String> {
    let named = config.iter().filter(|(key, _)| key.ends_with("_token"));
    named
        .filter_map(|(key, value)| {
            let text = value.as_str().or_else(|| value.get("content").and_then(Value::as_str))?;
            Some((key.clone(), text.to_owned()))
        })
        .collect()
}
