//! The person at the terminal: commands, live progress, summaries, and error reports of `flow`.
//!
//! Knows the engine, not the stages: the binary hands in a [`StageRegistry`] and a [`ModelHost`] (see [`App`]). One
//! command is one file of `commands`: its `Args` struct, whose doc comments are the manual, and `execute`. Errors become
//! messages and exit codes in [`error`] and nowhere else.

mod args;
mod commands;
mod dag;
mod doctor;
mod history;
mod progress;
mod reason;
mod reference;
mod summary;
mod text;
mod ui;

pub mod error;
pub mod host;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::FromArgMatches;
use flow_engine::{StageRegistry, project::Project};

pub use error::{CliError, ExitStatus};
pub use host::{
    ChatRequest, Choice, GenerateRequest, Generated, ModelDetails, ModelHost, ModelRow, ServeRequest, ShownRow, ShownSpan,
    ShownTokens, Terminal, TokensRequest,
};
use ui::{Output, Ui};

/// What the binary brings along.
pub struct App {
    /// The kinds of stage and the resolvers of sources.
    pub registry: StageRegistry,
    /// Opens, serves, and lists models.
    pub models: Box<dyn ModelHost>,
    /// What `flow --version` says.
    pub version: &'static str,
}

/// What every command works with.
pub(crate) struct Shell {
    pub(crate) registry: Arc<StageRegistry>,
    pub(crate) models: Box<dyn ModelHost>,
    pub(crate) ui: Ui,
    /// `--project`.
    pub(crate) folder: PathBuf,
    pub(crate) version: &'static str,
}

impl Shell {
    /// The project around `--project`.
    pub(crate) fn project(&self) -> Result<Project, CliError> {
        Ok(Project::around(&self.folder, &environment)?)
    }
}

/// A variable of this process, for library calls that take the environment as an argument.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Variables that name places. One that is no text must not count as unset: results would go elsewhere without a word.
const PLACES: [&str; 5] = ["FLOW_STORE", "HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"];

fn refuse_places_that_are_no_text() -> Result<(), CliError> {
    let no_text = |name: &&&str| matches!(std::env::var(name), Err(std::env::VarError::NotUnicode(_)));
    PLACES.iter().find(no_text).map_or(Ok(()), |name| {
        let value = std::env::var_os(name).unwrap_or_default();
        let message = format!("cannot use {name}: {} is not valid UTF-8", value.display());
        Err(CliError::usage(message, format!("name a folder whose path is text, such as {name}=/home/me/flow")))
    })
}

/// Runs the command that the process was started with.
pub fn run(app: App) -> ExitCode {
    if !cfg!(target_os = "linux") {
        crate::ui::note(&format!("flow runs on Linux (x86-64 and aarch64) only, and this is {}", std::env::consts::OS));
        return ExitStatus::Usage.into();
    }
    let arguments = match args::command(app.version).try_get_matches().and_then(|m| args::Arguments::from_arg_matches(&m)) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let output = if arguments.global.json { Output::Json } else { Output::Text };
    let ui = Ui::detect(output);
    start_tracing();
    let shell = Shell {
        registry: Arc::new(app.registry),
        models: app.models,
        ui,
        folder: arguments.global.project,
        version: app.version,
    };
    match refuse_places_that_are_no_text().and_then(|()| commands::execute(arguments.command, &shell)) {
        Ok(code) => code,
        Err(error) => {
            error::show(&error, ui);
            error.status.into()
        }
    }
}

fn usage(error: &clap::Error) -> ExitCode {
    // There are no arguments to ask: they could not be read.
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        ui::document(&CliError::from(error).to_json());
        return ExitStatus::Usage.into();
    }
    // A closed pipe leaves nobody to tell.
    let _closed = error.print();
    if error.use_stderr() { ExitStatus::Usage.into() } else { ExitStatus::Ok.into() }
}

/// Logs go to standard error; `FLOW_LOG=debug` shows more.
fn start_tracing() {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("FLOW_LOG").unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second subscriber can only be a test's own.
    let _kept = subscriber.try_init();
}
