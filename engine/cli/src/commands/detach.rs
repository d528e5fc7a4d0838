//! A run in the background: the same command again, as the leader of a session without a terminal.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use flow_engine::{
    project::Project,
    run::{Hangup, History, RunId},
};
use serde_json::json;

use crate::{CliError, ExitStatus, Shell, text::push};

/// The flag that a person types, and what the process in the background gets in its place.
const FLAG: &str = "--detach";
const BEHIND: &str = "--detached";
const POLL: Duration = Duration::from_millis(10);

/// Leaves the terminal, if this process is the one in the background.
pub(super) fn settle(detached: Option<RunId>) -> Hangup {
    if detached.is_none() {
        return Hangup::Stops;
    }
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "Already leads a group.");
    }
    Hangup::Ignored
}

/// Starts this command again in the background, and returns once the run has begun.
pub(super) fn start(shell: &Shell, project: &Project, run: RunId) -> Result<ExitStatus, CliError> {
    let history = History::of(project);
    let folder = history.paths(run).directory().to_owned();
    let log = folder.join("engine.log");
    let failed = |error: &std::io::Error| CliError::internal("cannot start a run in the background", error);
    fs::create_dir_all(&folder).map_err(|error| failed(&error))?;
    let mut child = spawn(run, &log).map_err(|error| failed(&error))?;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| failed(&error))? {
            // It may be over already; if it never began, its own words say why.
            if !history.paths(run).journal().exists() || !status.success() {
                crate::ui::note(fs::read_to_string(&log).unwrap_or_default().trim_end());
                return Ok(ExitStatus::from_code(status.code()));
            }
            break;
        }
        if history.is_live(run) {
            break;
        }
        std::thread::sleep(POLL);
    }
    tell(shell, run, (child.id(), &log));
    Ok(ExitStatus::Ok)
}

fn spawn(run: RunId, log: &Path) -> std::io::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != FLAG);
    Command::new(std::env::current_exe()?)
        .args(arguments.chain([BEHIND, &run.to_string()].map(OsString::from)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

fn tell(shell: &Shell, run: RunId, (pid, log): (u32, &Path)) {
    if shell.ui.json() {
        return crate::ui::document(&json!({ "run": run, "pid": pid, "log": log }));
    }
    let mut text = format!("run {run} goes on in the background (process {pid})\n");
    for (label, command) in [("next", "flow status --follow"), ("", "flow logs --follow"), ("", "flow cancel")] {
        push(&mut text, format_args!("  {label:<4}  {}\n", shell.ui.out.strong(command)));
    }
    crate::ui::print(&text);
}
