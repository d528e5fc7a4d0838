//! Release: where models come from, who approved them, where they are registered, and how they are served. The only crate
//! that names axum. It runs no model itself: whoever composes the binary says how one is loaded.

pub mod approve;
pub mod card;
pub mod chat;
pub mod models;
pub mod open;
pub mod parrot;
pub mod push;
pub mod serve;
pub mod server;
pub mod sources;

use std::sync::Arc;

use flow_engine::StageRegistry;
use flow_text::generate::LoadModel;

/// Adds the stages and source resolvers of this crate.
#[must_use]
pub fn register<L: LoadModel>(registry: StageRegistry) -> StageRegistry {
    registry
        .with::<approve::Approve>()
        .with::<push::Push>()
        .with::<serve::ServeHttp<L>>()
        .with_resolver(Arc::new(sources::PipResolver))
        .with_resolver(Arc::new(sources::FileResolver))
        .with_resolver(Arc::new(sources::HubResolver))
        .with_resolver(Arc::new(sources::RegistryResolver))
}
