//! One shared API key, compared in constant time.

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::error::ApiError;

/// The digest of an API key; the key itself is not kept.
#[derive(Clone)]
pub struct ApiKey(blake3::Hash);

impl ApiKey {
    /// Wraps a key.
    pub fn new(key: &str) -> Self {
        Self(blake3::hash(key.as_bytes()))
    }

    fn matches(&self, given: &str) -> bool {
        // `blake3::Hash` compares in constant time.
        self.0 == blake3::hash(given.as_bytes())
    }
}

pub(super) async fn check(State(key): State<Option<ApiKey>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    match key {
        Some(key) if !given.is_some_and(|given| key.matches(given)) => ApiError::Unauthorized.into_response(),
        _ => next.run(request).await,
    }
}
