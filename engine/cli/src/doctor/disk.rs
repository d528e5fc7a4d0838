//! The store's disk: room, speed of flushing, and what its file system can do.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use flow_engine::{project::Project, store::Store};

use super::Check;
use crate::text::bytes;

/// A model and its checkpoints need about as much.
const COMFORTABLE: u64 = 10_000_000_000;
const TOO_LITTLE: u64 = 500_000_000;
/// A commit flushes a few times; slower than this shows in every stage.
const SLOW_FLUSH: Duration = Duration::from_millis(60);
const FLUSHES: usize = 5;
/// The stat index compares times of files with each other; a clock that runs away confuses people, not results.
const SKEW: Duration = Duration::from_secs(5);

/// A folder of ours in the store, removed again.
struct Bench(PathBuf);

impl Bench {
    fn in_store(store: &Store) -> io::Result<Self> {
        let folder = store.temporary(&format!("doctor-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    fn file(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        let mut file = File::create(&path)?;
        file.write_all(&[7; 4096])?;
        file.sync_all()?;
        Ok(path)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Whatever is left lies in the folder for temporary files and is swept there.
        fs::remove_dir_all(&self.0).ok();
    }
}

pub(super) fn checks(project: &Project) -> Vec<Check> {
    let place = &project.site.store;
    let store = match Store::open(place) {
        Ok(store) => store,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            let next = error.help_text().unwrap_or_else(|| "use another folder with FLOW_STORE=FOLDER".to_owned());
            return vec![Check::fail("store", format!("{error}{cause}"), next)];
        }
    };
    let bench = match Bench::in_store(&store).and_then(|bench| bench.file("a").map(|_| bench)) {
        Ok(bench) => bench,
        Err(error) => {
            let next = "make the folder writable, or use another one with FLOW_STORE=FOLDER";
            return vec![Check::fail("store", format!("{} cannot be written to: {error}", place.display()), next)];
        }
    };
    vec![Check::ok("store", place.display().to_string()), room(place), flush(&bench), sharing(&bench), clock(&bench)]
}

fn room(place: &Path) -> Check {
    let free = match rustix::fs::statvfs(place) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => return Check::warn("disk", format!("its room is unknown: {error}"), "look with `df`"),
    };
    let found = format!("{} free", bytes(free));
    let next = "`flow gc` frees room; FLOW_STORE=FOLDER moves the store to a larger disk";
    match free {
        0..TOO_LITTLE => Check::fail("disk", found, next),
        TOO_LITTLE..COMFORTABLE => Check::warn("disk", found, next),
        _ => Check::ok("disk", found),
    }
}

/// The median time that a small durable write takes.
fn flush(bench: &Bench) -> Check {
    let mut times = Vec::with_capacity(FLUSHES);
    for round in 0..FLUSHES {
        let begun = Instant::now();
        if let Err(error) = bench.file(&format!("flush-{round}")) {
            return Check::fail(
                "flush",
                format!("cannot flush a file: {error}"),
                "look at the disk's health, or use another one",
            );
        }
        times.push(begun.elapsed());
    }
    times.sort();
    let median = times.get(FLUSHES / 2).copied().unwrap_or_default();
    let found = format!("{:.1} ms for a durable write", median.as_secs_f64() * 1000.0);
    if median > SLOW_FLUSH {
        return Check::warn("flush", found, "stages of seconds will feel it: a local disk is faster than a network one");
    }
    Check::ok("flush", found)
}

/// How inputs are laid out for stages: by shared extents, by links, or by copies.
fn sharing(bench: &Bench) -> Check {
    let attempt = || -> io::Result<(bool, bool)> {
        let source = bench.file("source")?;
        let cloned = File::create(bench.0.join("clone"))?;
        let reflink = rustix::fs::ioctl_ficlone(&cloned, &File::open(&source)?).is_ok();
        Ok((reflink, fs::hard_link(&source, bench.0.join("link")).is_ok()))
    };
    match attempt() {
        Ok((true, _)) => Check::ok("sharing", "reflinks: inputs cost no room and no time"),
        Ok((false, true)) => Check::ok("sharing", "hard links: inputs cost no room (the file system has no reflinks)"),
        Ok((false, false)) => {
            let next = "put the store on a file system with reflinks (xfs, btrfs) or hard links";
            Check::warn("sharing", "neither reflinks nor hard links: every input is copied", next)
        }
        Err(error) => Check::fail("sharing", format!("cannot try it: {error}"), "look at the disk's health"),
    }
}

/// Whether the file system's clock and the machine's agree.
fn clock(bench: &Bench) -> Check {
    let stamped = bench.file("clock").and_then(|file| file.metadata()?.modified());
    let now = SystemTime::now();
    let Ok(stamped) = stamped else { return Check::warn("clock", "files have no times here", "use another disk for the store") };
    let apart = now.duration_since(stamped).or_else(|_| stamped.duration_since(now)).unwrap_or_default();
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    if apart > SKEW {
        let found = format!("{date}; the disk's clock is {} s away", apart.as_secs());
        return Check::warn("clock", found, "synchronise both clocks (NTP): times in reports and audits will not agree");
    }
    // A machine without a battery begins in the past, where certificates and expiries make no sense.
    if now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() < Duration::from_hours(24 * 365 * 54) {
        return Check::fail("clock", date, "set the clock: approvals expire and certificates are checked by it");
    }
    Check::ok("clock", date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn project(root: &Path) -> Project {
        let file = root.join("workflow.yaml");
        fs::write(&file, "flow: 1\n").unwrap();
        let environment = |name: &str| (name == "FLOW_STORE").then(|| root.join("store").to_str().unwrap().to_owned());
        let environment = |name: &str| environment(name).or_else(|| (name == "HOME").then(|| "/nowhere".to_owned()));
        Project::locate(&file, &environment).unwrap()
    }

    #[test]
    fn a_store_is_tried_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let found = checks(&project(folder.path()));
        let names: Vec<&str> = found.iter().map(|check| check.name).collect();
        assert_eq!(names, ["store", "disk", "flush", "sharing", "clock"]);
        assert!(found.iter().all(|check| check.next.is_some() == (check.state != State::Ok)), "{found:?}");
        assert_eq!(fs::read_dir(folder.path().join("store/tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_a_store_fails_with_a_next_step() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("store"), "a file").unwrap();
        let found = checks(&project(folder.path()));
        assert_eq!((found.len(), found[0].state), (1, State::Fail));
        assert!(found[0].next.is_some());
    }
}
