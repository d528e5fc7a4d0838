//! Leases: who is at work in the store, and what it relies on. A lease ends by itself when its owner stops renewing it.
//!
//! A lease is a file whose modification time is the owner's heartbeat and whose lines name what the collector must keep. It is
//! written before its owner relies on anything: a collector that read the lease earlier reads it again before it is done.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};

use super::{Process, StoreError, files};
use crate::{Artifact, Digest, artifact::ArtifactForm};

/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(10);
/// An owner that missed three heartbeats is dead.
const SILENCE: Duration = Duration::from_secs(30);

/// Something the collector must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pin {
    /// The result recorded for an action key, and all it names.
    Result(Digest),
    /// A blob.
    Blob(Digest),
    /// A directory node and all below it.
    Tree(Digest),
}

impl Pin {
    /// Keeps an artifact.
    pub fn of(artifact: &Artifact) -> Self {
        match artifact.form {
            ArtifactForm::Blob => Self::Blob(artifact.digest),
            ArtifactForm::Tree => Self::Tree(artifact.digest),
        }
    }

    fn line(self) -> String {
        match self {
            Self::Result(digest) => format!("r {digest}\n"),
            Self::Blob(digest) => format!("b {digest}\n"),
            Self::Tree(digest) => format!("t {digest}\n"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (what, digest) = line.split_once(' ')?;
        let digest = digest.parse().ok()?;
        match what {
            "r" => Some(Self::Result(digest)),
            "b" => Some(Self::Blob(digest)),
            "t" => Some(Self::Tree(digest)),
            _ => None,
        }
    }
}

/// A lease that is held until this is dropped.
#[derive(Debug)]
pub struct Lease {
    name: String,
    held: Arc<Held>,
    /// Dropped to end the heartbeat.
    _stop: Sender<()>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    first: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    pins: BTreeSet<Pin>,
}

impl Lease {
    /// Takes a lease under a name that nobody else uses, and renews it from now on.
    pub fn take(folder: &Path, name: &str) -> Result<Self, StoreError> {
        files::make_folder(folder)?;
        let path = folder.join(name);
        let record = |source| StoreError::Record { path: path.clone(), source };
        let first = serde_json::to_string(&Process::current()).map_err(record)? + "\n";
        let file = begin(&path, &first, &BTreeSet::new()).map_err(StoreError::io("write", &path))?;
        let held = Arc::new(Held { path, first, state: Mutex::new(State { file, pins: BTreeSet::new() }) });
        let (stop, stopped) = channel::<()>();
        let beating = held.clone();
        thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = beating.beat() {
                    tracing::warn!(%error, "Could not renew a lease.");
                }
            }
        });
        Ok(Self { name: name.to_owned(), held, _stop: stop })
    }

    /// Its name, by which a reservation refers to it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Keeps objects from the collector for as long as the lease lasts.
    pub fn pin(&self, pins: impl IntoIterator<Item = Pin>) -> Result<(), StoreError> {
        let mut state = self.held.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        for pin in pins {
            if state.pins.insert(pin) {
                lines.push_str(&pin.line());
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        state.file.write_all(lines.as_bytes()).map_err(StoreError::io("write", &self.held.path))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A lease that stays expires by itself.
        fs::remove_file(&self.held.path).ok();
    }
}

impl Held {
    fn beat(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody took a suspended machine's owner for dead and removed the file.
        if state.file.metadata()?.nlink() == 0 {
            state.file = begin(&self.path, &self.first, &state.pins)?;
        }
        renew(&state.file)
    }
}

fn begin(path: &Path, first: &str, pins: &BTreeSet<Pin>) -> io::Result<File> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    let mut text = first.to_owned();
    text.extend(pins.iter().map(|pin| pin.line()));
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Sets the modification time to the file system's own time, which may be another machine's.
fn renew(file: &File) -> io::Result<()> {
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    futimens(file, &Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) }).map_err(io::Error::from)
}

/// One lease as others see it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) alive: bool,
    pub(crate) pins: Vec<Pin>,
}

/// The leases of one store.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    folder: PathBuf,
}

impl Leases {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Takes a lease.
    pub(crate) fn take(&self, name: &str) -> Result<Lease, StoreError> {
        Lease::take(&self.folder, name)
    }

    /// Every lease, living or dead.
    pub(crate) fn all(&self) -> Result<Vec<Seen>, StoreError> {
        let mut all = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
            Err(error) => return Err(StoreError::io("list", &self.folder)(error)),
        };
        for entry in entries {
            let path = entry.map_err(StoreError::io("list", &self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // One that ends while it is looked at pins nothing any more.
            if let Ok(text) = fs::read_to_string(&path)
                && !name.starts_with("clock-")
            {
                let mut lines = text.lines();
                let process = lines.next().and_then(|line| serde_json::from_str::<Process>(line).ok());
                let alive = self.is_alive(process.as_ref(), &name)?;
                all.push(Seen { name, alive, pins: lines.filter_map(Pin::parse).collect() });
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Whether the holder of a lease still works: by its process where that can be seen, else by its heartbeat.
    pub(crate) fn is_alive(&self, process: Option<&Process>, name: &str) -> Result<bool, StoreError> {
        match process {
            Some(process) if process.is_near() => Ok(process.runs()),
            _ => match self.last_beat(name) {
                Some(beat) => Ok(!is_silent(beat, files::now(&self.folder)?)),
                None => Ok(false),
            },
        }
    }

    /// When a lease was renewed last; none when there is no such lease.
    pub(crate) fn last_beat(&self, name: &str) -> Option<SystemTime> {
        if name.is_empty() {
            return None;
        }
        self.folder.join(name).metadata().and_then(|metadata| metadata.modified()).ok()
    }

    /// Removes a lease whose owner is dead.
    pub(crate) fn remove(&self, name: &str) {
        if !name.is_empty() {
            // One that is gone already is what was wanted.
            fs::remove_file(self.folder.join(name)).ok();
        }
    }
}

/// Whether a heartbeat lies too far back. One that lies ahead only says that a clock was set back: its owner may live.
fn is_silent(beat: SystemTime, now: SystemTime) -> bool {
    now.duration_since(beat).is_ok_and(|silence| silence > SILENCE)
}

/// Watches one heartbeat by the watcher's own clock, which nobody can set: an owner whose heartbeat stands still is dead
/// whatever the times of files say.
#[derive(Debug, Default)]
pub struct Vigil {
    seen: Option<(SystemTime, Instant)>,
}

impl Vigil {
    /// Whether the same heartbeat has been seen for too long.
    pub fn is_over(&mut self, beat: Option<SystemTime>, now: Instant) -> bool {
        let Some(beat) = beat else { return true };
        match self.seen {
            Some((seen, since)) if seen == beat => now.duration_since(since) > SILENCE,
            _ => {
                self.seen = Some((beat, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_names_what_it_keeps_and_ends_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::new(folder.path().to_owned());
        let lease = leases.take("one").unwrap();
        let pins = [Pin::Result(Digest::of(b"r")), Pin::Blob(Digest::of(b"b")), Pin::Tree(Digest::of(b"t"))];
        lease.pin(pins).unwrap();
        lease.pin(pins).unwrap();
        let seen = leases.all().unwrap();
        assert_eq!((seen[0].alive, seen[0].pins.as_slice()), (true, pins.as_slice()));
        drop(lease);
        assert!(leases.all().unwrap().is_empty());
    }

    #[test]
    fn a_lease_of_a_process_that_is_gone_is_dead_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let gone = Process { pid: u32::MAX, ..Process::current() };
        fs::write(folder.path().join("gone"), serde_json::to_string(&gone).unwrap() + "\n").unwrap();
        assert!(!Leases::new(folder.path().to_owned()).all().unwrap()[0].alive);
    }

    #[test]
    fn an_owner_that_cannot_be_seen_lives_by_its_heartbeat() {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::new(folder.path().to_owned());
        let far = Process { namespace: "pid:[1]".to_owned(), pid: u32::MAX, ..Process::current() };
        let path = folder.path().join("far");
        fs::write(&path, serde_json::to_string(&far).unwrap() + "\n").unwrap();
        assert!(leases.all().unwrap()[0].alive);
        let past = SystemTime::now() - SILENCE - Duration::from_secs(2);
        File::options().append(true).open(&path).unwrap().set_modified(past).unwrap();
        assert!(!leases.all().unwrap()[0].alive);
        renew(&File::options().append(true).open(&path).unwrap()).unwrap();
        assert!(leases.all().unwrap()[0].alive);
    }

    /// Somebody sets the clock back by an hour: heartbeats lie ahead, and nobody is declared dead for it.
    #[test]
    fn a_clock_that_is_set_back_kills_nobody_and_a_still_heart_is_noticed_without_it() {
        let beat = SystemTime::now();
        let hour = Duration::from_hours(1);
        assert!(!is_silent(beat, beat - hour));
        assert!(is_silent(beat, beat + hour));
        let begun = Instant::now();
        let mut vigil = Vigil::default();
        assert!(!vigil.is_over(Some(beat + hour), begun));
        assert!(!vigil.is_over(Some(beat + hour), begun + SILENCE));
        assert!(vigil.is_over(Some(beat + hour), begun + SILENCE + Duration::from_secs(1)));
        assert!(!vigil.is_over(Some(beat - hour), begun + hour));
        assert!(vigil.is_over(None, begun));
    }

    #[test]
    fn a_lease_that_was_removed_comes_back_with_its_pins() {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::new(folder.path().to_owned());
        let lease = leases.take("one").unwrap();
        let pin = Pin::Result(Digest::of(b"r"));
        lease.pin([pin]).unwrap();
        leases.remove("one");
        lease.held.beat().unwrap();
        assert_eq!(leases.all().unwrap()[0].pins, [pin]);
    }
}
