//! Signs of life of an attempt: what it writes and the processor time it uses. Without any for too long it hangs.
//!
//! The heartbeat is no sign: a thread of its own writes it, whatever the stage does.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::session;

/// Processor time, in clock ticks, that counts as work: more than the heartbeat takes.
const TICKS: u64 = 10;
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);

/// Watches the life of one attempt.
pub(crate) struct Pulse {
    silence: Option<Duration>,
    directory: PathBuf,
    seen: Signs,
    alive: Instant,
    next: Instant,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Signs {
    ticks: u64,
    processes: Vec<u32>,
    written: u64,
}

impl Pulse {
    /// Begins now. Without a `silence`, nothing ever hangs.
    pub(crate) fn new(silence: Option<Duration>, directory: &Path) -> Self {
        let now = Instant::now();
        Self { silence, directory: directory.to_owned(), seen: Signs::default(), alive: now, next: now }
    }

    /// Whether the attempt has shown no sign of life for too long.
    pub(crate) fn is_gone(&mut self, leader: u32) -> bool {
        let Some(silence) = self.silence else { return false };
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + (silence / 10).clamp(SHORTEST, LONGEST);
        let signs = Signs::of(leader, &self.directory);
        if signs.differ(&self.seen) {
            self.seen = signs;
            self.alive = now;
        }
        self.alive.elapsed() >= silence
    }
}

impl Signs {
    fn of(leader: u32, directory: &Path) -> Self {
        let processes = session::family(leader);
        let size = |name: &str| directory.join(name).metadata().map_or(0, |metadata| metadata.len());
        Self {
            ticks: processes.iter().filter_map(|pid| processor_ticks(*pid)).sum(),
            processes,
            written: ["stdout", "stderr", "seg.jsonl"].map(size).iter().sum(),
        }
    }

    fn differ(&self, before: &Self) -> bool {
        self.written != before.written || self.processes != before.processes || self.ticks.abs_diff(before.ticks) >= TICKS
    }
}

/// User and system time of a process.
fn processor_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Adds what the kernel tells of every thread of the attempt to its log, so that somebody can see where it hangs.
pub(crate) fn dump(leader: u32, directory: &Path) {
    let mut text = String::from("flow: no sign of life; where its threads are:\n");
    for pid in session::family(leader) {
        describe(pid, &mut text);
    }
    let log = OpenOptions::new().create(true).append(true).open(directory.join("stderr"));
    if let Err(error) = log.and_then(|mut log| log.write_all(text.as_bytes())) {
        tracing::warn!(%error, "Could not write where a stage hangs.");
    }
}

fn describe(pid: u32, text: &mut String) {
    let read = |place: String| fs::read_to_string(place).unwrap_or_default();
    let command = read(format!("/proc/{pid}/cmdline")).replace('\0', " ");
    let status = read(format!("/proc/{pid}/status"));
    let wanted = ["State:", "VmRSS:", "Threads:"];
    let told: Vec<&str> = status.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name))).collect();
    // Writing to a text cannot fail.
    writeln!(text, "process {pid}: {}; {}", command.trim(), told.join(", ").replace('\t', " ")).ok();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for thread in threads.filter_map(|thread| thread.file_name().into_string().ok()) {
        let at = |file: &str| read(format!("/proc/{pid}/task/{thread}/{file}"));
        writeln!(text, "  thread {thread} {}: waits in {}", at("comm").trim(), or_unknown(at("wchan").trim())).ok();
        // The kernel tells its stack only to root.
        for line in at("stack").lines() {
            writeln!(text, "    {line}").ok();
        }
    }
}

fn or_unknown(place: &str) -> &str {
    if place.is_empty() || place == "0" { "no known place" } else { place }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_and_working_are_signs_of_life_and_waiting_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut sleeper = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let mut pulse = Pulse::new(Some(Duration::from_millis(300)), folder.path());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(600) {
            fs::write(folder.path().join("stdout"), "x".repeat(usize::try_from(begun.elapsed().as_millis()).unwrap())).unwrap();
            assert!(!pulse.is_gone(sleeper.id()));
            std::thread::sleep(Duration::from_millis(20));
        }
        let quiet = Instant::now();
        while !pulse.is_gone(sleeper.id()) {
            assert!(quiet.elapsed() < Duration::from_mins(1));
            std::thread::sleep(Duration::from_millis(20));
        }
        dump(sleeper.id(), folder.path());
        let told = fs::read_to_string(folder.path().join("stderr")).unwrap();
        assert!(told.contains("sleep 30") && told.contains("State:") && told.contains("thread"), "{told}");
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert!(!Pulse::new(None, folder.path()).is_gone(0));
    }

    #[test]
    fn processor_time_is_counted() {
        let mut sum = 0_u64;
        while processor_ticks(std::process::id()).unwrap() < TICKS {
            sum = sum.wrapping_add(std::hint::black_box(1));
        }
        assert!(Signs { ticks: TICKS, ..Signs::default() }.differ(&Signs::default()));
        assert!(!Signs { ticks: TICKS - 1, ..Signs::default() }.differ(&Signs::default()));
    }
}
