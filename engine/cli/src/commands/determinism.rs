//! `flow check --determinism STAGE`.

use flow_engine::{
    Determinism,
    plan::Plan,
    project::Project,
    run::{Divergence, Repeatability, RunnerProgram, check_repeatability},
};

use crate::{
    CliError, ExitStatus, Shell,
    text::{duration, push},
    ui::{Tone, Ui},
};

pub(super) fn execute((plan, project): (&Plan, &Project), stage: &str, shell: &Shell) -> Result<ExitStatus, CliError> {
    let runner = RunnerProgram::current().map_err(|error| CliError::internal("cannot find this program", &error))?;
    let found = check_repeatability((plan, project), &shell.registry, stage, &runner)?;
    if shell.ui.json() {
        crate::ui::document(&found);
    } else {
        crate::ui::print(&text(&found, shell.ui));
    }
    Ok(if found.holds() { ExitStatus::Ok } else { ExitStatus::StageFailed })
}

fn text(found: &Repeatability, ui: Ui) -> String {
    let stage = ui.out.strong(&found.stage);
    let [first, second] = found.seconds.map(duration);
    if found.holds() {
        let recorded = if found.agrees_with_recorded.is_some() { " and the recorded result" } else { "" };
        let sign = ui.out.tone(Tone::Good, "✓");
        return format!("{sign} {stage} repeats itself: two rounds ({first} and {second}){recorded} gave the same bytes\n");
    }
    let mut out = format!("{} {stage} does not repeat itself\n", ui.out.tone(Tone::Bad, "✗"));
    for difference in &found.differences {
        push(&mut out, format_args!("    {}\n", place(difference)));
    }
    if !found.metrics.is_empty() {
        push(&mut out, format_args!("    other numbers: {}\n", found.metrics.join(", ")));
    }
    if found.agrees_with_recorded == Some(false) {
        out.push_str("    the recorded result is another one: an input or a tool that is not declared may have changed\n");
    }
    push(&mut out, format_args!("  {}\n", ui.out.quiet(promise(found.promised))));
    out
}

fn place(difference: &Divergence) -> String {
    let Divergence { port, path, offset, files } = difference;
    let file = if path.is_empty() { format!("output {port}") } else { format!("output {port}, file {path}") };
    let at = match offset {
        Some(offset) => format!(" differs from byte {offset} on"),
        None => " was not written both times".to_owned(),
    };
    let more = if *files > 1 { format!(" (the first of {files})") } else { String::new() };
    format!("{file}{at}{more}")
}

fn promise(promised: Determinism) -> &'static str {
    match promised {
        Determinism::Deterministic => "its kind promises the same bytes everywhere; look for order, time, and randomness",
        Determinism::Seeded => "its kind promises the same bytes on one kind of machine; look for order, time, and randomness",
        Determinism::Nondeterministic => "its kind promises nothing else: it answers to the outside world",
    }
}
