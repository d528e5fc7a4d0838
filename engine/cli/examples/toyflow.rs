//! `flow` with toy stages and a parrot for a model: the smallest binary around this crate, and what its tests run.

use std::{net::SocketAddr, process::ExitCode};

use flow_cli::{
    App, ChatRequest, GenerateRequest, Generated, ModelDetails, ModelHost, ModelRow, ServeRequest, ShownTokens, Terminal,
    TokensRequest,
};
use flow_engine::{StageError, context::Site, testing::toys};
use mimalloc::MiMalloc;

// As in `flow`, so that what is measured here holds there.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Says what it was told.
struct Parrot;

impl ModelHost for Parrot {
    fn chat(&self, _: &Site, _: &ChatRequest, terminal: Terminal<'_>) -> Result<(), StageError> {
        let mut line = String::new();
        while terminal.input.read_line(&mut line)? > 0 {
            terminal.output.write_all(line.as_bytes())?;
            line.clear();
        }
        Ok(())
    }

    fn generate(&self, _: &Site, request: &GenerateRequest, on_text: &mut dyn FnMut(&str)) -> Result<Generated, StageError> {
        let words: Vec<&str> = request.prompt.split_inclusive(' ').collect();
        for word in &words {
            on_text(word);
        }
        let tokens = words.len() as u64;
        Ok(Generated {
            text: request.prompt.clone(),
            prompt_tokens: tokens,
            completion_tokens: tokens,
            finish: "stop".to_owned(),
        })
    }

    fn serve(&self, _: &Site, request: &ServeRequest, _: &mut dyn FnMut(SocketAddr)) -> Result<(), StageError> {
        Err(StageError::resource(format!("cannot listen on {}", request.bind)).help("name another port with --bind"))
    }

    fn models(&self, _: &Site) -> Result<Vec<ModelRow>, StageError> {
        Ok(Vec::new())
    }

    fn model(&self, _: &Site, reference: &str) -> Result<ModelDetails, StageError> {
        Err(StageError::input(format!("there is no model {reference:?}")).help("`flow models ls` lists them"))
    }

    fn tokens(&self, _: &Site, request: &TokensRequest) -> Result<ShownTokens, StageError> {
        Err(StageError::input(format!("there is no model {:?}", request.model)).help("`flow models ls` lists them"))
    }
}

fn main() -> ExitCode {
    flow_cli::run(App { registry: toys(), models: Box::new(Parrot), version: env!("CARGO_PKG_VERSION") })
}
