//! `POST /v1/chat/completions`.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    response::Response,
};

use super::{
    Shared,
    error::ApiError,
    reply::{self, Shape},
    types::{ChatRequest, Stops},
    worker::{Ask, Input},
};
use flow_text::generate::Sampling;

pub(super) async fn handle(State(shared): State<Shared>, body: Result<Json<ChatRequest>, JsonRejection>) -> Response {
    let request = match body {
        Ok(Json(request)) => request,
        Err(rejection) => return reply::refuse(&shared, reply::malformed(&rejection)),
    };
    let shape = Shape::chat(request.stream, request.stream_options);
    match ask(&shared, request) {
        Ok(ask) => reply::answer(shared, ask, shape).await,
        Err(error) => reply::refuse(&shared, error),
    }
}

fn ask(shared: &Shared, request: ChatRequest) -> Result<Ask, ApiError> {
    check_model(shared, request.model)?;
    check_count(request.n)?;
    if request.messages.is_empty() {
        return Err(ApiError::invalid("messages", "there must be at least one message"));
    }
    let sampling = Sampling {
        max_tokens: limit(request.max_completion_tokens.or(request.max_tokens))?,
        temperature: in_range("temperature", request.temperature.unwrap_or(0.0), 2.0)?,
        top_p: in_range("top_p", request.top_p.unwrap_or(1.0), 1.0)?,
        seed: request.seed.unwrap_or(0),
    };
    let messages = request.messages.into_iter().map(Into::into).collect();
    Ok(Ask { input: Input::Chat(messages), sampling, stops: stops(request.stop)? })
}

pub(super) fn check_model(shared: &Shared, asked: Option<String>) -> Result<(), ApiError> {
    let known = |asked: &str| *asked == *shared.model || shared.reference.as_deref() == Some(asked);
    match asked {
        Some(asked) if !known(&asked) => Err(ApiError::UnknownModel { asked, served: shared.model.to_string() }),
        _ => Ok(()),
    }
}

pub(super) fn check_count(n: Option<u32>) -> Result<(), ApiError> {
    if n.is_none_or(|n| n == 1) { Ok(()) } else { Err(ApiError::invalid("n", "one answer a request is what this server gives")) }
}

pub(super) fn limit(asked: Option<u32>) -> Result<usize, ApiError> {
    match asked {
        Some(0) => Err(ApiError::invalid("max_tokens", "expected at least 1")),
        // The model's context bounds an answer whose length nobody asked for.
        asked => Ok(asked.map_or(usize::MAX, |asked| asked as usize)),
    }
}

pub(super) fn in_range(name: &'static str, value: f32, high: f32) -> Result<f32, ApiError> {
    if (0.0..=high).contains(&value) {
        Ok(value)
    } else {
        Err(ApiError::invalid(name, format!("expected 0 to {high}, got {value}")))
    }
}

pub(super) fn stops(asked: Option<Stops>) -> Result<Vec<String>, ApiError> {
    let stops = asked.map(Stops::into_vec).unwrap_or_default();
    if stops.len() > 4 || stops.iter().any(String::is_empty) {
        return Err(ApiError::invalid("stop", "expected up to four texts, none empty"));
    }
    Ok(stops)
}
