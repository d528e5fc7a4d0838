//! An OpenAI-compatible server over one model: chat and text completions, streamed or whole.
//!
//! Handlers parse and answer; the one `worker::Worker` thread owns the model. The renderer is the model's own, so a greedy
//! answer equals what evaluation recorded.

mod assembler;
mod auth;
mod chat;
mod completion;
mod error;
mod metrics;
mod reply;
mod types;
mod worker;

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    middleware,
    routing::{get, post},
};
use flow_text::generate::Generate;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub use auth::ApiKey;
use metrics::Metrics;
use worker::Worker;

/// What every handler shares.
#[derive(Clone)]
struct Shared {
    model: Arc<str>,
    /// What it was asked for by, where that differs: an alias, say.
    reference: Option<Arc<str>>,
    created: u64,
    worker: Worker,
    metrics: Arc<Metrics>,
}

/// Why a server could not start or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Other machines could reach the server and nothing would check who asks.
    #[error("{address} can be reached from other machines and no API key is set")]
    OpenToAll {
        /// What was asked for.
        address: SocketAddr,
    },
    /// The connection loop failed.
    #[error("the server stopped")]
    Io(#[from] io::Error),
}

/// A bound socket, not serving yet: its port is known.
pub struct Bound {
    listener: TcpListener,
    key: Option<ApiKey>,
    reference: Option<Arc<str>>,
}

impl Bound {
    /// Binds an address; port 0 takes a free one. An address beyond loopback needs a key.
    pub async fn bind(address: SocketAddr, key: Option<ApiKey>) -> Result<Self, ServeError> {
        if !address.ip().is_loopback() && key.is_none() {
            return Err(ServeError::OpenToAll { address });
        }
        let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })?;
        Ok(Self { listener, key, reference: None })
    }

    /// Lets clients also name the model as the person who serves it did: by an alias, for one.
    #[must_use]
    pub fn known_as(self, reference: &str) -> Self {
        Self { reference: Some(reference.into()), ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves the model until `stop` resolves; requests under way are answered first.
    pub async fn serve(
        self,
        model: Box<dyn Generate>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let router = router(model, self.reference, self.key);
        Ok(axum::serve(self.listener, router).with_graceful_shutdown(stop).await?)
    }
}

fn router(model: Box<dyn Generate>, reference: Option<Arc<str>>, key: Option<ApiKey>) -> Router {
    let created = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
    let shared = Shared {
        model: model.card().name.as_str().into(),
        reference,
        created,
        worker: Worker::start(model),
        metrics: Arc::new(Metrics::default()),
    };
    let api = Router::new()
        .route("/v1/chat/completions", post(chat::handle))
        .route("/v1/completions", post(completion::handle))
        .route("/v1/models", get(models))
        .layer(middleware::from_fn_with_state(key, auth::check));
    let open = Router::new().route("/health", get(health)).route("/metrics", get(metrics_page));
    api.merge(open).with_state(shared)
}

async fn models(State(shared): State<Shared>) -> Json<Value> {
    let model = json!({"id": &*shared.model, "object": "model", "created": shared.created, "owned_by": "flow"});
    Json(json!({"object": "list", "data": [model]}))
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

async fn metrics_page(State(shared): State<Shared>) -> String {
    shared.metrics.render()
}

#[cfg(test)]
mod tests;
