//! The port to models: what `chat`, `generate`, `serve`, `models`, and `data` need, implemented where models are known.
//!
//! References are `NAME@ALIAS`, `NAME@VERSION`, `registry:…`, `pip:…`, `file:…`, or `hf:…`; this crate passes them on unread.

use std::{
    io::{BufRead, Write},
    net::SocketAddr,
};

use flow_engine::{StageError, context::Site};
use serde::Serialize;

/// Opens, serves, and lists models.
///
/// An error of kind `Input` is the person's to mend (no such model, a refused address) and ends with exit code 2.
pub trait ModelHost: Send + Sync {
    /// Talks with a model until `input` ends. Every answer is flushed piece by piece.
    fn chat(&self, site: &Site, request: &ChatRequest, terminal: Terminal<'_>) -> Result<(), StageError>;

    /// Continues one prompt; `on_text` gets the answer piece by piece, in whole characters.
    fn generate(&self, site: &Site, request: &GenerateRequest, on_text: &mut dyn FnMut(&str)) -> Result<Generated, StageError>;

    /// Answers HTTP until the process is asked to stop; `on_ready` gets the bound address once requests are answered.
    fn serve(&self, site: &Site, request: &ServeRequest, on_ready: &mut dyn FnMut(SocketAddr)) -> Result<(), StageError>;

    /// Every version in the registry, by name, newest version first.
    fn models(&self, site: &Site) -> Result<Vec<ModelRow>, StageError>;

    /// One version in full.
    fn model(&self, site: &Site, reference: &str) -> Result<ModelDetails, StageError>;

    /// Rows of a `tokens` artifact as text, with what a model is trained to say.
    fn tokens(&self, site: &Site, request: &TokensRequest) -> Result<ShownTokens, StageError>;
}

/// Where a chat reads and writes.
pub struct Terminal<'a> {
    /// What the person types, line by line.
    pub input: &'a mut dyn BufRead,
    /// What the person reads.
    pub output: &'a mut dyn Write,
    /// Whether a person sits there, so that prompts and hints make sense.
    pub interactive: bool,
}

/// How answers are chosen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// Tokens of an answer at most.
    pub max_tokens: usize,
    /// 0 is greedy.
    pub temperature: f32,
    /// Smallest set of tokens with at least this probability; 1 keeps all.
    pub top_p: f32,
    /// Seed of the draws.
    pub seed: u64,
}

/// A conversation to hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChatRequest {
    /// The model.
    pub reference: String,
    /// What the model is told first.
    pub system: Option<String>,
    /// How answers are chosen.
    pub choice: Choice,
}

/// One prompt to continue.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GenerateRequest {
    /// The model.
    pub reference: String,
    /// What the model is told first.
    pub system: Option<String>,
    /// What the person says.
    pub prompt: String,
    /// Whether the prompt is continued as it stands, without the model's chat template.
    pub raw: bool,
    /// How the answer is chosen.
    pub choice: Choice,
}

/// What came of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Generated {
    /// The whole answer.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Why it ended: `stop` or `length`.
    pub finish: String,
}

/// A server to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServeRequest {
    /// The model.
    pub reference: String,
    /// The address to listen on; port 0 takes a free one.
    pub bind: SocketAddr,
    /// The environment variable that holds the key callers must send.
    pub api_key_env: Option<String>,
}

/// Rows of tokens to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokensRequest {
    /// The artifact.
    pub path: std::path::PathBuf,
    /// The model whose tokenizer made it.
    pub model: String,
    /// So many rows from the start, unless some are named.
    pub rows: usize,
    /// The names of rows.
    pub named: Vec<String>,
}

/// Rows of tokens as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownTokens {
    /// Rows of the artifact.
    pub rows: usize,
    /// The rows that were asked for.
    pub chosen: Vec<ShownRow>,
}

/// One row of tokens as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownRow {
    /// Its name.
    pub row_id: String,
    /// Its tokens.
    pub tokens: usize,
    /// Those that a model is trained to say.
    pub trained: usize,
    /// Its text from first to last.
    pub spans: Vec<ShownSpan>,
}

/// Tokens in a row that are all trained, or all only read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownSpan {
    /// Their text.
    pub text: String,
    /// How many there are.
    pub tokens: usize,
    /// Whether a model is trained to say them.
    pub trained: bool,
}

/// One version as a line of `flow models ls`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelRow {
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// The aliases that point at this version.
    pub aliases: Vec<String>,
    /// The model it was made from.
    pub base: Option<String>,
    /// When it was registered, RFC 3339 in UTC.
    pub created: String,
    /// Content bytes.
    pub bytes: u64,
    /// Headline metrics by name.
    pub metrics: std::collections::BTreeMap<String, f64>,
}

/// One version as `flow models show` tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelDetails {
    /// The line of the list.
    pub row: ModelRow,
    /// Where its files lie.
    pub folder: std::path::PathBuf,
    /// `version.json`: identity, lineage, base and pin, metrics, gates, licence.
    pub version: serde_json::Value,
    /// The model card, Markdown.
    pub card: String,
}
