//! Joins the command line's port to models with the crates that open, serve, and list them.

use std::net::SocketAddr;

use flow_cli::{
    ChatRequest, Choice, GenerateRequest, Generated, ModelDetails, ModelHost, ModelRow, ServeRequest, ShownRow, ShownSpan,
    ShownTokens, Terminal, TokensRequest,
};
use flow_engine::{StageError, StageRegistry, context::Site};
use flow_model::{
    Loader,
    labels::{self, Labelled, Span},
};
use flow_release::{
    chat::{self, Console, Prompting},
    models::{ModelRegistry, Reference, Registered},
    open::Opener,
    server::{ApiKey, Bound, ServeError},
};
use flow_text::{
    generate::{Finish, Generate, Sampling},
    record::Message,
};

/// Opens models with the network of this binary.
pub struct Host {
    registry: StageRegistry,
}

impl Default for Host {
    fn default() -> Self {
        Self { registry: crate::registry() }
    }
}

impl Host {
    fn open(&self, site: &Site, reference: &str) -> Result<Box<dyn Generate>, StageError> {
        Opener { registry: &self.registry, site }.open::<Loader>(reference)
    }
}

impl ModelHost for Host {
    fn chat(&self, site: &Site, request: &ChatRequest, terminal: Terminal<'_>) -> Result<(), StageError> {
        let mut model = self.open(site, &request.reference)?;
        let prompt = if terminal.interactive { "> " } else { "" };
        let mut console = Console { input: terminal.input, output: terminal.output, prompt };
        chat::converse(model.as_mut(), request.system.as_deref(), &sampling(&request.choice), &mut console)
    }

    fn generate(&self, site: &Site, request: &GenerateRequest, on_text: &mut dyn FnMut(&str)) -> Result<Generated, StageError> {
        let mut model = self.open(site, &request.reference)?;
        let system = request.system.iter().map(|content| message("system", content));
        let messages: Vec<Message> = system.chain(Some(message("user", &request.prompt))).collect();
        let prompting = if request.raw { Prompting::Raw } else { Prompting::Chat };
        let answer = chat::generate(model.as_mut(), (&messages, prompting), &sampling(&request.choice), on_text)?;
        let finish = match answer.finish {
            Finish::Stop | Finish::Cancelled => "stop",
            Finish::Length => "length",
        };
        Ok(Generated {
            text: answer.text,
            prompt_tokens: answer.prompt_tokens as u64,
            completion_tokens: answer.completion_tokens as u64,
            finish: finish.to_owned(),
        })
    }

    fn serve(&self, site: &Site, request: &ServeRequest, on_ready: &mut dyn FnMut(SocketAddr)) -> Result<(), StageError> {
        let key = request.api_key_env.as_deref().map(api_key).transpose()?;
        let model = self.open(site, &request.reference)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let bound = Bound::bind(request.bind, key).await.map_err(|error| unserved(&error))?.known_as(&request.reference);
            on_ready(bound.address().map_err(|error| unserved(&error))?);
            bound.serve(model, asked_to_stop()).await.map_err(|error| unserved(&error))
        })
    }

    fn models(&self, site: &Site) -> Result<Vec<ModelRow>, StageError> {
        let listed = ModelRegistry::open(&site.registry)?.list()?;
        let mut rows: Vec<ModelRow> = listed.iter().map(row).collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name).then(b.version.cmp(&a.version)));
        Ok(rows)
    }

    fn model(&self, site: &Site, reference: &str) -> Result<ModelDetails, StageError> {
        let reference: Reference = reference.trim_start_matches("registry:").parse()?;
        let registered = ModelRegistry::open(&site.registry)?.resolve(&reference)?;
        let card = std::fs::read_to_string(registered.directory.join("README.md"))?;
        let version = serde_json::to_value(&registered.version)
            .map_err(|error| StageError::internal("cannot serialize the version").because(&error))?;
        Ok(ModelDetails { row: row(&registered), folder: registered.directory, version, card })
    }

    fn tokens(&self, site: &Site, request: &TokensRequest) -> Result<ShownTokens, StageError> {
        let model = Opener { registry: &self.registry, site }.locate(&request.model)?;
        let choice =
            if request.named.is_empty() { labels::Choice::First(request.rows) } else { labels::Choice::Named(&request.named) };
        let look = labels::look(&request.path, &model.base, choice)?;
        Ok(ShownTokens { rows: look.rows, chosen: look.chosen.into_iter().map(shown).collect() })
    }
}

fn shown(row: Labelled) -> ShownRow {
    let span = |span: Span| ShownSpan { text: span.text, tokens: span.tokens, trained: span.trained };
    let spans: Vec<ShownSpan> = row.spans.into_iter().map(span).collect();
    let count = |spans: &mut dyn Iterator<Item = &ShownSpan>| spans.map(|span| span.tokens).sum();
    let (tokens, trained) = (count(&mut spans.iter()), count(&mut spans.iter().filter(|span| span.trained)));
    ShownRow { row_id: row.row_id, tokens, trained, spans }
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}

fn sampling(choice: &Choice) -> Sampling {
    Sampling { max_tokens: choice.max_tokens, temperature: choice.temperature, top_p: choice.top_p, seed: choice.seed }
}

fn api_key(variable: &str) -> Result<ApiKey, StageError> {
    match std::env::var(variable) {
        Ok(key) if !key.is_empty() => Ok(ApiKey::new(&key)),
        _ => {
            Err(StageError::input(format!("environment variable {variable} holds no key")).help(format!("set {variable} first")))
        }
    }
}

fn unserved(error: &ServeError) -> StageError {
    let stage = StageError::input("cannot serve").because(error);
    match error {
        ServeError::Bind { .. } => stage.help("choose another port with --bind, or stop what listens there"),
        ServeError::OpenToAll { .. } => stage.help("name the variable that holds a key with --api-key-env, or bind 127.0.0.1"),
        ServeError::Io(_) => stage,
    }
}

/// Resolves on Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

fn row(registered: &Registered) -> ModelRow {
    let version = &registered.version;
    ModelRow {
        name: version.name.to_string(),
        version: u64::from(version.version),
        aliases: registered.aliases.clone(),
        base: Some(version.base.uri.clone()),
        created: version.created.clone(),
        bytes: version.files.iter().map(|file| file.bytes).sum(),
        metrics: version.metrics.clone(),
    }
}
