//! `POST /v1/completions`: plain text or token ids, no chat template.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    response::Response,
};
use flow_text::generate::Sampling;

use super::{
    Shared,
    chat::{check_count, check_model, in_range, limit, stops},
    error::ApiError,
    reply::{self, Shape},
    types::{CompletionRequest, Prompt},
    worker::{Ask, Input},
};

pub(super) async fn handle(State(shared): State<Shared>, body: Result<Json<CompletionRequest>, JsonRejection>) -> Response {
    let request = match body {
        Ok(Json(request)) => request,
        Err(rejection) => return reply::refuse(&shared, reply::malformed(&rejection)),
    };
    let shape = Shape::text(request.stream, request.stream_options);
    match ask(&shared, request) {
        Ok(ask) => reply::answer(shared, ask, shape).await,
        Err(error) => reply::refuse(&shared, error),
    }
}

fn ask(shared: &Shared, request: CompletionRequest) -> Result<Ask, ApiError> {
    check_model(shared, request.model)?;
    check_count(request.n)?;
    let sampling = Sampling {
        // The API's own default for this endpoint.
        max_tokens: limit(request.max_tokens.or(Some(16)))?,
        temperature: in_range("temperature", request.temperature.unwrap_or(0.0), 2.0)?,
        top_p: in_range("top_p", request.top_p.unwrap_or(1.0), 1.0)?,
        seed: request.seed.unwrap_or(0),
    };
    let input = match request.prompt {
        Prompt::Text(text) => Input::Text(text),
        Prompt::Ids(ids) => Input::Ids(ids),
    };
    Ok(Ask { input, sampling, stops: stops(request.stop)? })
}
