//! The domain in pure Rust: records, chat templates, tokenizing, PII, bias, near-duplicates, and scores. No I/O but for
//! reading a tokenizer file, no engine, no heavy dependency.

pub mod bias;
pub mod clean;
pub mod dedup;
pub mod encode;
pub mod generate;
pub mod pii;
pub mod record;
pub mod score;
pub mod shingle;
pub mod template;
pub mod tokenizer;
