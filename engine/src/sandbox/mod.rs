//! Walls around a command: which files it may read and write, and that it reaches no network.
//!
//! Landlock keeps the files, a seccomp filter refuses sockets, and privileges of an administrator are given up. All of it
//! needs no privilege, holds for everything the command starts, and cannot be taken back. Where the kernel offers less, the
//! command does not start: a promise that is half kept is none. What is declared is the business of the caller.

mod fence;
mod notify;
mod observe;
mod privileges;
mod toolchain;

use std::{
    io,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
};

pub(crate) use observe::{Found, How, Seen, Watch};
pub(crate) use toolchain::holds as is_toolchain;

use crate::StageError;

/// What a command may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walls {
    /// What it may read beside the toolchain.
    pub(crate) reads: Reads,
    /// Folders that are its own.
    pub(crate) writes: Vec<PathBuf>,
}

/// What a command may read beside the toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Anything.
    Everywhere,
    /// These files and what is below these folders.
    Only(Vec<PathBuf>),
}

/// A command that could not be started behind its walls.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// The kernel cannot keep files.
    #[error("this kernel cannot keep a command from reading files")]
    Files(#[source] landlock::RulesetError),
    /// The kernel cannot filter calls.
    #[error("this kernel cannot keep a command from the network")]
    Network(#[source] seccompiler::Error),
    /// The filter could not be made for this processor.
    #[error("cannot make a filter for this processor")]
    Filter(#[source] seccompiler::BackendError),
    /// The kernel cannot report calls.
    #[error("this kernel cannot observe a command")]
    Observe(#[source] io::Error),
    /// Privileges, or open files, cannot be given up.
    #[error("this kernel cannot take privileges and open files from a command")]
    Privileges(#[source] io::Error),
    /// A path that the command would write to lies where every command may read.
    #[error("{} lies in a folder that every command may read", .0.display())]
    Inside(PathBuf),
    /// The program could not be started.
    #[error("cannot start the program")]
    Start(#[source] io::Error),
}

impl From<SandboxError> for StageError {
    fn from(error: SandboxError) -> Self {
        let help = match &error {
            SandboxError::Files(_) => {
                "strict commands need Linux 6.2 or newer with Landlock among its security modules; \
                 write `sandbox: workdir` to run without this protection"
            }
            SandboxError::Network(_) | SandboxError::Filter(_) | SandboxError::Observe(_) => {
                "the kernel needs seccomp filters; write `sandbox: workdir` to run without this protection"
            }
            SandboxError::Privileges(_) => "write `sandbox: workdir` to run without this protection",
            SandboxError::Inside(_) => "move the project and the store out of it, such as below /home",
            SandboxError::Start(_) => "check that the program is there and may be run",
        };
        let stage = Self::input(error.to_string()).help(help);
        match std::error::Error::source(&error) {
            Some(cause) => stage.because(cause),
            None => stage,
        }
    }
}

/// Whether this kernel can put a command behind walls; what `sandbox: strict` would fail with where it cannot.
pub fn supports_strict() -> Result<(), StageError> {
    // The filter holds for the thread that asks, so it is not the caller's.
    let asked = thread::spawn(|| {
        fence::try_files()?;
        fence::keep_from_network()
    });
    asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(StageError::from)
}

/// Starts a command behind walls, with no way to any network.
pub(crate) fn start(command: Command, walls: &Walls) -> Result<Child, SandboxError> {
    for own in &walls.writes {
        refuse_inside(own)?;
    }
    apart(command, || {
        fence::keep_files(walls)?;
        give_up()?;
        fence::keep_from_network()
    })
}

/// Starts a command that may write only to its own folders, and watches what it reads, runs, and tries to reach.
pub(crate) fn start_watched(command: Command, walls: &Walls) -> Result<(Child, Watch), SandboxError> {
    let (give, take) = std::sync::mpsc::channel();
    let watch = Watch::await_listener(take);
    let child = apart(command, move || {
        fence::keep_files(walls)?;
        give_up()?;
        let listener = notify::listen(observe::CALLS).map_err(SandboxError::Observe)?;
        // The watch outlives this thread.
        give.send(listener).ok();
        Ok(())
    })?;
    Ok((child, watch))
}

/// Starts a command from a thread of its own: walls hold for the thread that raises them and for all it starts.
fn apart(mut command: Command, raise: impl FnOnce() -> Result<(), SandboxError> + Send) -> Result<Child, SandboxError> {
    let started = thread::scope(|scope| {
        let thread = scope.spawn(move || {
            raise()?;
            command.spawn().map_err(SandboxError::Start)
        });
        thread.join()
    });
    started.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// After the files are kept: that also keeps programs from gaining what is given up here.
fn give_up() -> Result<(), SandboxError> {
    privileges::give_up().and_then(|()| privileges::keep_files_closed()).map_err(SandboxError::Privileges)
}

fn refuse_inside(own: &Path) -> Result<(), SandboxError> {
    let real = own.canonicalize().map_err(SandboxError::Start)?;
    if is_toolchain(&real) { Err(SandboxError::Inside(real)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
