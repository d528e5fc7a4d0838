use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{ApiKey, Bound, ServeError};
use crate::parrot::Parrot;

struct Running {
    address: SocketAddr,
    runtime: tokio::runtime::Runtime,
    stop: Option<oneshot::Sender<()>>,
}

impl Running {
    fn start(key: Option<&str>) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let loopback = "127.0.0.1:0".parse().expect("an address");
        let bound = runtime.block_on(Bound::bind(loopback, key.map(ApiKey::new))).expect("binds");
        let address = bound.address().expect("bound");
        let (stop, stopped) = oneshot::channel();
        runtime.spawn(bound.serve(Box::new(Parrot::new("parrot")), async {
            stopped.await.ok();
        }));
        Self { address, runtime, stop: Some(stop) }
    }

    fn send(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).expect("connects");
        stream.write_all(request.as_bytes()).expect("sends");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answers");
        let text = String::from_utf8(answer).expect("UTF-8");
        let status = text.get(9..12).and_then(|code| code.parse().ok()).expect("a status line");
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    }

    fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let body = body.to_string();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn get(&self, path: &str, headers: &str) -> (u16, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        let runtime = std::mem::replace(&mut self.runtime, tokio::runtime::Runtime::new().expect("runtime"));
        runtime.shutdown_background();
    }
}

fn hello(extra: Value) -> Value {
    let mut body = json!({"model": "parrot", "messages": [{"role": "user", "content": "hello 🦜"}]});
    if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
        body.extend(extra);
    }
    body
}

#[test]
fn a_chat_is_answered_whole_with_usage() {
    let server = Running::start(None);
    let (status, body) = server.post("/v1/chat/completions", &hello(json!({})));
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(answer.pointer("/choices/0/message/content"), Some(&json!("hello 🦜")));
    assert_eq!(answer.pointer("/choices/0/finish_reason"), Some(&json!("stop")));
    assert_eq!(answer.pointer("/usage/total_tokens"), Some(&json!(20)));
}

#[test]
fn a_stream_sends_whole_characters_and_ends_with_done() {
    let server = Running::start(None);
    let options = json!({"stream": true, "stream_options": {"include_usage": true}});
    let (status, body) = server.post("/v1/chat/completions", &hello(options));
    let data: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let chunks: Vec<Value> = data.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let text: String =
        chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/content").and_then(Value::as_str)).collect();
    assert_eq!((status, text.as_str(), data.last()), (200, "hello 🦜", Some(&"[DONE]")));
    assert_eq!(chunks.last().and_then(|chunk| chunk.pointer("/usage/completion_tokens")), Some(&json!(10)));
}

#[test]
fn a_limit_and_a_stop_string_end_an_answer() {
    let server = Running::start(None);
    for (extra, text, reason) in [(json!({"max_tokens": 4}), "hell", "length"), (json!({"stop": ["lo"]}), "hel", "stop")] {
        let (_, body) = server.post("/v1/chat/completions", &hello(extra));
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(answer.pointer("/choices/0/message/content"), Some(&json!(text)));
        assert_eq!(answer.pointer("/choices/0/finish_reason"), Some(&json!(reason)));
    }
}

#[test]
fn text_completions_take_text_and_ids() {
    let server = Running::start(None);
    for prompt in [json!("abc"), json!([97, 98, 99])] {
        let (status, body) = server.post("/v1/completions", &json!({"prompt": prompt}));
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, answer.pointer("/choices/0/text")), (200, Some(&json!("abc"))));
    }
}

#[test]
fn what_the_server_does_not_take_is_named() {
    let server = Running::start(None);
    let cases = [
        (hello(json!({"logit_bias": {}})), 400, "logit_bias"),
        (hello(json!({"n": 2})), 400, "one answer"),
        (hello(json!({"temperature": 9})), 400, "temperature"),
        (hello(json!({"stop": ["a", "b", "c", "d", "e"]})), 400, "up to four"),
        (hello(json!({"model": "other"})), 404, "other"),
        (hello(json!({"messages": []})), 400, "at least one"),
        (json!({"model": "parrot"}), 400, "messages"),
    ];
    for (body, expected, word) in cases {
        let (status, answer) = server.post("/v1/chat/completions", &body);
        let status = if status == 422 { 400 } else { status };
        assert_eq!(status, expected, "{answer}");
        assert!(answer.contains(word), "{answer}");
    }
}

#[test]
fn a_key_guards_the_api_but_not_the_health_page() {
    let server = Running::start(Some("right"));
    assert_eq!(server.get("/v1/models", "").0, 401);
    assert_eq!(server.get("/v1/models", "authorization: Bearer wrong\r\n").0, 401);
    assert_eq!(server.get("/v1/models", "authorization: Bearer right\r\n").0, 200);
    assert_eq!(server.get("/health", "").0, 200);
    assert!(server.get("/metrics", "").1.contains("flow_requests_total 0"));
}

#[test]
fn an_open_address_needs_a_key() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let everywhere = "0.0.0.0:0".parse().expect("an address");
    let refused = runtime.block_on(Bound::bind(everywhere, None));
    assert!(matches!(refused.err(), Some(ServeError::OpenToAll { .. })));
}
