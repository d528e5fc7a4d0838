//! Which process on which machine: told apart from later ones of the same number, from other boots, and from other containers.

use std::{fs, path::Path, sync::OnceLock};

use serde::{Deserialize, Serialize};

/// One process on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The machine's name.
    pub host: String,
    /// The machine's current boot.
    pub boot: String,
    /// The process.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
    /// The namespace in which `pid` is counted: containers count for themselves.
    #[serde(default)]
    pub namespace: String,
}

impl Process {
    /// This process.
    pub fn current() -> Self {
        Self::of(std::process::id())
    }

    /// A process that this one can see.
    pub fn of(pid: u32) -> Self {
        let started = start_time(pid).unwrap_or_default();
        Self { host: host(), boot: boot().to_owned(), pid, started, namespace: namespace() }
    }

    /// Whether its number means something here: the same machine since its last start, and the same container.
    pub(crate) fn is_near(&self) -> bool {
        // Two machines may share a name, and two containers name and boot; then only a heartbeat can tell.
        self.host == host() && self.boot == boot() && (self.namespace.is_empty() || self.namespace == namespace())
    }

    /// Whether a process that is near still runs.
    pub(crate) fn runs(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The name of the machine's current boot; empty where the kernel does not say.
pub(super) fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
    })
}

fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The start time of a process that is not a zombie, in clock ticks since boot.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name in parentheses may hold spaces and parentheses of its own.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_means_something_only_here_and_now() {
        let this = Process::current();
        assert!(this.is_near() && this.runs());
        let reused = Process { started: this.started + 1, ..this.clone() };
        assert!(reused.is_near() && !reused.runs());
        let elsewhere = |change: fn(&mut Process)| {
            let mut process = this.clone();
            change(&mut process);
            process.is_near()
        };
        assert!(!elsewhere(|process| process.host = "another".to_owned()));
        assert!(!elsewhere(|process| process.boot = "another".to_owned()));
        assert!(!elsewhere(|process| process.namespace = "pid:[1]".to_owned()));
    }
}
