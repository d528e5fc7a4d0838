//! Small durable file operations: everything visible under its final name is complete and on disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};

use super::StoreError;
use crate::Digest;

const CHUNK: usize = 1 << 20;
/// A use this short a time after another one need not be noted.
const A_MOMENT: Duration = Duration::from_mins(10);

/// Every object of the store carries this modification time, so that any write through a link shows in its metadata. The
/// fraction of the second names the boot in which its bytes were last read.
const PINNED_SECONDS: i64 = 1_000_000_000;

/// What a modification time says about an object of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// Somebody wrote to it, or gave it another time.
    Broken,
    /// Nobody wrote to it; its bytes were read before the machine started, if ever.
    Earlier,
    /// Nobody wrote to it since its bytes were read in this boot.
    ThisBoot,
}

/// Reads the seal of an object.
pub(crate) fn sealed(metadata: &fs::Metadata) -> Sealed {
    match (metadata.mtime(), metadata.mtime_nsec()) {
        (PINNED_SECONDS, fraction) if fraction == i64::from(boot_fraction()) => Sealed::ThisBoot,
        (PINNED_SECONDS, _) => Sealed::Earlier,
        _ => Sealed::Broken,
    }
}

fn pinned_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(PINNED_SECONDS.unsigned_abs(), boot_fraction())
}

/// A number below a billion that is another one after the next start of the machine.
fn boot_fraction() -> u32 {
    let [a, b, c, d, ..] = *blake3::hash(super::machine::boot().as_bytes()).as_bytes();
    1 + u32::from_le_bytes([a, b, c, d]) % 999_999_999
}

/// Whether a file was already where it should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// It is new.
    New,
    /// An equal name existed; the old file stays.
    Existed,
}

/// Holds a lock file of this machine until the result is dropped.
pub(crate) fn exclusive(path: &Path) -> Result<File, StoreError> {
    let open = || -> io::Result<File> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    };
    open().map_err(StoreError::io("lock", path))
}

/// Makes a folder and its parents.
pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(StoreError::io("create", path))
}

/// Flushes a folder's entries to disk.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(StoreError::io("sync", path))
}

/// Writes a new file under a temporary name and links it into place: the first writer wins.
pub(crate) fn publish(bytes: &[u8], place: &Path, temporary: &Path) -> Result<Published, StoreError> {
    if let Some(folder) = place.parent() {
        make_folder(folder)?;
    }
    let done = write_synced(bytes, temporary).and_then(|()| link(temporary, place));
    // The outcome above is what counts; a left-over temporary file is swept later.
    fs::remove_file(temporary).ok();
    let published = done?;
    if let Some(folder) = place.parent() {
        sync_folder(folder)?;
    }
    Ok(published)
}

/// Replaces a file as a whole or not at all.
pub(crate) fn write_atomic(bytes: &[u8], place: &Path) -> Result<(), StoreError> {
    let temporary = sibling(place);
    let done =
        write_synced(bytes, &temporary).and_then(|()| fs::rename(&temporary, place).map_err(StoreError::io("replace", place)));
    if done.is_err() {
        // The write's own error is the one to report.
        fs::remove_file(&temporary).ok();
    }
    done
}

/// Replaces a file as a whole or not at all, but does not wait for the disk: for what a machine that lost power does not miss.
pub(crate) fn write_lightly(bytes: &[u8], place: &Path) -> Result<(), StoreError> {
    let temporary = sibling(place);
    let done = fs::write(&temporary, bytes)
        .map_err(StoreError::io("write", &temporary))
        .and_then(|()| fs::rename(&temporary, place).map_err(StoreError::io("replace", place)));
    if done.is_err() {
        // The write's own error is the one to report.
        fs::remove_file(&temporary).ok();
    }
    done
}

/// A name beside `place` that nobody else uses.
pub(crate) fn sibling(place: &Path) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", ulid::Ulid::new()));
    place.with_file_name(name)
}

fn write_synced(bytes: &[u8], path: &Path) -> Result<(), StoreError> {
    let write = || -> io::Result<()> {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_data()
    };
    write().map_err(StoreError::io("write", path))
}

/// Links an existing file under a second name; an existing name is left alone.
pub(crate) fn link(from: &Path, to: &Path) -> Result<Published, StoreError> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(Published::New),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Published::Existed),
        Err(error) => Err(StoreError::io("link", to)(error)),
    }
}

/// Hashes a file by reading it. Never maps it: another process may truncate it meanwhile.
pub(crate) fn hash(path: &Path) -> Result<(Digest, u64), StoreError> {
    let mut file = File::open(path).map_err(StoreError::io("read", path))?;
    let mut sink = io::sink();
    hash_into(&mut file, &mut sink).map_err(StoreError::io("read", path))
}

/// Whether a copy must outlive a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// It is flushed.
    Yes,
    /// It can be made again.
    No,
}

/// Copies a file while hashing it. A failed copy is removed: a full disk must not get fuller.
pub(crate) fn copy_hashing(from: &Path, to: &Path, durable: Durable) -> Result<(Digest, u64), StoreError> {
    let mut source = File::open(from).map_err(StoreError::io("read", from))?;
    let mut copy = || -> io::Result<(Digest, u64)> {
        let mut target = File::create_new(to)?;
        let hashed = hash_into(&mut source, &mut target)?;
        if durable == Durable::Yes {
            target.sync_data()?;
        }
        Ok(hashed)
    };
    copy().map_err(|error| {
        // The copy's own error is the one to report.
        fs::remove_file(to).ok();
        StoreError::io("copy into", to)(error)
    })
}

/// Makes a copy that shares its blocks with the original until one of them is written to. Few file systems can.
pub(crate) fn reflink(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let target = File::create_new(to)?;
    rustix::fs::ioctl_ficlone(&target, &source).map_err(|error| {
        // The refusal is what the caller acts on.
        fs::remove_file(to).ok();
        error.into()
    })
}

/// The time of the file system, which may differ from this machine's where the file system is another machine's.
pub(crate) fn now(folder: &Path) -> Result<SystemTime, StoreError> {
    let probe = folder.join(format!("clock-{}", ulid::Ulid::new()));
    let read = || -> io::Result<SystemTime> {
        let modified = File::create_new(&probe)?.metadata()?.modified();
        fs::remove_file(&probe)?;
        modified
    };
    read().map_err(StoreError::io("read the clock by", &probe))
}

fn hash_into(source: &mut dyn Read, target: &mut dyn Write) -> io::Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok((Digest::from_bytes(*hasher.finalize().as_bytes()), bytes)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let chunk = buffer.get(..count).unwrap_or_default();
        hasher.update(chunk);
        target.write_all(chunk)?;
        bytes += count as u64;
    }
}

/// Makes a file read-only, gives it the pinned time, and flushes it.
pub(crate) fn seal(path: &Path, mode: u32) -> Result<(), StoreError> {
    let seal = || -> io::Result<()> {
        // Stages may leave files without any permission; the owner may always change that.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_modified(pinned_time())?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()
    };
    seal().map_err(StoreError::io("seal", path))
}

/// Renews the change time of an object that is about to be relied upon, so that the collector leaves it alone.
pub(crate) fn touch(path: &Path) -> Result<(), StoreError> {
    let touch = || fs::set_permissions(path, path.metadata()?.permissions());
    touch().map_err(StoreError::io("touch", path))
}

/// Renews the change time of a file that is used, unless it tells of a use a moment ago: the collector counts in days, and a
/// change is written to disk. A time that lies ahead says that a clock was set back.
pub(crate) fn note_use(path: &Path, changed: SystemTime) -> Result<(), StoreError> {
    let noted = SystemTime::now().duration_since(changed).is_ok_and(|elapsed| elapsed < A_MOMENT);
    if noted { Ok(()) } else { touch(path) }
}

/// Removes a file or folder, read-only folders included. A missing one is fine.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let remove = || {
        if !metadata.is_dir() {
            return fs::remove_file(path);
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(path)? {
            remove_all(&entry?.path())?;
        }
        fs::remove_dir(path)
    };
    match remove() {
        // Somebody else cleans up, too.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Applies `work` to every item on a few threads and keeps the order. The first error in order wins.
pub(crate) fn parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, StoreError> + Sync,
) -> Result<Vec<R>, StoreError> {
    if items.len() <= 1 {
        // Asking for the number of cores opens files, which costs more than most single items.
        return items.iter().map(work).collect();
    }
    // Flushing waits for the disk, so a few threads help even on one core.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).max(8).min(items.len());
    let size = items.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let work = &work;
        let parts: Vec<_> =
            items.chunks(size).map(|part| scope.spawn(move || part.iter().map(work).collect::<Result<Vec<R>, _>>())).collect();
        let mut all = Vec::with_capacity(items.len());
        for part in parts {
            all.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}
