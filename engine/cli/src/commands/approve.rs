//! `flow approve` and `flow reject`.

use clap::Args;
use flow_engine::{
    context::Decision,
    run::{self, ApprovalRecord},
};

use super::{
    drive::{now, person},
    find::Found,
    standing, who,
};
use crate::{
    CliError, ExitStatus, Shell,
    text::push,
    ui::{Paint, Tone},
};

/// Approve what a parked stage asks about; the signature binds to the digests under review
///
/// The decision is signed with your key. Where flow.toml names people under `[trust]` it must be one of theirs, in a role that
/// the stage asks; elsewhere a key is made for you, and the record says that it is your own word.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow approve approve
  flow approve approve --comment 'bias report read, skew is fine' --by ada
  flow approve approve --key work
  flow resume                  goes on afterwards")]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    decision: DecisionArgs,
}

/// Reject what a parked stage asks about; it stands until the content changes
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
    /// Who decides: a name of [trust], else any; the user's name when left out
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// The key to sign with, by name or file
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

pub(super) fn approve(args: ApproveArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    decide(args.decision, true, shell)
}

pub(super) fn reject(args: RejectArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    decide(args.decision, false, shell)
}

fn decide(args: DecisionArgs, approved: bool, shell: &Shell) -> Result<ExitStatus, CliError> {
    let found = Found::run(shell, &args.run)?;
    let by = args.by.clone().unwrap_or_else(person);
    let decision = Decision { approved, by, at: now(), comment: args.comment, via: "command".to_owned(), signed: Vec::new() };
    let signatory = who::signatory(&found.project).named(args.key).by(args.by);
    let record = run::approve(&found.project, (found.run, &args.stage), decision, &signatory)?;
    if shell.ui.json() {
        crate::ui::document(&record);
    } else {
        crate::ui::print(&text(&record, shell.ui.out));
    }
    Ok(ExitStatus::Ok)
}

fn text(record: &ApprovalRecord, paint: Paint) -> String {
    let approved = record.decision.approved;
    let (tone, word) = if approved { (Tone::Good, "✓ approved") } else { (Tone::Bad, "✗ rejected") };
    let mut text = format!("{} {} by {}\n", paint.tone(tone, word), record.stage, record.decision.by);
    for reviewed in &record.reviewed {
        push(&mut text, format_args!("    {:<24} {}\n", reviewed.from, paint.quiet(&reviewed.digest.to_string())));
    }
    text.push_str(&standing::text(&record.question, 4, paint));
    let word = if record.question.tally.identified { "" } else { ", self-approved" };
    push(&mut text, format_args!("    {} {}{word}\n", paint.quiet("signed   "), record.signed_by));
    let missing = record.question.tally.missing();
    let next = if approved && missing > 0 {
        let more = if missing == 1 { "one more approval is".to_owned() } else { format!("{missing} more approvals are") };
        let names = if record.question.eligible.is_empty() {
            record.question.terms.asked()
        } else {
            record.question.eligible.join(" or ")
        };
        format!("{more} needed, by {names}")
    } else {
        paint.strong("flow resume")
    };
    push(&mut text, format_args!("  next  {next}\n"));
    text
}
