//! Giving up what a command could reach past its walls with: privileges of the machine's administrator, and open files.
//!
//! Landlock keeps paths and a filter keeps sockets, but whoever may trace, look into other processes, or make devices has other
//! ways. Privileges over owners and modes of files stay: they reach no file that the walls keep.

#![expect(unsafe_code, reason = "the kernel offers both only through raw calls, which no crate here wraps")]

use std::io;

use libc::{c_long, c_uint};

/// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 capabilities each.
const VERSION: u32 = 0x2008_0522;
/// `CAP_CHOWN`, `CAP_DAC_OVERRIDE`, `CAP_FOWNER`, `CAP_FSETID`, `CAP_SETGID`, and `CAP_SETUID`.
const KEPT: u32 = 1 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7;
/// The first descriptor that is not one of the standard streams.
const FIRST: c_uint = 3;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives up privileges, for this thread and all it starts. Holds for good once no program can gain new ones, as walls ask for.
pub(super) fn give_up() -> io::Result<()> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut words = [Word::default(); 2];
    // SAFETY: the kernel reads one header and writes two words, as its version says; both outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) })?;
    for (word, kept) in words.iter_mut().zip([KEPT, 0]) {
        let permitted = word.permitted & kept;
        *word = Word { effective: word.effective & permitted, permitted, inheritable: word.inheritable & permitted };
    }
    // SAFETY: the kernel reads one header and two words; both outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) })
}

/// Keeps every open file but the standard streams from the programs that this process starts: whoever started it may have left
/// some open.
pub(super) fn keep_files_closed() -> io::Result<()> {
    // SAFETY: the call takes numbers only and closes nothing now.
    check(unsafe { libc::syscall(libc::SYS_close_range, FIRST, c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) })
}

fn check(returned: c_long) -> io::Result<()> {
    if returned == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
