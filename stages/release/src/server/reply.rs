//! Turns what the worker sends into a whole answer or a stream of server-sent events.

use std::{convert::Infallible, time::Instant};

use axum::{
    Json,
    extract::rejection::JsonRejection,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use flow_text::generate::Finish;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};

use super::{
    Shared,
    error::ApiError,
    types::{StreamOptions, Usage},
    worker::{Ask, Reply},
};

/// Which endpoint answers, and how.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    endpoint: Endpoint,
    delivery: Delivery,
}

#[derive(Clone, Copy)]
enum Endpoint {
    Chat,
    Text,
}

#[derive(Clone, Copy)]
enum Delivery {
    Whole,
    Stream { usage: bool },
}

impl Shape {
    pub(super) fn chat(stream: Option<bool>, options: Option<StreamOptions>) -> Self {
        Self { endpoint: Endpoint::Chat, delivery: Delivery::new(stream, options) }
    }

    pub(super) fn text(stream: Option<bool>, options: Option<StreamOptions>) -> Self {
        Self { endpoint: Endpoint::Text, delivery: Delivery::new(stream, options) }
    }
}

impl Delivery {
    fn new(stream: Option<bool>, options: Option<StreamOptions>) -> Self {
        if stream == Some(true) { Self::Stream { usage: options.unwrap_or_default().include_usage } } else { Self::Whole }
    }
}

/// Names what is wrong with a body, the unknown field included.
pub(super) fn malformed(rejection: &JsonRejection) -> ApiError {
    ApiError::Invalid { message: rejection.body_text(), param: None }
}

/// Counts and renders a refusal.
pub(super) fn refuse(shared: &Shared, error: ApiError) -> Response {
    shared.metrics.refused();
    error.into_response()
}

/// Asks the worker and renders its answer.
pub(super) async fn answer(shared: Shared, ask: Ask, shape: Shape) -> Response {
    let replies = match shared.worker.ask(ask) {
        Ok(replies) => replies,
        Err(error) => return refuse(&shared, error),
    };
    let answer = Answer { id: ulid::Ulid::new().to_string(), endpoint: shape.endpoint, started: Instant::now(), shared };
    match shape.delivery {
        Delivery::Whole => answer.whole(replies).await,
        Delivery::Stream { usage } => answer.stream(replies, usage),
    }
}

struct Answer {
    id: String,
    endpoint: Endpoint,
    started: Instant,
    shared: Shared,
}

impl Answer {
    async fn whole(self, mut replies: UnboundedReceiver<Reply>) -> Response {
        let mut text = String::new();
        while let Some(reply) = replies.recv().await {
            match reply {
                Reply::Piece(piece) => text.push_str(&piece),
                Reply::Done { finish, usage } => return self.done(&text, finish, usage),
                Reply::Refused(message) => return refuse(&self.shared, ApiError::Invalid { message, param: Some("messages") }),
                Reply::Failed(message) => return self.failed(message),
            }
        }
        self.failed("the model's thread ended".to_owned())
    }

    fn done(&self, text: &str, finish: Finish, usage: Usage) -> Response {
        self.count(usage);
        let choice = match self.endpoint {
            Endpoint::Chat => json!({"message": {"role": "assistant", "content": text}}),
            Endpoint::Text => json!({"text": text}),
        };
        let mut body = self.frame("", choice, Some(finish));
        insert(&mut body, "usage", json!(usage));
        Json(body).into_response()
    }

    fn stream(self, mut replies: UnboundedReceiver<Reply>, usage: bool) -> Response {
        let (events, stream) = unbounded_channel::<Value>();
        tokio::spawn(async move {
            // A failed send means that the client left; dropping `replies` then stops the model.
            drop(events.send(self.chunk(&json!({"role": "assistant", "content": ""}), None)));
            while let Some(reply) = replies.recv().await {
                if events.send(self.event(&reply)).is_err() {
                    return;
                }
                if let (Reply::Done { usage: counts, .. }, true) = (&reply, usage) {
                    drop(events.send(self.usage_chunk(*counts)));
                }
            }
        });
        let sent = UnboundedReceiverStream::new(stream).map(|value| Event::default().data(value.to_string()));
        let stream = sent.chain(tokio_stream::once(Event::default().data("[DONE]"))).map(Ok::<_, Infallible>);
        Sse::new(stream).keep_alive(KeepAlive::default()).into_response()
    }

    fn event(&self, reply: &Reply) -> Value {
        match reply {
            Reply::Piece(piece) => self.chunk(&json!({"content": piece}), None),
            Reply::Done { finish, usage } => {
                self.count(*usage);
                self.chunk(&json!({}), Some(*finish))
            }
            Reply::Refused(message) => {
                self.shared.metrics.refused();
                json!({"error": {"message": message, "type": "invalid_request_error"}})
            }
            Reply::Failed(message) => {
                self.shared.metrics.failed();
                json!({"error": {"message": message, "type": "server_error"}})
            }
        }
    }

    fn chunk(&self, delta: &Value, finish: Option<Finish>) -> Value {
        let choice = match self.endpoint {
            Endpoint::Chat => json!({"delta": delta}),
            Endpoint::Text => json!({"text": delta.get("content").cloned().unwrap_or_else(|| json!(""))}),
        };
        self.frame(".chunk", choice, finish)
    }

    fn usage_chunk(&self, usage: Usage) -> Value {
        let mut chunk = self.frame(".chunk", json!({}), None);
        insert(&mut chunk, "choices", json!([]));
        insert(&mut chunk, "usage", json!(usage));
        chunk
    }

    fn frame(&self, suffix: &str, mut choice: Value, finish: Option<Finish>) -> Value {
        insert(&mut choice, "index", json!(0));
        insert(&mut choice, "finish_reason", json!(finish.map(reason)));
        let (object, prefix) = match self.endpoint {
            Endpoint::Chat => (format!("chat.completion{suffix}"), "chatcmpl"),
            Endpoint::Text => ("text_completion".to_owned(), "cmpl"),
        };
        json!({
            "id": format!("{prefix}-{}", self.id),
            "object": object,
            "created": self.shared.created,
            "model": &*self.shared.model,
            "choices": [choice],
        })
    }

    fn failed(&self, message: String) -> Response {
        self.shared.metrics.failed();
        ApiError::Failed(message).into_response()
    }

    fn count(&self, usage: Usage) {
        self.shared.metrics.answered((usage.prompt_tokens, usage.completion_tokens), self.started.elapsed());
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Cancelled => "stop",
        Finish::Length => "length",
    }
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = object {
        map.insert(key.to_owned(), value);
    }
}
