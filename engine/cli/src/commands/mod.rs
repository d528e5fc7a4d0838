//! One command, one file: what it takes and what it does.

pub(crate) mod approve;
pub(crate) mod audit;
pub(crate) mod bisect;
pub(crate) mod cache;
pub(crate) mod cancel;
pub(crate) mod chat;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod data;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod exec_stage;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod generate;
pub(crate) mod graph;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod migrate;
pub(crate) mod models;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod replay;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod stages;
pub(crate) mod status;
pub(crate) mod update;
pub(crate) mod why;

mod ask;
mod detach;
mod determinism;
mod drive;
mod find;
mod follow;
mod standing;
mod undeclared;
mod who;

use std::process::ExitCode;

use crate::{CliError, Shell, args::Command};

/// Does what the command line says.
pub(crate) fn execute(command: Command, shell: &Shell) -> Result<ExitCode, CliError> {
    let status = match command {
        Command::Run(args) => run::execute(args, shell),
        Command::Resume(args) => resume::execute(args, shell),
        Command::Cancel(args) => cancel::execute(&args, shell),
        Command::Plan(args) => plan::execute(&args, shell),
        Command::Check(args) => check::execute(&args, shell),
        Command::Status(args) => status::execute(&args, shell),
        Command::Runs(args) => runs::execute(&args, shell),
        Command::Diff(args) => diff::execute(&args, shell),
        Command::Compare(args) => compare::execute(&args, shell),
        Command::Bisect(args) => bisect::execute(&args, shell),
        Command::Data(args) => data::execute(&args, shell),
        Command::Logs(args) => logs::execute(&args, shell),
        Command::Why(args) => why::execute(&args, shell),
        Command::Graph(args) => graph::execute(&args, shell),
        Command::Approve(args) => approve::approve(args, shell),
        Command::Reject(args) => approve::reject(args, shell),
        Command::Keys(args) => keys::execute(&args, shell),
        Command::Audit(args) => audit::execute(&args, shell),
        Command::Policy(args) => policy::execute(&args, shell),
        Command::Chat(args) => chat::execute(args, shell),
        Command::Generate(args) => generate::execute(args, shell),
        Command::Serve(args) => serve::execute(args, shell),
        Command::Models(args) => models::execute(&args, shell),
        Command::Stages(args) => stages::execute(&args, shell),
        Command::Schema(args) => schema::execute(&args, shell),
        Command::Gc(args) => gc::execute(&args, shell),
        Command::Init(args) => init::execute(&args, shell),
        Command::Update(args) => update::execute(&args, shell),
        Command::Migrate(args) => migrate::execute(&args, shell),
        Command::Doctor(args) => Ok(doctor::execute(&args, shell)),
        Command::Man(args) => man::execute(&args, shell),
        Command::Export(args) => export::execute(&args, shell),
        Command::Replay(args) => replay::execute(&args, shell),
        Command::Cache(args) => cache::execute(&args, shell),
        Command::Completions(args) => Ok(completions::execute(&args, shell)),
        // The engine reads this code, not a person.
        Command::ExecStage(args) => return Ok(exec_stage::execute(&args, shell)),
    }?;
    Ok(status.into())
}
