//! `flow check`.

use clap::Args;
use serde_json::json;

use super::{
    determinism, policy,
    undeclared::{self, Which},
};
use crate::{CliError, ExitStatus, Shell, args::WorkflowArgs, text::near_here, ui::Tone};

/// Check a workflow file and report every problem at once, without running anything
///
/// Looks at every profile, and whether the files are there that stages name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow check
  flow check workflows/quickstart.yaml --json
  flow check --determinism clean           does the stage repeat itself?
  flow check --undeclared                  run commands once and list what they read undeclared
  flow check --undeclared=extract          only the command `extract`")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// Run this stage twice with other threads, time zone, language, and folders, and compare every byte
    #[arg(long, value_name = "STAGE")]
    determinism: Option<String>,
    /// Run the commands once, watched, and list everything they read, run, or try to reach without declaring it
    #[arg(long, value_name = "STAGE", num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = Which::parse)]
    undeclared: Option<Which>,
}

pub(super) fn execute(args: &CheckArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let (project, plan) = args.workflow.check(shell)?;
    // Before anything runs: the two below start stages.
    let warnings: Vec<_> = policy::enforce((&project, &plan), &[], shell)?.into_warnings();
    if let Some(stage) = &args.determinism {
        return determinism::execute((&plan, &project), stage, shell);
    }
    if let Some(which) = &args.undeclared {
        return undeclared::execute((&project, &plan), which, shell);
    }
    let (file, stages) = (near_here(&project.workflow_file), plan.order.len());
    if shell.ui.json() {
        crate::ui::document(
            &json!({ "workflow": plan.workflow, "file": file, "stages": stages, "problems": [], "warnings": warnings }),
        );
    } else {
        let plural = if stages == 1 { "" } else { "s" };
        let sign = shell.ui.out.tone(Tone::Good, "✓");
        crate::ui::print(&format!("{sign} {}: {stages} stage{plural}, no problem\n", file.display()));
    }
    Ok(ExitStatus::Ok)
}
