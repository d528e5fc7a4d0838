//! The hidden entry point of the process that runs one stage.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use flow_engine::run::exec_stage;

use crate::Shell;

/// Run the stage that a description names; started by the engine
#[derive(Debug, Args)]
pub(crate) struct ExecStageArgs {
    /// The description
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
}

pub(super) fn execute(args: &ExecStageArgs, shell: &Shell) -> ExitCode {
    ExitCode::from(exec_stage(&args.spec, &shell.registry))
}
