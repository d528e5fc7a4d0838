//! `flow check`.

use clap::Args;
use serde_json::json;

use super::determinism;
use crate::{CliError, ExitStatus, Shell, args::WorkflowArgs, text::near_here, ui::Tone};

/// Check a workflow file and report every problem at once, without running anything
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow check
  flow check workflows/quickstart.yaml --json
  flow check --determinism clean           does the stage repeat itself?")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// Run this stage twice with other threads, time zone, language, and folders, and compare every byte
    #[arg(long, value_name = "STAGE")]
    determinism: Option<String>,
}

pub(super) fn execute(args: &CheckArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let (project, plan) = args.workflow.load(shell)?;
    if let Some(stage) = &args.determinism {
        return determinism::execute((&plan, &project), stage, shell);
    }
    let (file, stages) = (near_here(&project.workflow_file), plan.order.len());
    if shell.ui.json() {
        crate::ui::document(&json!({ "workflow": plan.workflow, "file": file, "stages": stages, "problems": [] }));
    } else {
        let plural = if stages == 1 { "" } else { "s" };
        let sign = shell.ui.out.tone(Tone::Good, "✓");
        crate::ui::print(&format!("{sign} {}: {stages} stage{plural}, no problem\n", file.display()));
    }
    Ok(ExitStatus::Ok)
}
