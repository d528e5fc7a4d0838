//! What every command may read beside its own files: the system's programs, their libraries, and a few settings.
//!
//! Nothing here is data of a user. The list is the same for strict commands and for `flow check --undeclared`, so that what
//! the one lists is what the other refuses.

use std::path::Path;

/// Folders and files that a command may read, and run programs from.
pub(crate) const READABLE: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/perl",
    "/etc/python3",
    "/etc/python3.11",
    "/etc/python3.12",
    "/etc/python3.13",
    "/etc/python3.14",
    "/etc/ssl/openssl.cnf",
    "/etc/terminfo",
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
];

/// Devices that a command may read and write.
pub(crate) const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Whether a path belongs to the toolchain.
pub(crate) fn holds(path: &Path) -> bool {
    READABLE.iter().chain(DEVICES).any(|known| path.starts_with(known))
}
