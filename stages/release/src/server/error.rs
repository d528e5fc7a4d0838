//! Refusals in the shape that OpenAI clients understand.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use flow_text::generate::GenerateError;
use serde_json::json;

/// Why a request was refused.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The body is not what the endpoint takes; names the parameter where there is one.
    Invalid { message: String, param: Option<&'static str> },
    /// The key is missing or wrong.
    Unauthorized,
    /// The model is not the one served.
    UnknownModel { asked: String, served: String },
    /// The queue is full.
    Busy,
    /// The model failed.
    Failed(String),
}

impl ApiError {
    pub(super) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: Some(param) }
    }

    fn parts(self) -> (StatusCode, &'static str, String, Option<&'static str>) {
        match self {
            Self::Invalid { message, param } => (StatusCode::BAD_REQUEST, "invalid_request_error", message, param),
            Self::Unauthorized => {
                let message = "send the server's key as `Authorization: Bearer KEY`".to_owned();
                (StatusCode::UNAUTHORIZED, "authentication_error", message, None)
            }
            Self::UnknownModel { asked, served } => {
                let message = format!("the model {asked:?} is not served here; this server has {served:?}");
                (StatusCode::NOT_FOUND, "invalid_request_error", message, Some("model"))
            }
            Self::Busy => {
                let message = "the queue is full; try again in a second".to_owned();
                (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message, None)
            }
            Self::Failed(message) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", message, None),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, kind, message, param) = self.parts();
        let body = Json(json!({"error": {"message": message, "type": kind, "param": param, "code": null}}));
        if status == StatusCode::TOO_MANY_REQUESTS {
            return (status, [(header::RETRY_AFTER, "1")], body).into_response();
        }
        (status, body).into_response()
    }
}

impl From<GenerateError> for ApiError {
    fn from(error: GenerateError) -> Self {
        Self::Failed(error.to_string())
    }
}
