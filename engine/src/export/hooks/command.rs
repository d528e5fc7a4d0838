//! One command of a hook: bounded in time and in what is kept of its output.

use std::{
    fs,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Ending, secret, variables};
use crate::{
    plan::command::{Carriers, Mask},
    workflow::{EnvironmentValue, HookCommand},
};

/// A hook tells somebody; work belongs in a stage.
const LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);
const KEPT_OUTPUT: usize = 64 << 10;

/// Runs a command to its end and keeps its output beside the run.
pub(super) fn run(hook: &HookCommand, (number, ending): (usize, &Ending<'_>)) -> Result<(), String> {
    let (program, arguments) = hook.run.split_first().ok_or("it names no command")?;
    let mut secrets = Vec::new();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&ending.project.root).envs(variables(ending)).process_group(0);
    for (name, value) in &hook.env {
        match value {
            EnvironmentValue::Text(text) => command.env(name, text),
            EnvironmentValue::Secret(named) => {
                let value = secret(named)?;
                secrets.push(value.clone());
                command.env(name, value)
            }
        };
    }
    let mask = Mask::of(secrets.iter().map(String::as_str)).map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot start {program}: {error}"))?;
    let (out, err) = (Kept::default(), Kept::default());
    let carriers = Carriers::between(&mut child, &mask, (out.clone(), err.clone()));
    let ended = wait(&mut child, LIMIT);
    carriers.finish();
    let place = ending.paths.directory().join(format!("hook-{number}.log"));
    if let Err(error) = fs::write(&place, [out.taken(), err.taken()].concat()) {
        tracing::warn!(%error, "Could not keep the output of a hook.");
    }
    ended
}

/// The beginning of what a command writes; what is too much is taken and dropped, so that the command is not held up.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self) -> Vec<u8> {
        std::mem::take(&mut self.bytes())
    }
}

impl Write for Kept {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut bytes = self.bytes();
        let room = KEPT_OUTPUT.saturating_sub(bytes.len()).min(buffer.len());
        bytes.extend_from_slice(buffer.get(..room).unwrap_or_default());
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn wait(child: &mut Child, limit: Duration) -> Result<(), String> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let begun = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break Ok(()),
            Ok(Some(status)) => break Err(format!("it ended with {status}")),
            Ok(None) if begun.elapsed() > limit => break Err(format!("it did not end within {} s", limit.as_secs())),
            Ok(None) => thread::sleep(POLL),
            Err(error) => break Err(format!("cannot wait for it: {error}")),
        }
    };
    if let Some(group) = group {
        // Whatever it left would hold its output open. A group that is gone already is what was wanted.
        kill_process_group(group, Signal::KILL).ok();
    }
    // Reaps it; an error only says that it was reaped before.
    child.wait().ok();
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_end_is_killed_with_all_it_started() {
        let mut child = Command::new("sh").args(["-c", "sleep 60 & wait"]).process_group(0).spawn().unwrap();
        let begun = Instant::now();
        let error = wait(&mut child, Duration::from_millis(100)).unwrap_err();
        assert!(error.contains("did not end") && begun.elapsed() < Duration::from_secs(20), "{error}");
    }
}
