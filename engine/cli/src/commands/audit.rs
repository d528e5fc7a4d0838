//! `flow audit`.

use clap::{Args, Subcommand};
use flow_engine::govern::{
    AuditLog, Happening,
    audit::{Inspection, Record, Severity, verify},
};

use crate::{
    CliError, ExitStatus, Shell,
    text::{Cell, Grid, push},
    ui::{Tone, Ui},
};

/// Show who ran, decided, and published what, and prove that the log is whole
///
/// Every record holds the hash of the one before. The store and every signed decision remember where the log ended, so that
/// one that was cut short is found out too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow audit                   the latest records
  flow audit --limit 500 --json
  flow audit verify            exit code 1 when anything was changed")]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: Option<AuditCommand>,
    /// Records to show at most, from the end
    #[arg(long, value_name = "N", default_value_t = 40)]
    limit: usize,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Read the log again: hashes, signatures, and where it must end
    Verify,
}

pub(super) fn execute(args: &AuditArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let project = shell.project()?;
    match args.command {
        Some(AuditCommand::Verify) => {
            let inspection = verify(&project)?;
            let status = if inspection.holds() { ExitStatus::Ok } else { ExitStatus::StageFailed };
            if shell.ui.json() {
                crate::ui::document(&inspection);
            } else {
                crate::ui::print(&inspected(&inspection, shell.ui));
            }
            Ok(status)
        }
        None => {
            let records = AuditLog::of(&project).records()?;
            let latest = records.get(records.len().saturating_sub(args.limit)..).unwrap_or_default();
            if shell.ui.json() {
                crate::ui::document(&latest);
            } else {
                crate::ui::print(&list(latest, shell.ui));
            }
            Ok(ExitStatus::Ok)
        }
    }
}

fn inspected(inspection: &Inspection, ui: Ui) -> String {
    let mut out = String::new();
    for finding in &inspection.findings {
        let sign = match finding.severity {
            Severity::Broken => ui.out.tone(Tone::Bad, "✗"),
            Severity::Note => ui.out.tone(Tone::Watch, "!"),
        };
        push(&mut out, format_args!("{sign} {}\n", finding.message));
    }
    let counts = format!("{} records, {} signed decisions", inspection.records, inspection.signatures);
    let (sign, word) = if inspection.holds() {
        (ui.out.tone(Tone::Good, "✓"), "the log is whole")
    } else {
        (ui.out.tone(Tone::Bad, "✗"), "the log is not what flow wrote")
    };
    push(&mut out, format_args!("{sign} {word}: {counts}\n"));
    out
}

fn list(records: &[Record], ui: Ui) -> String {
    if records.is_empty() {
        return "nothing is recorded yet: the first run begins the log\n".to_owned();
    }
    let mut grid = Grid::headed(&["", "time", "who", "what", "about"]);
    for record in records {
        grid.row([
            Cell::toned(Tone::Quiet, record.seq.to_string()),
            Cell::plain(record.at.strftime("%Y-%m-%d %H:%M:%S").to_string()),
            Cell::plain(record.actor.clone()),
            Cell::toned(tone(&record.event), record.event.word()),
            Cell::plain(about(&record.event)),
        ]);
    }
    grid.render(ui.out, ui.width)
}

fn tone(event: &Happening) -> Tone {
    match event {
        Happening::Decided { approved: true, .. } | Happening::Published { .. } => Tone::Good,
        Happening::Decided { .. } | Happening::Refused { .. } => Tone::Bad,
        Happening::Voided { .. } | Happening::GateNotMet { .. } => Tone::Watch,
        Happening::PolicyChecked { broken, .. } if !broken.is_empty() => Tone::Bad,
        Happening::RunStarted { .. }
        | Happening::RunResumed { .. }
        | Happening::RunFinished { .. }
        | Happening::SecretUsed { .. }
        | Happening::PolicyChecked { .. }
        | Happening::Collected { .. }
        | Happening::RunsRemoved { .. }
        | Happening::Unknown => Tone::Calm,
    }
}

fn about(event: &Happening) -> String {
    match event {
        Happening::RunStarted { run, workflow } => format!("{workflow}, run {run}"),
        Happening::RunResumed { run } => format!("run {run}"),
        Happening::RunFinished { run, outcome } => format!("run {run}: {outcome}"),
        Happening::Decided { stage, by, via, .. } => format!("{stage} by {by} ({via})"),
        Happening::Refused { stage, by, reason, .. } => format!("{by} about {stage}: {reason}"),
        Happening::Voided { stage, by, objection, .. } => format!("what {by} decided about {stage}: {objection}"),
        Happening::GateNotMet { stage, expression, detail, .. } => format!("{stage}: {expression} ({detail})"),
        Happening::Published { stage, reference, digest, .. } => {
            format!("{} by {stage}", reference.clone().unwrap_or_else(|| digest.short()))
        }
        Happening::SecretUsed { stage, secret, .. } => format!("{secret} by {stage}"),
        Happening::PolicyChecked { policy, broken, warned } => {
            let rules: Vec<&str> = broken.iter().chain(warned).map(String::as_str).collect();
            format!("{} {}", policy.short(), rules.join(", "))
        }
        Happening::Collected { results, bytes } => format!("{results} results, {}", crate::text::bytes(*bytes)),
        Happening::RunsRemoved { runs } => runs.join(", "),
        Happening::Unknown => String::new(),
    }
}
