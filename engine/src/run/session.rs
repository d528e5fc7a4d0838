//! Sessions of processes: every attempt leads one, so that it can be stopped as a whole and nothing of it stays behind.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use rustix::process::{Pid, Signal, child_subreaper, getpid, kill_process, kill_process_group, set_child_subreaper, setsid};

const REAP_TRIES: u32 = 100;

/// Makes this process the leader of a new session, out of reach of the terminal's Ctrl-C.
pub(crate) fn lead() {
    if let Err(error) = setsid() {
        tracing::debug!(%error, "Already leads a group.");
    }
    // What a stage's command leaves behind stays below this process, where it can be found.
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        tracing::debug!(%error, "Orphans go elsewhere.");
    }
}

/// Asks a process to stop at a safe point.
pub(crate) fn ask_to_stop(pid: u32) {
    signal(pid, Signal::USR1, Reach::Process);
}

/// Asks an engine to end its run at the next safe points.
pub(crate) fn ask_engine(pid: u32) {
    signal(pid, Signal::TERM, Reach::Process);
}

/// Asks an engine to end its run at once.
pub(crate) fn stop_engine(pid: u32) {
    signal(pid, Signal::QUIT, Reach::Process);
}

/// Asks every process of a session, and all below its leader, to end.
pub(crate) fn terminate(leader: u32) {
    for member in others(leader).into_iter().chain([leader]) {
        signal(member, Signal::TERM, Reach::Process);
    }
}

/// A process and all below it.
pub(crate) fn family(leader: u32) -> Vec<u32> {
    let mut found = vec![leader];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        next += 1;
    }
    found
}

/// Ends a session leader and everything in its session or below it.
pub(crate) fn kill(pid: u32) {
    for member in others(pid) {
        signal(member, Signal::KILL, Reach::Process);
    }
    signal(pid, Signal::KILL, Reach::Group);
    signal(pid, Signal::KILL, Reach::Process);
}

/// Ends every process below this one and in its session, so that nobody writes to the outputs any more.
pub(crate) fn reap() {
    let own = getpid().as_raw_nonzero().get().unsigned_abs();
    // Orphans come to this process, so that whatever a stage started is below it: a look there is cheap.
    if matches!(child_subreaper(), Ok(Some(_))) && family(own) == [own] {
        return;
    }
    empty(own);
}

/// The same in a process that takes in orphans; in any other, what is below it may belong to somebody else.
pub(crate) fn reap_orphans() {
    if matches!(child_subreaper(), Ok(Some(_))) {
        reap();
    }
}

/// Ends what a session leader that died left behind, such as the command of a killed runner. The number of a session is not
/// given again while it has members; a living process of that number is a stranger, and nothing is left.
pub(crate) fn sweep(leader: u32) {
    if leader != 0 && session_of(leader).is_none() {
        empty(leader);
    }
}

/// Ends everything in a session or below its leader, but not the leader.
fn empty(leader: u32) {
    for _ in 0..REAP_TRIES {
        let others = others(leader);
        if others.is_empty() {
            return;
        }
        for pid in others {
            signal(pid, Signal::KILL, Reach::Process);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[derive(Clone, Copy)]
enum Reach {
    Process,
    Group,
}

fn signal(pid: u32, signal: Signal, reach: Reach) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let sent = match reach {
        Reach::Process => kill_process(pid, signal),
        Reach::Group => kill_process_group(pid, signal),
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "The process is gone already.");
    }
}

/// Living processes that belong to a leader: those of its session, and those that left it for a session of their own and can
/// still be found below.
fn others(leader: u32) -> BTreeSet<u32> {
    let below = family(leader).into_iter().filter(|pid| session_of(*pid).is_some());
    let mut found: BTreeSet<u32> = members(leader).into_iter().chain(below).collect();
    found.remove(&leader);
    found
}

/// Living processes whose session is led by `leader`.
fn members(leader: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| session_of(*pid) == Some(leader)).collect()
}

fn session_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(2)?.parse().ok(),
    }
}
