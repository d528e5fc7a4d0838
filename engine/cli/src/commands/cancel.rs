//! `flow cancel`.

use clap::Args;
use flow_engine::run::{Urgency, cancel};

use super::find::Found;
use crate::{CliError, ExitStatus, Shell, text::push};

/// Stop a run at its next safe points; `flow resume` goes on with it
///
/// Stages are asked to write a checkpoint. Those that have not stopped after half a minute are killed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow cancel                  the latest run
  flow cancel 01JDF3 --now     kill its stages; what they had not saved is done again")]
pub(crate) struct CancelArgs {
    /// The run
    #[arg(default_value = "latest")]
    run: String,
    /// Do not wait for a safe point
    #[arg(long)]
    now: bool,
}

pub(super) fn execute(args: &CancelArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let found = Found::run(shell, &args.run)?;
    let urgency = if args.now { Urgency::Now } else { Urgency::Gently };
    let cancelled = cancel(&found.project, found.run, urgency)?;
    if shell.ui.json() {
        crate::ui::document(&cancelled);
        return Ok(ExitStatus::Ok);
    }
    let whom = match cancelled.engine {
        Some(engine) => format!("run {} (process {engine})", found.run),
        None => format!("{} of run {}, which outlived its engine", cancelled.stages.join(", "), found.run),
    };
    let mut text = format!("asked {whom} to stop\n");
    push(&mut text, format_args!("  next  {}\n", shell.ui.out.strong("flow resume")));
    crate::ui::print(&text);
    Ok(ExitStatus::Ok)
}
