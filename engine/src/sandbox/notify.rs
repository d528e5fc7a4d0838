//! A seccomp filter that reports calls to a listener instead of refusing them.
//!
//! The kernel stops the caller, hands the call to whoever holds the listener, and goes on when it is told to. Reading
//! arguments from the caller's memory is the business of [`super::observe`].

#![expect(unsafe_code, reason = "the kernel offers the listener only through raw calls, which no safe crate wraps")]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use libc::{c_long, sock_filter, sock_fprog};

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

// Instructions of the filter: load a word of the call, compare it, return. libc gives them in parts and too wide.
const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`, in the width of the answer.
const GO_ON: u32 = 1;

const OFFSET_OF_NUMBER: u32 = 0;
const OFFSET_OF_ARCH: u32 = 4;

/// One call that a process wants to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// Identifies the call when it is answered.
    id: u64,
    /// The thread that makes it.
    pub(super) thread: u32,
    /// Its number.
    pub(super) number: c_long,
    /// Its arguments.
    pub(super) arguments: [u64; 6],
}

/// What becomes of a reported call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The kernel makes it.
    GoOn,
    /// It fails as if it were not permitted.
    Refuse,
}

/// Receives the reported calls.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

/// Reports the given calls of this thread, and of all it starts, to the listener that is returned.
pub(super) fn listen(calls: &[c_long]) -> io::Result<Listener> {
    let mut program = program(calls);
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let filter = sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: `prctl` with these arguments reads no memory.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `filter` points to `length` instructions that live until the call returns; the kernel copies them.
    let listener = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, &raw const filter)
    };
    let listener = i32::try_from(listener).map_err(io::Error::other)?;
    if listener < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(Listener(unsafe { OwnedFd::from_raw_fd(listener) }))
}

/// The filter: calls of a foreign architecture are refused, rings too, the given calls reported, all others allowed.
fn program(calls: &[c_long]) -> Vec<sock_filter> {
    let step = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    let unless = |value, skip| sock_filter { code: EQUAL, jt: 0, jf: skip, k: value };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EACCES.unsigned_abs();
    let mut program = vec![
        step(LOAD, OFFSET_OF_ARCH),
        sock_filter { code: EQUAL, jt: 1, jf: 0, k: ARCH },
        step(RETURN, refuse),
        step(LOAD, OFFSET_OF_NUMBER),
    ];
    let numbered = |number: &c_long| u32::try_from(*number).unwrap_or(u32::MAX);
    for (number, answer) in
        calls.iter().map(|call| (call, libc::SECCOMP_RET_USER_NOTIF)).chain([(&libc::SYS_io_uring_setup, refuse)])
    {
        program.extend([unless(numbered(number), 1), step(RETURN, answer)]);
    }
    program.push(step(RETURN, libc::SECCOMP_RET_ALLOW));
    program
}

impl Listener {
    /// Waits for a call; none when a while has passed without one, an error when nobody is left who could make one.
    pub(super) fn wait(&self, milliseconds: i32) -> io::Result<Option<Call>> {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` is one valid entry.
        match unsafe { libc::poll(&raw mut poll, 1, milliseconds) } {
            0 => return Ok(None),
            ready if ready < 0 => {
                let error = io::Error::last_os_error();
                return if error.kind() == io::ErrorKind::Interrupted { Ok(None) } else { Err(error) };
            }
            _ if poll.revents & libc::POLLIN == 0 => return Err(io::ErrorKind::BrokenPipe.into()),
            _ => {}
        }
        // SAFETY: all fields of the record are numbers, for which zeros are valid; the kernel demands zeros.
        let mut record: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the request's size is that of `record`, which outlives the call.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut record) } != 0 {
            // The caller was killed meanwhile.
            return Ok(None);
        }
        Ok(Some(Call { id: record.id, thread: record.pid, number: c_long::from(record.data.nr), arguments: record.data.args }))
    }

    /// Lets a call go on, or not.
    pub(super) fn answer(&self, call: &Call, answer: Answer) {
        let mut response = libc::seccomp_notif_resp { id: call.id, val: 0, error: 0, flags: 0 };
        match answer {
            Answer::GoOn => response.flags = GO_ON,
            Answer::Refuse => response.error = -libc::EACCES,
        }
        // SAFETY: the request's size is that of `response`, which outlives the call. A caller that was killed needs no answer.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) };
    }
}
