//! The domain in pure Rust: records, chat templates, tokenizing, PII, bias, near-duplicates, and scores. No I/O but for
//! reading a tokenizer file, no engine, no heavy dependency.

pub mod generate;
pub mod record;
