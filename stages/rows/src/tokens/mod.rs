//! The `tokens` artifact: one encoded example a row, uncompressed, so that a trainer maps it and reads any row in place.

mod map;
mod read;
mod write;

use std::sync::Arc;

use arrow2::datatypes::{ArrowDataType, ArrowSchema, ArrowSchemaRef, Field, Metadata};

pub use read::TokensReader;
pub use write::TokensWriter;

/// What this module's columns hold, for messages.
const TOKENS: &str = "tokens";
const TOKENIZER: &str = "flow.tokenizer";
const TEMPLATE: &str = "flow.template";
const MAX_LENGTH: &str = "flow.max_length";
const SYSTEM: &str = "flow.system";

/// How the tokens were made; kept in every part's footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensMeta {
    /// Digest of the tokenizer.
    pub tokenizer: String,
    /// Digest of the chat template.
    pub template: String,
    /// Longest sequence allowed.
    pub max_length: u64,
    /// The system message that every conversation opens with, when they all open with the same.
    pub system: Option<String>,
}

/// One encoded example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRow<'a> {
    /// The record it came from.
    pub row_id: &'a str,
    /// Token ids.
    pub input_ids: &'a [u32],
    /// The id to predict at each position, or -100 where there is no loss.
    pub labels: &'a [i32],
}

/// The columns of a `tokens` artifact.
fn schema() -> ArrowSchemaRef {
    let fields = [
        Field::new("row_id".into(), ArrowDataType::LargeUtf8, false),
        Field::new("input_ids".into(), list(ArrowDataType::UInt32), false),
        Field::new("labels".into(), list(ArrowDataType::Int32), false),
    ];
    Arc::new(ArrowSchema::from_iter(fields.map(|field| (field.name.clone(), field))))
}

fn list(item: ArrowDataType) -> ArrowDataType {
    ArrowDataType::LargeList(Box::new(Field::new("item".into(), item, false)))
}

impl TokensMeta {
    fn to_footer(&self) -> Metadata {
        let pairs =
            [(TOKENIZER, self.tokenizer.clone()), (TEMPLATE, self.template.clone()), (MAX_LENGTH, self.max_length.to_string())];
        let system = self.system.clone().map(|system| (SYSTEM, system));
        pairs.into_iter().chain(system).map(|(key, value)| (key.into(), value.into())).collect()
    }

    fn from_footer(footer: &Metadata) -> Option<Self> {
        let text = |key| footer.get(key).map(ToString::to_string);
        Some(Self {
            tokenizer: text(TOKENIZER)?,
            template: text(TEMPLATE)?,
            max_length: text(MAX_LENGTH)?.parse().ok()?,
            system: text(SYSTEM),
        })
    }
}
