//! `serve/http`: proves that a registered model answers over HTTP as evaluation recorded.
//!
//! The server starts on a free loopback port, answers one held-out item greedily, and stops. The answer must equal the one
//! in the evaluation's items byte for byte: training, evaluation, and serving share one renderer, and this is the proof.

use std::{
    fs,
    io::{Read, Write},
    marker::PhantomData,
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use flow_engine::{
    ArtifactKind, Determinism, Ports, SourceRef, Stage, StageContext, StageError,
    report::{Report, Table, Verdict},
};
use flow_text::generate::{LoadModel, ModelFiles};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{models::ModelRegistry, open::base_path, push::VersionRef, server::Bound};

/// Start the registered model behind an OpenAI-style API and check one answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServeConfig {
    /// The model the adapter was trained over: the same URI as in `train/sft`.
    base: String,
    /// Tokens of the checked answer at most; the same number as in `eval/suite`.
    #[serde(default = "default_max_tokens")]
    max_new_tokens: u32,
    /// Leave a server running after the run; its address and process are in the report.
    #[serde(default)]
    keep: bool,
}

fn default_max_tokens() -> u32 {
    64
}

/// The stage kind, for one way to load models.
pub struct ServeHttp<L>(PhantomData<fn() -> L>);

/// One line of the evaluation's items, as far as it is needed here.
#[derive(Deserialize)]
struct Item {
    row_id: String,
    prompt: Vec<Value>,
    arms: Arms,
}

#[derive(Deserialize)]
struct Arms {
    tuned: Answer,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
}

impl<L: LoadModel> Stage for ServeHttp<L> {
    type Config = ServeConfig;
    const KIND: &'static str = "serve/http";
    const REVISION: u32 = 1;
    const DETERMINISM: Determinism = Determinism::Seeded;

    fn ports(_: &ServeConfig) -> Ports {
        Ports::new().reads("model", ArtifactKind::Ref).reads("items", ArtifactKind::Items).writes("report", ArtifactKind::Report)
    }

    fn sources(config: &ServeConfig) -> Vec<SourceRef> {
        vec![SourceRef::Pinned(config.base.clone())]
    }

    fn run(config: &ServeConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let reference = VersionRef::read(cx.input("model")?)?;
        if reference.base.uri != config.base {
            let message = format!("the model lies over {}, not over {}", reference.base.uri, config.base);
            return Err(StageError::input(message).help("give serve/http the same `base` as train/sft"));
        }
        let version = ModelRegistry::open(&cx.site().registry)?.read(&reference.name, reference.version)?;
        let item = first_item(cx)?;
        let name = format!("{}@{}", reference.name, reference.version);
        let adapter = version.directory.join("adapter");
        let base = base_path(cx.source(&config.base)?)?;
        let files = ModelFiles { name: &name, base: &base, adapter: Some(&adapter) };
        let body = json!({
            "model": name, "messages": item.prompt, "temperature": 0, "max_completion_tokens": config.max_new_tokens,
        });
        let served = ask_once::<L>(&files, &body)?;
        let equal = served == item.arms.tuned.text;
        let kept = if config.keep && equal { Some(leave_running(&name)?) } else { None };
        write_report(cx, (&name, &item), (&served, kept.as_deref()))?;
        cx.measure("equal", f64::from(u8::from(equal)));
        if equal {
            return Ok(());
        }
        Err(StageError::internal(format!("the server answered {served:?}, evaluation recorded {:?}", item.arms.tuned.text))
            .help("compare max_new_tokens of eval/suite and serve/http; the report shows the item"))
    }
}

fn first_item(cx: &StageContext<'_>) -> Result<Item, StageError> {
    let text = fs::read_to_string(cx.input("items")?)?;
    let line =
        text.lines().find(|line| !line.trim().is_empty()).ok_or_else(|| StageError::input("the evaluation has no item"))?;
    serde_json::from_str(line).map_err(|error| StageError::input("cannot read the first evaluated item").because(&error))
}

/// Serves the model just long enough to answer one request over real HTTP.
fn ask_once<L: LoadModel>(files: &ModelFiles<'_>, body: &Value) -> Result<String, StageError> {
    let model = L::load(files).map_err(|error| StageError::input("cannot open the model").because(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let unserved = |error: crate::server::ServeError| StageError::resource("cannot serve on loopback").because(&error);
    let bound = runtime.block_on(Bound::bind(loopback, None)).map_err(unserved)?;
    let address = bound.address().map_err(unserved)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = runtime.spawn(bound.serve(model, async {
        stopped.await.ok();
    }));
    let answer = request(address, body);
    stop.send(()).ok();
    let ended = runtime.block_on(serving).map_err(|error| StageError::internal("the server's task failed").because(&error))?;
    ended.map_err(unserved)?;
    content_of(&answer?)
}

/// One plain HTTP/1.1 exchange; a client library would bring a second HTTP stack for one request.
fn request(address: SocketAddr, body: &Value) -> Result<String, StageError> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_mins(5)))?;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
    if head.starts_with("HTTP/1.1 200") {
        Ok(body.to_owned())
    } else {
        Err(StageError::internal(format!("the server refused: {body}")))
    }
}

fn content_of(answer: &str) -> Result<String, StageError> {
    let value: Value =
        serde_json::from_str(answer).map_err(|error| StageError::internal("the answer is not JSON").because(&error))?;
    let content = value.pointer("/choices/0/message/content").and_then(Value::as_str).map(str::to_owned);
    content.ok_or_else(|| StageError::internal("the answer holds no message"))
}

/// Starts `flow serve` and returns what to tell the person once it listens. It leads a session of its own: whatever is left
/// in the attempt's session is ended before the commit.
fn leave_running(name: &str) -> Result<String, StageError> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut server = Command::new("setsid")
        .arg(std::env::current_exe()?)
        .args(["serve", name, "--bind", &address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| StageError::resource("cannot start setsid").because(&error).help("install util-linux"))?;
    while TcpStream::connect(address).is_err() {
        if let Some(status) = server.try_wait()? {
            return Err(StageError::internal(format!("the server to leave running ended with {status}"))
                .help(format!("try `flow serve {name}` by hand")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(format!("http://{address}/v1 (process {})", server.id()))
}

fn write_report(
    cx: &StageContext<'_>,
    (name, item): (&str, &Item),
    (served, kept): (&str, Option<&str>),
) -> Result<(), StageError> {
    let mut report = Report::new("Serving", "serve/http");
    let equal = served == item.arms.tuned.text;
    if equal {
        report.verdict(Verdict::Pass, "The server gave the evaluated answer, byte for byte.");
    } else {
        report.verdict(Verdict::Fail, "The server's answer differs from the evaluated one.");
    }
    report.fact("model", name);
    report.fact("item", item.row_id.as_str());
    if let Some(kept) = kept {
        report.fact("left running", kept);
    }
    let mut table = Table::new("One held-out item, decoded greedily", ["who", "answer"]);
    table.row(["evaluation", item.arms.tuned.text.as_str()]);
    table.row(["server", served]);
    report.table(table);
    report.note(format!("Start it yourself: flow serve {name}"));
    report.write(cx.output("report")?)
}
