//! The canonical record: what every data stage reads and writes, whatever shape the source had.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One training or evaluation example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// xxh3-128 of source name, canonical record, and repeat number; 32 hexadecimal digits. It never changes on the way.
    pub row_id: String,
    /// The source's name in `data/ingest`.
    pub source: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// Every other field of the source row, by name; key order is the source's.
    pub meta: Map<String, Value>,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or `tool`.
    pub role: String,
    /// What was said.
    pub content: String,
}
