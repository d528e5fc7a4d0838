//! Tensors: open a language model, teach it with `LoRA`, and let it write. The only crate that names burn.
//!
//! `weights` opens GGUF files and Hugging Face folders without copying them; `network` is the differentiable model that
//! training and scoring use; `adapter` holds the trainable low-rank part; `generator` decodes text on the processor straight
//! from the stored weights. Text, templates, and scores are `flow-text`'s; rows and tokens on disk are `flow-rows`'s.

pub mod adapter;
mod base;
pub mod batch;
mod chat_defaults;
pub mod checkpoint;
pub mod device;
pub mod error;
pub mod evaluate;
pub mod generator;
pub mod gguf;
pub mod labels;
pub mod loader;
pub mod loss;
pub mod merge;
pub mod network;
pub mod optimizer;
pub mod pack;
mod ranges;
pub mod rng;
pub mod schedule;
pub mod tokenize;
pub mod train;
pub mod weights;

pub use adapter::{Adapter, AdapterKind, LayerAdapter, Lora, LoraConfig, Pattern, Scaling, Site, Target};
pub use error::ModelError;
pub use loader::{Loader, Opened, open};
pub use network::{Context, Dropout, Network, Padding};
pub use weights::{Checkpoint, Family, ModelConfig, Wiring};

/// Adds the stages of this crate.
#[must_use]
pub fn register(registry: flow_engine::StageRegistry) -> flow_engine::StageRegistry {
    registry.with::<tokenize::Tokenize>().with::<train::Sft>().with::<evaluate::Suite>()
}
