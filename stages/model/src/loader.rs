//! Opens a model together with its tokenizer, whatever kind of file it is.

use std::{path::Path, sync::Arc};

use flow_text::{
    generate::{Generate, GenerateError, LoadModel, ModelFiles},
    tokenizer::{ChatTokenizer, TokenizerParts},
};

use crate::{
    Checkpoint, ModelError,
    generator::Generator,
    gguf::{Gguf, Value},
    weights::Source,
};

/// A model on disk, opened but not yet on a device.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its weights, mapped.
    pub checkpoint: Checkpoint,
    /// Its tokenizer and chat template.
    pub tokenizer: Arc<ChatTokenizer>,
}

/// Opens a GGUF file or a Hugging Face folder.
pub fn open(path: &Path) -> Result<Opened, ModelError> {
    let checkpoint = Checkpoint::open(path)?;
    let built = match checkpoint.source() {
        Source::Gguf(gguf) => ChatTokenizer::from_parts(&parts(gguf)?),
        Source::Folder => ChatTokenizer::from_folder(path),
    };
    let tokenizer = Arc::new(built.map_err(|error| unusable(path, chain(&error)))?);
    let (known, rows) = (tokenizer.vocabulary(), checkpoint.config().vocab_size);
    if known > rows {
        return Err(unusable(path, format!("it has {known} tokens, the model {rows}")));
    }
    Ok(Opened { checkpoint, tokenizer })
}

/// Opens models for generation on the processor.
#[derive(Clone, Copy, Debug)]
pub struct Loader;

impl LoadModel for Loader {
    fn load(model: &ModelFiles<'_>) -> Result<Box<dyn Generate>, GenerateError> {
        let opened = open(model.base)?;
        Ok(Box::new(Generator::new(model.name, &opened, model.adapter)?))
    }
}

fn unusable(path: &Path, reason: String) -> ModelError {
    ModelError::Tokenizer { path: path.to_owned(), reason }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Takes the tokenizer out of a GGUF file's metadata.
fn parts(gguf: &Gguf) -> Result<TokenizerParts, ModelError> {
    let texts = |key: &str| -> Option<Vec<String>> {
        let list = gguf.value(key)?.as_list()?;
        list.iter().map(|value| value.as_text().map(str::to_owned)).collect()
    };
    let missing = |key: &str| unusable(gguf.path(), format!("metadata {key} is missing or not what it should be"));
    let required = |key: &str| texts(key).ok_or_else(|| missing(key));
    let text = |key: &str| gguf.text(key).map(str::to_owned).ok_or_else(|| missing(key));
    let id = |key: &str| gguf.number(key).and_then(|number| u32::try_from(number).ok());
    Ok(TokenizerParts {
        model: text("tokenizer.ggml.model")?,
        pre: text("tokenizer.ggml.pre")?,
        tokens: required("tokenizer.ggml.tokens")?,
        merges: required("tokenizer.ggml.merges")?,
        token_types: token_types(gguf).ok_or_else(|| missing("tokenizer.ggml.token_type"))?,
        bos: id("tokenizer.ggml.bos_token_id"),
        eos: id("tokenizer.ggml.eos_token_id"),
        unk: id("tokenizer.ggml.unknown_token_id"),
        pad: id("tokenizer.ggml.padding_token_id"),
        add_bos: gguf.flag("tokenizer.ggml.add_bos_token").unwrap_or(false),
        chat_template: gguf.text("tokenizer.chat_template").map(str::to_owned),
    })
}

/// Reads token types; a file without them has none.
fn token_types(gguf: &Gguf) -> Option<Vec<i32>> {
    let Some(value) = gguf.value("tokenizer.ggml.token_type") else { return Some(Vec::new()) };
    let kind = |value: &Value| value.as_u64().and_then(|number| i32::try_from(number).ok());
    value.as_list()?.iter().map(kind).collect()
}
