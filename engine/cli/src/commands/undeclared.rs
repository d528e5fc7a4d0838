//! `flow check --undeclared`: commands run once, watched, and everything they use without declaring it is listed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use flow_engine::{
    StageError,
    plan::{Plan, Undeclared, What},
    project::Project,
    run::{Sighting, undeclared},
};
use serde_json::json;

use crate::{CliError, ExitStatus, Shell, text::push, ui::Tone};

/// Which commands are watched.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// All of the workflow.
    Every,
    /// The one of this name.
    One(String),
}

impl Which {
    /// Reads what stands after the `=`, which may be left out.
    #[expect(clippy::unnecessary_wraps, reason = "the shape that clap asks for")]
    pub(super) fn parse(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(if text.is_empty() { Self::Every } else { Self::One(text.to_owned()) })
    }
}

/// Watches the commands of a plan, or the one named, and tells what came of it.
pub(super) fn execute((project, plan): (&Project, &Plan), which: &Which, shell: &Shell) -> Result<ExitStatus, CliError> {
    let only = match which {
        Which::Every => None,
        Which::One(name) => Some(name.as_str()),
    };
    if let Some(name) = only
        && plan.find(name).is_none_or(|node| plan.graph[node].stage.kind() != "cmd")
    {
        let error = StageError::input(format!("there is no command {name:?} in this workflow"))
            .help("name a stage with `uses: cmd@1`, or none to watch them all");
        return Err(error.into());
    }
    let cancelled = Arc::new(AtomicBool::new(false));
    listen(cancelled.clone())?;
    let sightings = undeclared(plan, (project, &shell.registry), only, &cancelled)?;
    if shell.ui.json() {
        crate::ui::document(&json!({ "workflow": plan.workflow, "commands": sightings }));
    } else {
        crate::ui::print(&text(&sightings, shell));
    }
    Ok(status(&sightings, cancelled.load(Ordering::Relaxed)))
}

fn status(sightings: &[Sighting], cancelled: bool) -> ExitStatus {
    if cancelled {
        ExitStatus::Interrupted
    } else if sightings.iter().any(|sighting| !sighting.undeclared.is_empty()) {
        ExitStatus::WorkflowInvalid
    } else if sightings.iter().any(|sighting| sighting.failure.is_some()) {
        ExitStatus::StageFailed
    } else {
        ExitStatus::Ok
    }
}

/// Turns a signal into the wish to stop; the command that runs is ended and nothing of it stays.
fn listen(cancelled: Arc<AtomicBool>) -> Result<(), CliError> {
    let failed = |error: &std::io::Error| CliError::internal("cannot listen for signals", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(|error| failed(&error))?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancelled.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(())
}

fn text(sightings: &[Sighting], shell: &Shell) -> String {
    let paint = shell.ui.out;
    let mut out = String::new();
    for sighting in sightings {
        let count = sighting.undeclared.len();
        let (sign, told) = match (count, &sighting.failure) {
            (0, None) => (paint.tone(Tone::Good, "✓"), "everything it uses is declared".to_owned()),
            (0, Some(_)) => (paint.tone(Tone::Bad, "✗"), "could not be watched to its end".to_owned()),
            (1, _) => (paint.tone(Tone::Bad, "✗"), "one thing is not declared".to_owned()),
            (count, _) => (paint.tone(Tone::Bad, "✗"), format!("{count} things are not declared")),
        };
        push(&mut out, format_args!("{sign} {}: {told}\n", sighting.stage));
        for one in &sighting.undeclared {
            push(&mut out, format_args!("    {:<9} {}\n", verb(one), one.name));
            push(&mut out, format_args!("              {}\n", paint.quiet(&one.advice)));
        }
        if let Some(failure) = &sighting.failure {
            push(&mut out, format_args!("    {failure}\n"));
        }
    }
    if sightings.is_empty() {
        out.push_str("this workflow has no commands\n");
    }
    out
}

fn verb(one: &Undeclared) -> &'static str {
    match one.what {
        What::Missing => "looks for",
        What::Read => "reads",
        What::List => "lists",
        What::Write => "writes",
        What::Program => "runs",
        What::Packages => "loads",
        What::Network => "reaches",
    }
}
