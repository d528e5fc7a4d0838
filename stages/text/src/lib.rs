//! The domain in pure Rust: records, chat templates, tokenizing, languages, quality, licences, PII, bias, near-duplicates,
//! and scores. No I/O but for reading a tokenizer file, no engine, no heavy dependency.

pub mod bias;
pub mod clean;
pub mod contract;
pub mod decontaminate;
pub mod dedup;
pub mod encode;
pub mod generate;
pub mod language;
pub mod licence;
pub mod pii;
pub mod quality;
pub mod record;
pub mod score;
pub mod secrets;
pub mod shingle;
pub mod template;
pub mod tokenizer;
pub mod words;
