//! What a watched command reads, runs, and tries to reach, as its calls are reported.
//!
//! Reads go on, so that one run shows all of them; connections are refused, as they would be for a strict command. What of
//! this is undeclared is for the caller to judge.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::{ffi::OsStringExt, fs::FileExt},
    path::{Component, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    thread::{self, JoinHandle},
};

use libc::c_long;

use super::notify::{Answer, Call, Listener};

/// The calls that name a file, a program, or an address.
pub(super) const CALLS: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
];

const TICK_MS: i32 = 50;
const LONGEST_PATH: usize = 4096;
const PAGE: u64 = 4096;

/// Something a command did or tried to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    /// It named a file.
    File {
        /// The absolute path, links unresolved.
        path: PathBuf,
        /// What for.
        how: How,
        /// What was there.
        found: Found,
    },
    /// It tried to reach, or to be reached at, an address.
    Network(String),
}

/// What a command named a file for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// To see whether it is there.
    Look,
    /// To read it.
    Read,
    /// To write it.
    Write,
    /// To run it.
    Run,
}

/// What was at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A file, or a device.
    File,
    /// A folder.
    Folder,
}

/// Collects what a command does.
#[derive(Debug)]
pub(crate) struct Watch {
    thread: JoinHandle<BTreeSet<Seen>>,
    over: Arc<AtomicBool>,
}

impl Watch {
    /// Watches from the moment the listener comes; nothing, if none comes.
    pub(super) fn await_listener(listener: Receiver<Listener>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        let thread = thread::spawn(move || listener.recv().map_or_else(|_| BTreeSet::new(), |listener| serve(&listener, &told)));
        Self { thread, over }
    }

    /// Everything that was seen. To be called when the command and all it started are gone.
    pub(crate) fn finish(self) -> BTreeSet<Seen> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn serve(listener: &Listener, over: &AtomicBool) -> BTreeSet<Seen> {
    let mut seen = BTreeSet::new();
    loop {
        match listener.wait(TICK_MS) {
            Ok(Some(call)) => {
                let met = Caller::of(&call).and_then(|caller| caller.seen(&call));
                let refused = matches!(met, Some(Seen::Network(_)));
                listener.answer(&call, if refused { Answer::Refuse } else { Answer::GoOn });
                seen.extend(met);
            }
            Ok(None) if over.load(Ordering::Relaxed) => return seen,
            Ok(None) => {}
            Err(_) => return seen,
        }
    }
}

/// A stopped thread whose memory can be read.
struct Caller {
    thread: u32,
    memory: File,
}

impl Caller {
    /// None for a thread of this process, which only prepares the command, and for one that was killed.
    fn of(call: &Call) -> Option<Self> {
        let ours = Path::new("/proc/self/task").join(call.thread.to_string()).exists();
        let memory = File::open(format!("/proc/{}/mem", call.thread)).ok()?;
        (!ours).then_some(Self { thread: call.thread, memory })
    }

    fn seen(&self, call: &Call) -> Option<Seen> {
        let [first, second, third, _, fifth, sixth] = call.arguments;
        match call.number {
            libc::SYS_connect | libc::SYS_bind => self.address(second, third),
            libc::SYS_sendto => self.address(fifth, sixth),
            libc::SYS_sendmsg | libc::SYS_sendmmsg => {
                let header: [u8; 12] = self.bytes(second)?;
                let name = u64::from_ne_bytes(header.first_chunk().copied()?);
                self.address(name, u64::from(u32::from_ne_bytes(header.last_chunk().copied()?)))
            }
            libc::SYS_openat => self.file(Some(first), second, opened(third)),
            libc::SYS_openat2 => self.file(Some(first), second, opened(u64::from_ne_bytes(self.bytes(third)?))),
            libc::SYS_execve => self.file(None, first, How::Run),
            libc::SYS_execveat => self.file(Some(first), second, How::Run),
            libc::SYS_newfstatat | libc::SYS_statx | libc::SYS_faccessat | libc::SYS_faccessat2 => {
                self.file(Some(first), second, How::Look)
            }
            number => self.old_call(number, (first, second)),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn old_call(&self, number: c_long, (first, second): (u64, u64)) -> Option<Seen> {
        match number {
            libc::SYS_open => self.file(None, first, opened(second)),
            libc::SYS_creat => self.file(None, first, How::Write),
            libc::SYS_stat | libc::SYS_lstat | libc::SYS_access => self.file(None, first, How::Look),
            _ => None,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn old_call(&self, _: c_long, _: (u64, u64)) -> Option<Seen> {
        None
    }

    fn file(&self, folder: Option<u64>, path: u64, how: How) -> Option<Seen> {
        let named = self.path(path)?;
        if named.as_os_str().is_empty() {
            return None;
        }
        let path = if named.is_absolute() { named } else { self.folder(folder)?.join(named) };
        let path = tidy(&path);
        let found = match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Found::Folder,
            Ok(_) => Found::File,
            Err(_) => Found::Nothing,
        };
        Some(Seen::File { path, how, found })
    }

    /// The folder that a relative path starts at: an open one, or the working folder.
    fn folder(&self, descriptor: Option<u64>) -> Option<PathBuf> {
        // The kernel looks at the lower half only.
        let descriptor = descriptor.and_then(|wide| u32::try_from(wide & 0xffff_ffff).ok()).map(u32::cast_signed);
        let link = match descriptor {
            Some(open) if open != libc::AT_FDCWD => format!("/proc/{}/fd/{open}", self.thread),
            _ => format!("/proc/{}/cwd", self.thread),
        };
        fs::read_link(link).ok()
    }

    fn path(&self, address: u64) -> Option<PathBuf> {
        let mut text = Vec::new();
        while text.len() < LONGEST_PATH {
            // Up to the end of the page: the next one may not be there.
            let at = address.checked_add(text.len() as u64)?;
            let mut part = vec![0; usize::try_from(PAGE - at % PAGE).ok()?];
            let read = self.memory.read_at(&mut part, at).ok()?;
            let part = part.get(..read)?;
            if let Some(end) = memchr::memchr(0, part) {
                text.extend_from_slice(part.get(..end)?);
                return Some(PathBuf::from(std::ffi::OsString::from_vec(text)));
            }
            if read == 0 {
                return None;
            }
            text.extend_from_slice(part);
        }
        None
    }

    fn bytes<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.memory.read_exact_at(&mut bytes, address).ok().map(|()| bytes)
    }

    fn address(&self, address: u64, length: u64) -> Option<Seen> {
        let length = usize::try_from(length).ok().filter(|length| address != 0 && (2..=128).contains(length))?;
        let mut bytes = vec![0; length];
        self.memory.read_exact_at(&mut bytes, address).ok()?;
        peer(&bytes).map(Seen::Network)
    }
}

/// Whether the flags of an open ask for reading or for writing.
fn opened(flags: u64) -> How {
    let asks = |flag: i32| flags & u64::from(flag.unsigned_abs()) != 0;
    if asks(libc::O_WRONLY) || asks(libc::O_RDWR) || asks(libc::O_CREAT) || asks(libc::O_TRUNC) { How::Write } else { How::Read }
}

/// An address in words; none for one that leads nowhere, such as the kernel's own or a service that is not there.
fn peer(bytes: &[u8]) -> Option<String> {
    let family = u16::from_ne_bytes(bytes.first_chunk().copied()?);
    let port = || bytes.get(2..4)?.first_chunk().copied().map(u16::from_be_bytes);
    match i32::from(family) {
        libc::AF_INET => {
            let address: [u8; 4] = bytes.get(4..)?.first_chunk().copied()?;
            Some(SocketAddr::from((Ipv4Addr::from(address), port()?)).to_string())
        }
        libc::AF_INET6 => {
            let address: [u8; 16] = bytes.get(8..)?.first_chunk().copied()?;
            Some(SocketAddr::from((Ipv6Addr::from(address), port()?)).to_string())
        }
        libc::AF_UNIX => {
            let name = bytes.get(2..)?;
            if let (0, hidden) = name.split_first()? {
                return Some(format!("unix:@{}", String::from_utf8_lossy(hidden)));
            }
            let end = memchr::memchr(0, name).unwrap_or(name.len());
            let path = String::from_utf8_lossy(name.get(..end)?).into_owned();
            Path::new(&path).exists().then(|| format!("unix:{path}"))
        }
        _ => None,
    }
}

/// A path without `.` and `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(tidied.pop()),
            Component::CurDir => {}
            other => tidied.push(other),
        }
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_as_people_write_them() {
        let inet = [&2_u16.to_ne_bytes()[..], &443_u16.to_be_bytes(), &[192, 0, 2, 7], &[0; 8]].concat();
        assert_eq!(peer(&inet).as_deref(), Some("192.0.2.7:443"));
        let mut six = [&10_u16.to_ne_bytes()[..], &80_u16.to_be_bytes(), &[0; 4]].concat();
        six.extend(Ipv6Addr::LOCALHOST.octets());
        assert_eq!(peer(&six).as_deref(), Some("[::1]:80"));
        assert_eq!(peer(&[&1_u16.to_ne_bytes()[..], b"/no/such/socket\0"].concat()), None);
        assert_eq!(peer(&16_u16.to_ne_bytes()), None);
        assert_eq!(peer(&[2]), None);
    }

    #[test]
    fn flags_that_may_change_a_file_count_as_writing() {
        let flag = |flag: i32| u64::from(flag.unsigned_abs());
        assert_eq!(opened(0), How::Read);
        assert_eq!(opened(flag(libc::O_CLOEXEC)), How::Read);
        for one in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC] {
            assert_eq!(opened(flag(one)), How::Write);
        }
    }

    #[test]
    fn paths_lose_their_dots() {
        assert_eq!(tidy(Path::new("/a/./b/../c")), Path::new("/a/c"));
        assert_eq!(tidy(Path::new("/../x")), Path::new("/x"));
    }
}
