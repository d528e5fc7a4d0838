//! `flow policy`, and the same check before every run.

use clap::Args;
use flow_engine::{
    govern::{
        AuditLog, Durability, Happening,
        policy::{PolicyReport, RuleReport, Severity, evaluate},
    },
    plan::Plan,
    project::Project,
};

use super::drive::person;
use crate::{
    CliError, ExitStatus, Shell,
    args::WorkflowArgs,
    text::{Cell, Grid, push},
    ui::{Tone, Ui},
};

/// Hold a workflow against the project's policy, without running anything
///
/// The policy is the file that flow.toml names under `[policy] file`. The same rules are asked before every run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow policy
  flow policy workflows/quickstart.yaml --json")]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
}

pub(super) fn execute(args: &PolicyArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let (project, plan) = args.workflow.load(shell)?;
    let report = evaluate(&plan, &project, &[])?;
    if shell.ui.json() && report.named(Severity::Error).is_empty() {
        crate::ui::document(&report);
    } else if !shell.ui.json() {
        crate::ui::print(&text(&report, shell.ui));
    }
    report.enforced()?;
    Ok(ExitStatus::Ok)
}

/// Refuses a plan that the policy forbids, and tells what it only warns of.
pub(super) fn enforce((project, plan): (&Project, &Plan), flags: &[String], shell: &Shell) -> Result<PolicyReport, CliError> {
    warned(evaluate(plan, project, flags)?, shell)
}

/// The same before a run, for the audit log.
pub(super) fn enforce_recorded(on: (&Project, &Plan), flags: &[String], shell: &Shell) -> Result<PolicyReport, CliError> {
    let (project, plan) = on;
    let report = evaluate(plan, project, flags)?;
    if let Some(policy) = report.digest {
        let (broken, warned) = (report.named(Severity::Error), report.named(Severity::Warn));
        let checked = Happening::PolicyChecked { policy, broken, warned };
        AuditLog::of(project).append(&person(), checked, Durability::Later)?;
    }
    warned(report, shell)
}

fn warned(report: PolicyReport, shell: &Shell) -> Result<PolicyReport, CliError> {
    if !shell.ui.json() {
        for problem in report.warnings() {
            let line = problem.file.position(problem.span.start).line;
            let sign = shell.ui.err.tone(Tone::Watch, "!");
            crate::ui::note(&format!("  {sign}  {} ({}:{line})", problem.message, problem.file_name()));
        }
    }
    Ok(report.enforced()?)
}

fn text(report: &PolicyReport, ui: Ui) -> String {
    if report.rules.is_empty() {
        return "no rule applies: flow.toml names no policy under [policy] file\n".to_owned();
    }
    let mut grid = Grid::new();
    for rule in &report.rules {
        let (tone, sign, word) = standing(rule);
        grid.row([
            Cell::toned(tone, sign),
            Cell::toned(Tone::Strong, rule.id.clone()),
            Cell::toned(tone, word),
            Cell::plain(rule.message.clone()),
        ]);
    }
    let mut out = grid.render(ui.out, ui.width);
    for breach in report.rules.iter().filter(|rule| rule.severity == Severity::Warn).flat_map(|rule| &rule.breaches) {
        push(&mut out, format_args!("  {} {}\n", ui.out.tone(Tone::Watch, "!"), breach.problem.message));
    }
    out
}

fn standing(rule: &RuleReport) -> (Tone, &'static str, String) {
    match (rule.breaches.len(), rule.severity, rule.applied) {
        (0, _, 0) => (Tone::Quiet, "–", "does not apply".to_owned()),
        (0, _, applied) => (Tone::Good, "✓", format!("met {applied}×")),
        (count, Severity::Warn, _) => (Tone::Watch, "!", format!("warns {count}×")),
        (count, Severity::Error, _) => (Tone::Bad, "✗", format!("broken {count}×")),
    }
}
