//! Builds a tokenizer from the metadata of a GGUF file: byte-level BPE, whose pre-tokenizer is given only by a name.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{ChatTokenizer, TokenizerError};

/// `tokenizer.ggml.token_type` of special tokens.
const CONTROL: i32 = 3;
/// `tokenizer.ggml.token_type` of tokens that are matched whole but are not special.
const USER_DEFINED: i32 = 4;

/// Splits as Llama 3 does.
const LLAMA_3: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same, with digits one by one.
const QWEN_2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The tokenizer as a GGUF file's metadata has it.
#[derive(Clone, Debug, Default)]
pub struct TokenizerParts {
    /// `tokenizer.ggml.model`; byte-level BPE is called `gpt2`.
    pub model: String,
    /// `tokenizer.ggml.pre`.
    pub pre: String,
    /// The vocabulary in id order.
    pub tokens: Vec<String>,
    /// Merges by rank, two tokens joined by a space.
    pub merges: Vec<String>,
    /// One type a token; empty where every token is an ordinary one.
    pub token_types: Vec<i32>,
    /// Beginning of a sequence.
    pub bos: Option<u32>,
    /// End of a sequence.
    pub eos: Option<u32>,
    /// What stands for the unknown.
    pub unk: Option<u32>,
    /// Fills batches up.
    pub pad: Option<u32>,
    /// Whether plain text starts with `bos`.
    pub add_bos: bool,
    /// The Jinja source of the chat template.
    pub chat_template: Option<String>,
}

/// How text is cut before merges apply.
struct PreTokenizer {
    name: &'static str,
    /// In `tokenizer.json`'s terms.
    definition: fn() -> Value,
    normalizer: Option<&'static str>,
    ignore_merges: bool,
}

const PRE_TOKENIZERS: [PreTokenizer; 4] = [
    PreTokenizer { name: "smollm", definition: smollm, normalizer: None, ignore_merges: false },
    PreTokenizer { name: "gpt-2", definition: gpt2, normalizer: None, ignore_merges: false },
    PreTokenizer { name: "llama-bpe", definition: || split(LLAMA_3), normalizer: None, ignore_merges: true },
    PreTokenizer { name: "qwen2", definition: || split(QWEN_2), normalizer: Some("NFC"), ignore_merges: false },
];

fn byte_level(own_pattern: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": own_pattern})
}

fn gpt2() -> Value {
    byte_level(true)
}

fn smollm() -> Value {
    json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, byte_level(true)]})
}

fn split(pattern: &str) -> Value {
    let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    json!({"type": "Sequence", "pretokenizers": [split, byte_level(false)]})
}

impl ChatTokenizer {
    /// Builds the tokenizer that a GGUF file describes.
    pub fn from_parts(parts: &TokenizerParts) -> Result<Self, TokenizerError> {
        if parts.model != "gpt2" {
            return Err(TokenizerError::UnknownModel { name: parts.model.clone() });
        }
        let Some(pre) = PRE_TOKENIZERS.iter().find(|pre| pre.name == parts.pre) else {
            let known: Vec<String> = PRE_TOKENIZERS.iter().map(|pre| format!("{:?}", pre.name)).collect();
            return Err(TokenizerError::UnknownPreTokenizer { name: parts.pre.clone(), known: known.join(", ") });
        };
        let template = parts.chat_template.as_deref().ok_or(TokenizerError::NoTemplate)?;
        Self::assemble(parts.definition(pre)?.to_string(), parts.config()?, template)
    }
}

impl TokenizerParts {
    /// The content of `tokenizer.json`.
    fn definition(&self, pre: &PreTokenizer) -> Result<Value, TokenizerError> {
        let model = json!({
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": pre.ignore_merges,
            "vocab": self.vocabulary()?,
            "merges": self.merge_pairs()?,
        });
        Ok(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added_tokens()?,
            "normalizer": pre.normalizer.map(|name| json!({"type": name})),
            "pre_tokenizer": (pre.definition)(),
            "post_processor": self.post_processor()?,
            "decoder": byte_level(true),
            "model": model,
        }))
    }

    /// The content of `tokenizer_config.json`.
    fn config(&self) -> Result<Map<String, Value>, TokenizerError> {
        let mut config = Map::new();
        config.insert("add_bos_token".to_owned(), self.add_bos.into());
        config.insert("add_prefix_space".to_owned(), false.into());
        config.insert("clean_up_tokenization_spaces".to_owned(), false.into());
        config.insert("tokenizer_class".to_owned(), "PreTrainedTokenizerFast".into());
        let named = [("bos_token", self.bos), ("eos_token", self.eos), ("unk_token", self.unk), ("pad_token", self.pad)];
        for (name, id) in named {
            if let Some(id) = id {
                config.insert(name.to_owned(), self.token(id)?.into());
            }
        }
        Ok(config)
    }

    fn vocabulary(&self) -> Result<Map<String, Value>, TokenizerError> {
        if u32::try_from(self.tokens.len()).is_err() {
            return Err(invalid(format!("{} tokens are more than 32 bits can number", self.tokens.len())));
        }
        let vocabulary: Map<String, Value> =
            self.tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
        if vocabulary.len() == self.tokens.len() {
            Ok(vocabulary)
        } else {
            Err(invalid(format!("{} of {} tokens are there twice", self.tokens.len() - vocabulary.len(), self.tokens.len())))
        }
    }

    fn merge_pairs(&self) -> Result<Vec<Value>, TokenizerError> {
        let pair = |merge: &String| {
            let (left, right) = merge.split_once(' ').ok_or_else(|| invalid(format!("merge {merge:?} has no space")))?;
            Ok(json!([left, right]))
        };
        self.merges.iter().map(pair).collect()
    }

    fn added_tokens(&self) -> Result<Vec<Value>, TokenizerError> {
        if !self.token_types.is_empty() && self.token_types.len() != self.tokens.len() {
            return Err(invalid(format!("{} token types for {} tokens", self.token_types.len(), self.tokens.len())));
        }
        let named: BTreeSet<u32> = [self.bos, self.eos, self.unk, self.pad].into_iter().flatten().collect();
        let mut added = Vec::new();
        for (id, token) in (0..).zip(&self.tokens) {
            let kind = usize::try_from(id).ok().and_then(|at| self.token_types.get(at)).copied();
            let special = kind == Some(CONTROL) || named.contains(&id);
            if special || kind == Some(USER_DEFINED) {
                added.push(json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": special,
                }));
            }
        }
        Ok(added)
    }

    fn post_processor(&self) -> Result<Value, TokenizerError> {
        let Some(id) = self.bos.filter(|_| self.add_bos) else {
            return Ok(byte_level(true));
        };
        let token = self.token(id)?;
        let bos = json!({"SpecialToken": {"id": token, "type_id": 0}});
        let sequence = |name: &str, kind: u32| json!({"Sequence": {"id": name, "type_id": kind}});
        let mut specials = Map::new();
        specials.insert(token.to_owned(), json!({"id": token, "ids": [id], "tokens": [token]}));
        Ok(json!({
            "type": "TemplateProcessing",
            "single": [bos, sequence("A", 0)],
            "pair": [bos, sequence("A", 0), sequence("B", 1)],
            "special_tokens": specials,
        }))
    }

    fn token(&self, id: u32) -> Result<&str, TokenizerError> {
        let token = usize::try_from(id).ok().and_then(|at| self.tokens.get(at));
        token.map(String::as_str).ok_or_else(|| invalid(format!("special token {id} is not among {} tokens", self.tokens.len())))
    }
}

fn invalid(reason: String) -> TokenizerError {
    TokenizerError::Build { reason }
}
