//! Memory of an attempt: its cap, its peak, and whether it ran out.
//!
//! A cap is a control group of its own where the machine lets us make one, which counts all processes of the stage together;
//! elsewhere a limit on the data that each of them may allocate. Whoever dies of memory is told with figures.

mod group;

use std::{
    fs,
    path::Path,
    process::ExitStatus,
    time::{Duration, Instant},
};

use std::os::unix::process::ExitStatusExt;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use self::group::Group;
use super::session;
use crate::{
    StageError,
    resources::{MemoryCap, Resources},
    units::Size,
};

const EVERY: Duration = Duration::from_millis(500);
/// Words of programs that could not allocate.
const WORDS: [&str; 5] = ["memory allocation of", "out of memory", "MemoryError", "Cannot allocate memory", "std::bad_alloc"];
/// How much of a log is looked at for them.
const TAIL: usize = 4096;

/// How the memory of an attempt is capped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub(crate) enum Cap {
    /// By a control group that its processes enter.
    Group {
        /// Its folder.
        folder: std::path::PathBuf,
    },
    /// By a limit on the data of each process.
    Data {
        /// Bytes.
        bytes: u64,
    },
}

impl Cap {
    /// Puts this process and all it starts under the cap.
    pub(crate) fn enter(&self) -> Result<(), StageError> {
        let entered = match self {
            Self::Group { folder } => fs::write(folder.join("cgroup.procs"), std::process::id().to_string()),
            Self::Data { bytes } => {
                let limit = Rlimit { current: Some(*bytes), maximum: Some(*bytes) };
                setrlimit(Resource::Data, limit).map_err(Into::into)
            }
        };
        entered.map_err(|error| StageError::resource("cannot cap the memory of the stage").because(&error))
    }
}

/// Watches the memory of one attempt.
pub(crate) struct MemoryWatch {
    asked: Size,
    enforced: bool,
    group: Option<Group>,
    kills: u64,
    peak: u64,
    next: Instant,
}

/// An attempt that ran out of memory.
pub(crate) struct OutOfMemory {
    /// What to tell.
    pub(crate) error: StageError,
    /// The most that was seen in use.
    pub(crate) peak: Size,
}

impl MemoryWatch {
    /// Begins before the process is started. `name` is the attempt's own.
    pub(crate) fn begin(needs: &Resources, name: &str) -> Self {
        let enforced = needs.cap == MemoryCap::Enforced && needs.mem > Size::default();
        let group = if enforced { Group::make(name, needs.mem) } else { None };
        Self { asked: needs.mem, enforced, kills: group::kills(group.as_ref()), group, peak: 0, next: Instant::now() }
    }

    /// The cap that the process enters.
    pub(crate) fn cap(&self) -> Option<Cap> {
        match (&self.group, self.enforced) {
            (Some(group), _) => Some(Cap::Group { folder: group.folder().to_owned() }),
            (None, true) => Some(Cap::Data { bytes: self.asked.get() }),
            (None, false) => None,
        }
    }

    /// Looks, now and then, at what the processes below `leader` use.
    pub(crate) fn look(&mut self, leader: u32) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        let used = session::family(leader).into_iter().filter_map(resident).sum();
        self.peak = self.peak.max(used);
    }

    /// Whether a failed attempt ran out of memory. `told` is what the stage said, `log` its standard error.
    pub(crate) fn verdict(&self, status: ExitStatus, told: Option<&StageError>, log: &Path) -> Option<OutOfMemory> {
        let told = told.map(ToString::to_string).unwrap_or_default();
        let killed = status.signal() == Some(9) || told.contains("signal 9") || told.contains("status 137");
        let by_kernel = killed && group::kills(self.group.as_ref()) > self.kills;
        let starved = || WORDS.iter().any(|word| told.contains(word) || tail(log).contains(word));
        let by_cap = self.enforced && starved();
        if !by_kernel && !by_cap {
            return None;
        }
        let peak = Size::bytes(self.group.as_ref().and_then(Group::peak).unwrap_or(0).max(self.peak));
        Some(OutOfMemory { error: self.explain(peak, by_kernel), peak })
    }

    fn explain(&self, peak: Size, by_kernel: bool) -> StageError {
        let used = if peak > Size::default() { format!(" with {peak} in use") } else { String::new() };
        let of = if self.asked > Size::default() { format!(", {} asked for", self.asked) } else { String::new() };
        let message = match (self.enforced, by_kernel) {
            (true, _) => format!("out of memory: the stage reached its cap of {}{used}", self.asked),
            (false, _) => format!("out of memory: the kernel killed the stage{used}{of}"),
        };
        let more = (peak.max(self.asked).get() >> 20).max(64) * 3 / 2;
        StageError::resource(message).help(format!(
            "give the stage more with `resources: {{mem: {more}MiB}}`, lower its batch size, or run fewer stages beside it"
        ))
    }
}

/// The resident memory of a process.
fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(enforced: bool) -> MemoryWatch {
        MemoryWatch { asked: Size::gib(1), enforced, group: None, kills: u64::MAX, peak: 3 << 28, next: Instant::now() }
    }

    #[test]
    fn a_program_that_could_not_allocate_under_a_cap_ran_out_of_memory() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("stderr");
        fs::write(&log, "loading\nmemory allocation of 99 bytes failed\n").unwrap();
        let found = watch(true).verdict(ExitStatus::from_raw(6), None, &log).unwrap();
        assert_eq!(found.error.message, "out of memory: the stage reached its cap of 1 GiB with 768 MiB in use");
        assert_eq!(found.error.help.unwrap().split('`').nth(1), Some("resources: {mem: 1536MiB}"));
        assert!(watch(false).verdict(ExitStatus::from_raw(6), None, &log).is_none());
    }

    #[test]
    fn a_kill_without_the_kernel_s_count_is_a_kill() {
        let log = Path::new("/nowhere");
        assert!(watch(true).verdict(ExitStatus::from_raw(9), None, log).is_none());
        let counted = MemoryWatch { kills: 0, ..watch(false) };
        let known = group::kills(None);
        assert_eq!(counted.verdict(ExitStatus::from_raw(9), None, log).is_some(), known > 0);
    }
}
