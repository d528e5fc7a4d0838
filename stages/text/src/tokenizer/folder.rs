//! Reads and writes the tokenizer files of a Hugging Face folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{ChatTokenizer, TokenizerError};

const DEFINITION: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const GENERATION: &str = "generation_config.json";
const TEMPLATE: &str = "chat_template.jinja";
/// Where end ids of `generation_config.json` are kept among the configuration; not saved.
pub(super) const EXTRA_STOPS: &str = "flow_extra_stops";

impl ChatTokenizer {
    /// Reads `tokenizer.json`, `tokenizer_config.json`, and `chat_template.jinja` of a folder.
    pub fn from_folder(folder: &Path) -> Result<Self, TokenizerError> {
        let json = read(&folder.join(DEFINITION))?;
        let mut config = object(&folder.join(CONFIG))?.unwrap_or_default();
        // Older folders keep the names of special tokens in a file of their own.
        for (key, value) in object(&folder.join(SPECIAL_TOKENS))?.unwrap_or_default() {
            config.entry(key).or_insert(value);
        }
        if let Some(ids) = object(&folder.join(GENERATION))?.and_then(|mut config| config.remove("eos_token_id")) {
            let ids = if ids.is_array() { ids } else { json!([ids]) };
            config.insert(EXTRA_STOPS.to_owned(), ids);
        }
        let template = optional(&folder.join(TEMPLATE))?.or_else(|| embedded_template(&config));
        Self::assemble(json, config, &template.ok_or(TokenizerError::NoTemplate)?)
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json`, and `chat_template.jinja` into a folder, which is made.
    pub fn save(&self, folder: &Path) -> Result<(), TokenizerError> {
        fs::create_dir_all(folder).map_err(io_error("write", folder))?;
        let mut config = self.config.clone();
        config.remove(EXTRA_STOPS);
        config.remove("chat_template");
        let config =
            serde_json::to_string_pretty(&config).map_err(|source| TokenizerError::Json { path: folder.join(CONFIG), source })?;
        write(&folder.join(DEFINITION), &self.json)?;
        write(&folder.join(CONFIG), &(config + "\n"))?;
        write(&folder.join(TEMPLATE), self.template().source())
    }
}

/// The template inside `tokenizer_config.json`: one text, or a list of named ones.
fn embedded_template(config: &Map<String, Value>) -> Option<String> {
    match config.get("chat_template")? {
        Value::String(source) => Some(source.clone()),
        Value::Array(named) => {
            let default = named.iter().find(|template| template.get("name").and_then(Value::as_str) == Some("default"));
            default?.get("template")?.as_str().map(str::to_owned)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn object(path: &Path) -> Result<Option<Map<String, Value>>, TokenizerError> {
    let parse = |text: String| serde_json::from_str(&text).map_err(|source| TokenizerError::Json { path: path.into(), source });
    optional(path)?.map(parse).transpose()
}

fn optional(path: &Path) -> Result<Option<String>, TokenizerError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path)(error)),
    }
}

fn read(path: &Path) -> Result<String, TokenizerError> {
    fs::read_to_string(path).map_err(io_error("read", path))
}

fn write(path: &Path, text: &str) -> Result<(), TokenizerError> {
    fs::write(path, text).map_err(io_error("write", path))
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TokenizerError {
    let path: PathBuf = path.to_owned();
    move |source| TokenizerError::Io { operation, path, source }
}
