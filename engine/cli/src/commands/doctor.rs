//! `flow doctor`.

use clap::Args;
use serde_json::json;

use crate::{
    ExitStatus, Shell,
    doctor::{Check, State, examine},
    text::{Cell, Grid},
    ui::{Tone, Ui},
};

/// Look at this machine and project: store, disk, clock, memory, processors, sandbox, tools, and settings
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow doctor
  flow doctor --json

Exit codes: 0 nothing fails, 1 something does")]
pub(crate) struct DoctorArgs {}

pub(super) fn execute(_: &DoctorArgs, shell: &Shell) -> ExitStatus {
    let project = shell.project();
    let checks = examine(project.as_ref().map_err(|error| error.as_diagnostic().to_string()));
    let failed = checks.iter().any(|check| check.state == State::Fail);
    if shell.ui.json() {
        crate::ui::document(&json!({ "checks": checks, "version": shell.version }));
    } else {
        crate::ui::print(&text(&checks, shell.ui));
    }
    if failed { ExitStatus::StageFailed } else { ExitStatus::Ok }
}

fn text(checks: &[Check], ui: Ui) -> String {
    let mut grid = Grid::new();
    for check in checks {
        let (tone, sign) = match check.state {
            State::Ok => (Tone::Good, "✓"),
            State::Warn => (Tone::Watch, "!"),
            State::Fail => (Tone::Bad, "✗"),
        };
        let word = match check.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "fail",
        };
        grid.row([
            Cell::toned(tone, sign),
            Cell::toned(Tone::Strong, check.name),
            Cell::toned(tone, word),
            Cell::plain(check.found.clone()),
        ]);
    }
    let steps: String =
        checks.iter().filter_map(|check| Some(format!("  next  {}: {}\n", check.name, check.next.as_deref()?))).collect();
    let gap = if steps.is_empty() { "" } else { "\n" };
    format!("{}{gap}{steps}", grid.render(ui.out, ui.width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::{Output, Paint};

    #[test]
    fn every_finding_is_a_line_and_what_is_wrong_has_a_next_step() {
        let check = |name, state, next: Option<&str>| Check { name, state, found: "x".into(), next: next.map(Into::into) };
        let ui = Ui { out: Paint::Plain, width: 80, ..Ui::detect(Output::Text) };
        let shown = text(&[check("disk", State::Ok, None), check("git", State::Warn, Some("install git"))], ui);
        assert_eq!(shown, "  ✓  disk  ok    x\n  !  git   warn  x\n\n  next  git: install git\n");
    }
}
