//! A running command as one group of processes, started as its sandbox level asks.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::Mode,
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, umask, waitid},
};

use super::mask::{Carriers, Log, Mask};
use crate::{
    StageContext, StageError,
    sandbox::{self, SandboxError, Walls, Watch},
};

/// How soon it is seen that the stage is to stop. The end of the command is seen at once.
const POLL: Duration = Duration::from_millis(20);
/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// What files get that a command makes, whoever runs it.
const UMASK: u32 = 0o022;

/// How a command is started.
pub(super) enum Launch<'a> {
    /// As any process.
    Open,
    /// Behind walls.
    Walled(&'a Walls),
    /// Behind walls, watched.
    Watched(&'a Walls),
}

/// A command and everything it starts. Whatever is left of it is killed when this goes away.
pub(super) struct Group {
    leader: Child,
    pid: Option<Pid>,
}

/// What goes on beside a running command.
pub(super) struct Company {
    carriers: Carriers,
    /// Only for a watched command.
    pub(super) watch: Option<Watch>,
}

impl Company {
    /// Waits until everything the command wrote is in the log, but not for ever.
    pub(super) fn finish(self) -> Option<Watch> {
        self.carriers.finish();
        self.watch
    }
}

impl Group {
    /// Starts a command whose program is known by `name` to people.
    pub(super) fn start(mut command: Command, how: &Launch<'_>, mask: &Mask) -> Result<(Self, Company), SandboxError> {
        // A walled command may not open its log; a masked one must not write to it itself.
        if !mask.is_empty() || !matches!(how, Launch::Open) {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        command.stdin(Stdio::null()).process_group(0);
        umask(Mode::from_raw_mode(UMASK));
        let (mut leader, watch) = match how {
            Launch::Open => (command.spawn().map_err(SandboxError::Start)?, None),
            Launch::Walled(walls) => (sandbox::start(command, walls)?, None),
            Launch::Watched(walls) => sandbox::start_watched(command, walls).map(|(child, watch)| (child, Some(watch)))?,
        };
        let log = if watch.is_some() { Log::Aside } else { Log::Apart };
        let carriers = Carriers::start(&mut leader, mask, log);
        let pid = i32::try_from(leader.id()).ok().and_then(Pid::from_raw);
        Ok((Self { leader, pid }, Company { carriers, watch }))
    }

    /// Waits for the end of the command, and ends it when the stage is to stop.
    pub(super) fn wait(&mut self, cx: &StageContext<'_>) -> Result<ExitStatus, StageError> {
        let mut asked: Option<Instant> = None;
        let ended = self.await_end();
        loop {
            if let Some(status) = self.leader.try_wait()? {
                return cx.check_cancelled().map(|()| status);
            }
            match (cx.check_cancelled(), asked) {
                (Err(_), None) => {
                    self.signal(Signal::TERM);
                    asked = Some(Instant::now());
                }
                (Err(cancelled), Some(since)) if since.elapsed() > GRACE => return Err(cancelled),
                _ => {}
            }
            if ended.recv_timeout(POLL) == Err(RecvTimeoutError::Disconnected) {
                // Nobody tells of the end; it is looked for.
                thread::sleep(POLL);
            }
        }
    }

    /// Tells when the leader has ended, and leaves its status to whoever asks for it.
    fn await_end(&self) -> Receiver<()> {
        let (end, ended) = channel();
        if let Some(pid) = self.pid {
            let wait = move || {
                let wait = || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
                while matches!(wait(), Err(Errno::INTR)) {}
                // The command may have been given up meanwhile.
                end.send(()).ok();
            };
            // Without a thread the end is seen a little later.
            thread::Builder::new().spawn(wait).ok();
        }
        ended
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            // A group that is gone already is what was wanted.
            kill_process_group(pid, signal).ok();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // Reaps the leader; an error only says that it was reaped before.
        self.leader.wait().ok();
    }
}
