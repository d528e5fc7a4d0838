//! `flow approve` and `flow reject`.

use clap::Args;
use flow_engine::{context::Decision, run};

use super::{
    drive::{now, person},
    find::Found,
};
use crate::{CliError, ExitStatus, Shell, text::push, ui::Tone};

/// Approve what a parked stage asks about; the decision binds to the digests under review
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow approve approve
  flow approve approve --comment 'bias report read, skew is fine' --by ada
  flow resume                  goes on afterwards")]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    decision: DecisionArgs,
}

/// Reject what a parked stage asks about; the stage fails when the run goes on
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow reject approve --comment 'names are left in 3 rows'")]
pub(crate) struct RejectArgs {
    #[command(flatten)]
    decision: DecisionArgs,
}

/// What both commands take.
#[derive(Debug, Args)]
struct DecisionArgs {
    /// The stage that waits
    stage: String,
    /// The run
    #[arg(long, default_value = "latest")]
    run: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Who decides; the user's name when left out
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

pub(super) fn approve(args: ApproveArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    decide(args.decision, true, shell)
}

pub(super) fn reject(args: RejectArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    decide(args.decision, false, shell)
}

fn decide(args: DecisionArgs, approved: bool, shell: &Shell) -> Result<ExitStatus, CliError> {
    let found = Found::run(shell, &args.run)?;
    let by = args.by.unwrap_or_else(person);
    let decision = Decision { approved, by, at: now(), comment: args.comment, via: "command".to_owned() };
    let record = run::approve(&found.project, found.run, &args.stage, decision)?;
    if shell.ui.json() {
        crate::ui::document(&record);
        return Ok(ExitStatus::Ok);
    }
    let (tone, word) = if approved { (Tone::Good, "✓ approved") } else { (Tone::Bad, "✗ rejected") };
    let mut text = format!("{} {} by {}\n", shell.ui.out.tone(tone, word), record.stage, record.decision.by);
    for reviewed in &record.reviewed {
        push(&mut text, format_args!("    {:<24} {}\n", reviewed.from, shell.ui.out.quiet(&reviewed.digest.to_string())));
    }
    push(&mut text, format_args!("  next  {}\n", shell.ui.out.strong("flow resume")));
    crate::ui::print(&text);
    Ok(ExitStatus::Ok)
}
