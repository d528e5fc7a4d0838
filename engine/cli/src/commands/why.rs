//! `flow why`.

use clap::Args;
use flow_engine::{
    plan::selects,
    run::{Reason, StageStatus, Why, why},
    store::Store,
};

use super::find::Found;
use crate::{
    CliError, ExitStatus, Shell, reason,
    text::{duration, push},
    ui::Ui,
};

/// Say why a stage ran, was cached, or was not reached
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow why train
  flow why train --run 01JDF3 --json")]
pub(crate) struct WhyArgs {
    /// The stage; 'clean@*' means all of its instances
    stage: String,
    /// The run
    #[arg(long, default_value = "latest")]
    run: String,
}

pub(super) fn execute(args: &WhyArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let found = Found::run(shell, &args.run)?;
    let selected: Vec<&str> =
        found.state.stages.iter().map(|stage| stage.name.as_str()).filter(|name| selects(&args.stage, name)).collect();
    // A name that selects nothing is told by the engine, which knows all of them.
    let asked = if selected.is_empty() { vec![args.stage.as_str()] } else { selected };
    let answers: Vec<Why> =
        asked.into_iter().map(|stage| why(&found.project, stage, Some(found.run))).collect::<Result<_, _>>()?;
    match answers.as_slice() {
        [answer] if shell.ui.json() => crate::ui::document(answer),
        answers if shell.ui.json() => crate::ui::document(&answers),
        answers => {
            let store = Store::open(&found.project.site.store)?;
            for answer in answers {
                crate::ui::print(&text(answer, &store, shell.ui));
            }
        }
    }
    Ok(ExitStatus::Ok)
}

fn text(why: &Why, store: &Store, ui: Ui) -> String {
    let stage = ui.out.strong(&why.stage);
    let because = match &why.reason {
        Reason::Changed { .. } | Reason::First | Reason::Repeated { .. } => "because ",
        Reason::Unchanged { .. } | Reason::CutOff { .. } | Reason::NotReached => "",
    };
    let joint = if because.is_empty() { ": " } else { " " };
    let mut out = format!("{stage} {}{joint}{because}{}\n", verb(why), reason::sentence(&why.reason, store));
    match &why.reason {
        Reason::Changed { than } => {
            let changes = reason::changes(than, store);
            if changes.len() > 1 {
                for change in &changes {
                    push(&mut out, format_args!("    {change}\n"));
                }
            }
            let of = if than.stage == why.stage { String::new() } else { format!("stage {} of ", than.stage) };
            push(&mut out, format_args!("  {}\n", ui.out.quiet(&format!("compared with {of}run {}", than.run))));
            if let Some(way_back) = reason::way_back(than, store) {
                let took = why.seconds.map(|seconds| format!("the work took {}; ", duration(seconds))).unwrap_or_default();
                push(&mut out, format_args!("  {}\n", ui.out.quiet(&format!("{took}{way_back}"))));
            }
        }
        Reason::CutOff { equal_inputs, .. } => {
            for input in equal_inputs {
                push(&mut out, format_args!("    same {input}\n"));
            }
        }
        Reason::First | Reason::Unchanged { .. } | Reason::Repeated { .. } | Reason::NotReached => {}
    }
    out
}

fn verb(why: &Why) -> &'static str {
    let again = match &why.reason {
        Reason::Changed { than } => than.stage == why.stage,
        Reason::Repeated { .. } => true,
        Reason::First | Reason::Unchanged { .. } | Reason::CutOff { .. } | Reason::NotReached => false,
    };
    match &why.status {
        StageStatus::Cached { .. } => "was cached",
        StageStatus::Skipped { .. } => "was skipped",
        StageStatus::Pending => "did not run",
        StageStatus::Parked => "waits for approval",
        StageStatus::Failed => "ran and failed",
        StageStatus::Waiting { .. } | StageStatus::Running | StageStatus::Retrying => "runs",
        StageStatus::Succeeded | StageStatus::GateFailed | StageStatus::Interrupted if again => "re-ran",
        StageStatus::Succeeded | StageStatus::GateFailed | StageStatus::Interrupted => "ran",
    }
}
