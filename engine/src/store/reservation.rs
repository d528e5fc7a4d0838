//! Who works on an action key. A reservation only saves work: correctness comes from immutable objects and atomic links.
//!
//! Every reservation of a key has a higher epoch than the one before; an attempt whose epoch is not the current one any more may
//! not publish. The reservation of a dead owner is broken by whoever wants the key next; there is nothing to unlock by hand.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    time::{Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    Process, StoreError, files,
    lease::{Leases, Vigil},
};
use crate::Digest;

/// Who holds a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Names this one reservation: a runner may publish only under its own.
    pub token: String,
    /// Counts the reservations of the key: a higher one fences all before it.
    #[serde(default)]
    pub epoch: u64,
    /// The lease whose heartbeat shows that the owner lives, where its process cannot be seen.
    #[serde(default)]
    pub lease: String,
    /// The run it belongs to.
    pub run: String,
    /// The stage of that run.
    pub stage: String,
    /// The attempt's folder, with its events.
    pub directory: PathBuf,
    /// The process that does the work or is about to start it.
    pub process: Process,
}

/// What came of asking for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is ours now.
    Won {
        /// We, with the epoch we were given.
        owner: Owner,
        /// Whose it was, if its process died without giving it back.
        dead: Option<Box<Owner>>,
    },
    /// A living process has it.
    Held(Owner),
}

/// Whether a key is shared with whoever works on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Company {
    /// One works, the others wait.
    #[default]
    Wait,
    /// Everybody works; the first result stays.
    Beside,
}

/// The reservations of one store.
#[derive(Clone, Debug)]
pub struct Reservations {
    folder: PathBuf,
    leases: Leases,
}

impl Reservations {
    pub(crate) fn new(folder: PathBuf, leases: Leases) -> Self {
        Self { folder, leases }
    }

    fn place(&self, key: &Digest) -> PathBuf {
        self.folder.join(key.to_string())
    }

    /// Where somebody who did not want to wait is noted.
    fn beside(&self, key: &Digest, token: &str) -> PathBuf {
        self.folder.join(format!("{key}+{token}"))
    }

    /// Serialises changes on this machine. Held for a few system calls, and let go by the kernel when its holder dies.
    fn lock(&self) -> Result<File, StoreError> {
        files::make_folder(&self.folder)?;
        files::exclusive(&self.folder.join("lock"))
    }

    /// Takes the key, unless a living process has it.
    pub fn claim(&self, key: &Digest, owner: Owner, company: Company) -> Result<Claim, StoreError> {
        let lock = self.lock()?;
        let place = self.place(key);
        let claim = match read(&place)? {
            Some(holder) if self.is_alive(&holder)? => match company {
                Company::Wait => Claim::Held(holder),
                Company::Beside => {
                    let owner = Owner { epoch: holder.epoch, ..owner };
                    write(&self.beside(key, &owner.token), &owner)?;
                    Claim::Won { owner, dead: None }
                }
            },
            dead => {
                let owner = Owner { epoch: dead.as_ref().map_or(0, |dead| dead.epoch) + 1, ..owner };
                write(&place, &owner)?;
                Claim::Won { owner, dead: dead.map(Box::new) }
            }
        };
        drop(lock);
        Ok(claim)
    }

    /// Hands the reservation from the engine to its runner. False when it is no longer theirs.
    pub fn take_over(&self, key: &Digest, owner: &Owner) -> Result<bool, StoreError> {
        let lock = self.lock()?;
        let place = self.own(key, owner)?;
        if let Some(place) = &place {
            write(place, owner)?;
        }
        drop(lock);
        Ok(place.is_some())
    }

    /// Whether the key is still held under this token and epoch.
    pub fn is_held_by(&self, key: &Digest, owner: &Owner) -> Result<bool, StoreError> {
        Ok(self.own(key, owner)?.is_some())
    }

    /// Gives the key back; somebody else's reservation stays.
    pub fn release(&self, key: &Digest, owner: &Owner) -> Result<(), StoreError> {
        let lock = self.lock()?;
        if let Some(place) = self.own(key, owner)? {
            fs::remove_file(&place).map_err(StoreError::io("remove", &place))?;
        }
        drop(lock);
        Ok(())
    }

    /// The file under which `owner` holds the key, if it does.
    fn own(&self, key: &Digest, owner: &Owner) -> Result<Option<PathBuf>, StoreError> {
        for place in [self.place(key), self.beside(key, &owner.token)] {
            if read(&place)?.is_some_and(|holder| holder.token == owner.token && holder.epoch == owner.epoch) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Who has the key, if a living process does.
    pub fn holder(&self, key: &Digest) -> Result<Option<Owner>, StoreError> {
        match read(&self.place(key))? {
            Some(holder) if self.is_alive(&holder)? => Ok(Some(holder)),
            _ => Ok(None),
        }
    }

    /// Looks at a holder whose process cannot be seen, and breaks its reservation when its heart has stood still for too long.
    pub fn watch(&self, key: &Digest, holder: &Owner, vigil: &mut Vigil) -> Result<(), StoreError> {
        if !holder.process.is_near() && vigil.is_over(self.last_beat(holder), Instant::now()) {
            self.leases.remove(&holder.lease);
            self.release(key, holder)?;
        }
        Ok(())
    }

    fn last_beat(&self, owner: &Owner) -> Option<SystemTime> {
        self.leases.last_beat(&owner.lease)
    }

    fn is_alive(&self, owner: &Owner) -> Result<bool, StoreError> {
        self.leases.is_alive(Some(&owner.process), &owner.lease)
    }

    /// Every reservation of a living process.
    pub fn living(&self) -> Result<Vec<(Digest, Owner)>, StoreError> {
        let mut living = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(StoreError::io("list", &self.folder))? {
            let entry = entry.map_err(StoreError::io("list", &self.folder))?;
            let name = entry.file_name();
            let key = name.to_str().and_then(|name| name.split('+').next()?.parse::<Digest>().ok());
            if let Some(key) = key
                && let Some(owner) = read(&entry.path())?
                && self.is_alive(&owner)?
            {
                living.push((key, owner));
            }
        }
        Ok(living)
    }
}

fn read(place: &std::path::Path) -> Result<Option<Owner>, StoreError> {
    match fs::read(place) {
        // A record that does not parse has no owner who could be waited for.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", place)(error)),
    }
}

fn write(place: &std::path::Path, owner: &Owner) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(owner).map_err(|source| StoreError::Record { path: place.to_owned(), source })?;
    // Its owner does not survive the machine either.
    files::write_lightly(&bytes, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        _folder: tempfile::TempDir,
        reservations: Reservations,
        leases: Leases,
        key: Digest,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let leases = Leases::new(folder.path().join("lease"));
            fs::create_dir(folder.path().join("res")).unwrap();
            let reservations = Reservations::new(folder.path().join("res"), leases.clone());
            Self { _folder: folder, reservations, leases, key: Digest::of(b"key") }
        }

        fn claim(&self, token: &str) -> Claim {
            self.reservations.claim(&self.key, owner(token, Process::current()), Company::Wait).unwrap()
        }

        fn win(&self, token: &str) -> Owner {
            let Claim::Won { owner, .. } = self.claim(token) else { panic!("{token} did not win") };
            owner
        }

        fn plant(&self, owner: &Owner) {
            write(&self.reservations.place(&self.key), owner).unwrap();
        }
    }

    fn owner(token: &str, process: Process) -> Owner {
        Owner {
            token: token.to_owned(),
            epoch: 0,
            lease: token.to_owned(),
            run: "r".to_owned(),
            stage: "s".to_owned(),
            directory: PathBuf::new(),
            process,
        }
    }

    fn far() -> Process {
        Process { host: "another".to_owned(), ..Process::current() }
    }

    #[test]
    fn a_living_owner_keeps_its_key_and_only_its_token_releases_it() {
        let bench = Bench::new();
        let first = bench.win("one");
        assert_eq!(bench.claim("two"), Claim::Held(first.clone()));
        bench.reservations.release(&bench.key, &owner("two", Process::current())).unwrap();
        assert!(bench.reservations.holder(&bench.key).unwrap().is_some());
        bench.reservations.release(&bench.key, &first).unwrap();
        assert!(bench.reservations.holder(&bench.key).unwrap().is_none());
    }

    #[test]
    fn dead_owners_are_broken_at_once_even_when_their_number_was_given_again() {
        let bench = Bench::new();
        let mut reused = Process::current();
        reused.started += 1;
        for dead in [reused, Process { pid: u32::MAX, ..Process::current() }] {
            bench.plant(&owner("dead", dead));
            assert!(matches!(bench.claim("new"), Claim::Won { dead: Some(_), .. }));
            fs::remove_file(bench.reservations.place(&bench.key)).unwrap();
        }
    }

    /// A later reservation has a higher epoch, and whoever worked under a lower one may not publish any more.
    #[test]
    fn a_higher_epoch_fences_the_older_attempt() {
        let bench = Bench::new();
        let old = Owner { epoch: 4, ..owner("old", Process { pid: u32::MAX, ..Process::current() }) };
        bench.plant(&old);
        assert!(bench.reservations.is_held_by(&bench.key, &old).unwrap());
        let new = bench.win("new");
        assert_eq!(new.epoch, 5);
        assert!(!bench.reservations.is_held_by(&bench.key, &old).unwrap());
        assert!(!bench.reservations.take_over(&bench.key, &old).unwrap());
        bench.reservations.release(&bench.key, &old).unwrap();
        assert!(bench.reservations.is_held_by(&bench.key, &new).unwrap());
        // The same token under another epoch is another reservation.
        assert!(!bench.reservations.is_held_by(&bench.key, &Owner { epoch: 6, ..new }).unwrap());
    }

    /// Containers share a kernel and often a name; each counts its processes from 1.
    #[test]
    fn an_owner_that_cannot_be_seen_is_waited_for_while_its_heart_beats() {
        let container = Process { namespace: "pid:[1]".to_owned(), pid: u32::MAX, ..Process::current() };
        for process in [far(), container, Process { boot: "another".to_owned(), ..Process::current() }] {
            let bench = Bench::new();
            let holder = owner("far", process);
            bench.plant(&holder);
            let lease = bench.leases.take("far").unwrap();
            assert_eq!(bench.claim("near"), Claim::Held(holder.clone()));
            let mut vigil = Vigil::default();
            bench.reservations.watch(&bench.key, &holder, &mut vigil).unwrap();
            assert!(bench.reservations.holder(&bench.key).unwrap().is_some());
            drop(lease);
            assert!(matches!(bench.claim("near"), Claim::Won { dead: Some(_), .. }));
        }
    }

    #[test]
    fn a_heart_that_stands_still_is_noticed_by_whoever_waits() {
        let bench = Bench::new();
        let holder = owner("far", far());
        bench.plant(&holder);
        bench.reservations.watch(&bench.key, &holder, &mut Vigil::default()).unwrap();
        assert!(read(&bench.reservations.place(&bench.key)).unwrap().is_none());
    }

    #[test]
    fn who_does_not_wait_works_beside_the_holder() {
        let bench = Bench::new();
        let first = bench.win("one");
        let claim = bench.reservations.claim(&bench.key, owner("two", Process::current()), Company::Beside).unwrap();
        let Claim::Won { owner: second, dead: None } = claim else { panic!("{claim:?}") };
        assert!(bench.reservations.take_over(&bench.key, &second).unwrap());
        assert_eq!(bench.reservations.living().unwrap().len(), 2);
        bench.reservations.release(&bench.key, &second).unwrap();
        assert!(!bench.reservations.is_held_by(&bench.key, &second).unwrap());
        assert!(bench.reservations.is_held_by(&bench.key, &first).unwrap());
    }

    #[test]
    fn a_runner_takes_over_only_what_is_still_its_own() {
        let bench = Bench::new();
        let first = bench.win("one");
        assert!(bench.reservations.take_over(&bench.key, &Owner { process: Process::of(1), ..first.clone() }).unwrap());
        assert!(!bench.reservations.take_over(&bench.key, &owner("two", Process::current())).unwrap());
    }
}
