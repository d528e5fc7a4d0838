//! Who works on an action key. A reservation only saves work: correctness comes from immutable objects and atomic links.
//!
//! An owner is a process, told apart from later ones of the same number by its start time and the machine's boot. The
//! reservation of a dead owner is broken at once; there is nothing to unlock by hand.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{StoreError, files};
use crate::Digest;

/// An owner on another machine whose heartbeat, due every 10 s, is older than this is dead.
const SILENCE: Duration = Duration::from_mins(5);

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
}

impl Process {
    /// This process.
    pub fn current() -> Self {
        Self::of(std::process::id())
    }

    /// A process of this machine.
    pub fn of(pid: u32) -> Self {
        Self { host: host(), boot: boot(), pid, started: start_time(pid).unwrap_or_default() }
    }

    /// Whether it still runs. A process on another machine is taken to be alive until its reservation is removed there.
    pub fn is_alive(&self) -> bool {
        self.host != host() || (self.is_near() && start_time(self.pid) == Some(self.started))
    }

    /// Whether its number means something to this machine since its last start.
    pub(crate) fn is_near(&self) -> bool {
        self.host == host() && self.boot == boot()
    }
}

/// Who holds a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Names this one reservation: a runner may publish only under its own.
    pub token: String,
    /// The run it belongs to.
    pub run: String,
    /// The stage of that run.
    pub stage: String,
    /// The attempt's folder, with its events.
    pub directory: PathBuf,
    /// The process that does the work or is about to start it.
    pub process: Process,
}

impl Owner {
    /// Whether the work still goes on. On another machine, or in a container that is gone, only the attempt's heartbeat can
    /// tell; where it cannot be read, the owner is taken to be alive.
    fn is_alive(&self) -> bool {
        self.process.is_alive() && (self.process.host == host() || !self.fell_silent())
    }

    fn fell_silent(&self) -> bool {
        let beat = self.directory.join("hb").metadata().and_then(|metadata| metadata.modified());
        beat.is_ok_and(|beat| beat.elapsed().is_ok_and(|silence| silence > SILENCE))
    }
}

/// What came of asking for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is ours now.
    Won {
        /// Whose it was, if its process died without giving it back.
        dead: Option<Owner>,
    },
    /// A living process has it.
    Held(Owner),
}

/// The reservations of one store.
#[derive(Clone, Debug)]
pub struct Reservations {
    folder: PathBuf,
}

impl Reservations {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn place(&self, key: &Digest) -> PathBuf {
        self.folder.join(key.to_string())
    }

    /// Serialises changes on this machine. Held for a few system calls.
    fn lock(&self) -> Result<File, StoreError> {
        files::exclusive(&self.folder.join("lock"))
    }

    /// Takes the key, unless a living process has it.
    pub fn claim(&self, key: &Digest, owner: &Owner) -> Result<Claim, StoreError> {
        let lock = self.lock()?;
        let claim = match self.read(key)? {
            Some(holder) if holder.is_alive() => Claim::Held(holder),
            dead => {
                self.write(key, owner)?;
                Claim::Won { dead }
            }
        };
        drop(lock);
        Ok(claim)
    }

    /// Hands the reservation from the engine to its runner. False when it is no longer theirs.
    pub fn take_over(&self, key: &Digest, owner: &Owner) -> Result<bool, StoreError> {
        let lock = self.lock()?;
        let ours = self.read(key)?.is_some_and(|holder| holder.token == owner.token);
        if ours {
            self.write(key, owner)?;
        }
        drop(lock);
        Ok(ours)
    }

    /// Whether the key is still held under this token.
    pub fn is_held_by(&self, key: &Digest, token: &str) -> Result<bool, StoreError> {
        Ok(self.read(key)?.is_some_and(|holder| holder.token == token))
    }

    /// Gives the key back; somebody else's reservation stays.
    pub fn release(&self, key: &Digest, token: &str) -> Result<(), StoreError> {
        let lock = self.lock()?;
        if self.read(key)?.is_some_and(|holder| holder.token == token) {
            let place = self.place(key);
            fs::remove_file(&place).map_err(StoreError::io("remove", &place))?;
        }
        drop(lock);
        Ok(())
    }

    /// Who has the key, if a living process does.
    pub fn holder(&self, key: &Digest) -> Result<Option<Owner>, StoreError> {
        Ok(self.read(key)?.filter(Owner::is_alive))
    }

    /// Every reservation of a living process.
    pub fn living(&self) -> Result<Vec<(Digest, Owner)>, StoreError> {
        let mut living = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(StoreError::io("list", &self.folder))? {
            let entry = entry.map_err(StoreError::io("list", &self.folder))?;
            let key = entry.file_name().to_str().and_then(|name| name.parse::<Digest>().ok());
            if let Some(key) = key
                && let Some(owner) = self.holder(&key)?
            {
                living.push((key, owner));
            }
        }
        Ok(living)
    }

    fn read(&self, key: &Digest) -> Result<Option<Owner>, StoreError> {
        let place = self.place(key);
        match fs::read(&place) {
            // A record that does not parse has no owner who could be waited for.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", &place)(error)),
        }
    }

    fn write(&self, key: &Digest, owner: &Owner) -> Result<(), StoreError> {
        let place = self.place(key);
        let bytes = serde_json::to_vec(owner).map_err(|source| StoreError::Record { path: place.clone(), source })?;
        files::write_atomic(&bytes, &place)
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
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

    fn owner(token: &str, process: Process) -> Owner {
        Owner { token: token.to_owned(), run: "r".to_owned(), stage: "s".to_owned(), directory: PathBuf::new(), process }
    }

    fn reservations() -> (tempfile::TempDir, Reservations, Digest) {
        let folder = tempfile::tempdir().unwrap();
        let reservations = Reservations::new(folder.path().to_owned());
        (folder, reservations, Digest::of(b"key"))
    }

    #[test]
    fn a_living_owner_keeps_its_key_and_only_its_token_releases_it() {
        let (_folder, reservations, key) = reservations();
        let first = owner("one", Process::current());
        assert_eq!(reservations.claim(&key, &first).unwrap(), Claim::Won { dead: None });
        assert_eq!(reservations.claim(&key, &owner("two", Process::current())).unwrap(), Claim::Held(first));
        reservations.release(&key, "two").unwrap();
        assert!(reservations.holder(&key).unwrap().is_some());
        reservations.release(&key, "one").unwrap();
        assert!(reservations.holder(&key).unwrap().is_none());
    }

    #[test]
    fn dead_owners_are_broken_at_once_even_when_their_number_was_given_again() {
        let (_folder, reservations, key) = reservations();
        let mut reused = Process::current();
        reused.started += 1;
        let mut rebooted = Process::current();
        rebooted.boot = "another".to_owned();
        for dead in [reused, rebooted, Process { pid: u32::MAX, ..Process::current() }] {
            reservations.write(&key, &owner("dead", dead)).unwrap();
            let claim = reservations.claim(&key, &owner("new", Process::current())).unwrap();
            assert!(matches!(claim, Claim::Won { dead: Some(_) }));
        }
    }

    #[test]
    fn an_owner_on_another_machine_is_waited_for_while_its_heart_beats() {
        let (folder, reservations, key) = reservations();
        let mut far = owner("far", Process { host: "another".to_owned(), ..Process::current() });
        far.directory = folder.path().join("attempt");
        fs::create_dir(&far.directory).unwrap();
        reservations.write(&key, &far).unwrap();
        assert!(reservations.holder(&key).unwrap().is_some());
        let beat = File::create(far.directory.join("hb")).unwrap();
        assert!(reservations.holder(&key).unwrap().is_some());
        beat.set_modified(std::time::SystemTime::now() - SILENCE - Duration::from_secs(1)).unwrap();
        let claim = reservations.claim(&key, &owner("near", Process::current())).unwrap();
        assert_eq!(claim, Claim::Won { dead: Some(far) });
    }

    #[test]
    fn a_runner_takes_over_only_what_is_still_its_own() {
        let (_folder, reservations, key) = reservations();
        reservations.claim(&key, &owner("one", Process::current())).unwrap();
        assert!(reservations.take_over(&key, &owner("one", Process::of(1))).unwrap());
        assert!(!reservations.take_over(&key, &owner("two", Process::current())).unwrap());
        assert!(!reservations.is_held_by(&key, "two").unwrap());
    }
}
