//! Places where a test can make the process die or the disk fail, to prove that every step of a commit may be the last.
//!
//! `FLOW_FAILPOINT=commit-4-ingested:abort` ends the process at that site as a crash would: no destructor, no flush.
//! `:eio` and `:enospc` make the site fail as a broken or full disk would.

use std::io;

/// Every numbered step of a commit, in order.
pub const COMMIT_SITES: [&str; 13] = [
    "commit-1-reserved",
    "commit-2-laid-out",
    "commit-2-ran",
    "commit-3-reaped",
    "commit-4-blob",
    "commit-4-ingested",
    "commit-5-synced",
    "commit-6-node",
    "commit-6-trees",
    "commit-7-guarded",
    "commit-7-recorded",
    "commit-8-shown",
    "commit-8-journaled",
];

/// Every step of a collection, in order.
pub const COLLECT_SITES: [&str; 3] = ["gc-1-marked", "gc-2-moved", "gc-3-rescued"];

/// The variable that names a site and what happens there.
pub const VARIABLE: &str = "FLOW_FAILPOINT";

/// Does what the environment asks for at this site: nothing, nearly always.
pub(crate) fn reach(site: &str) -> io::Result<()> {
    let Ok(armed) = std::env::var(VARIABLE) else { return Ok(()) };
    match armed.split_once(':') {
        Some((armed, action)) if armed == site => act(site, action),
        _ => Ok(()),
    }
}

fn act(site: &str, action: &str) -> io::Result<()> {
    tracing::error!(site, action, "Failpoint reached.");
    match action {
        "abort" => std::process::abort(),
        "eio" => Err(rustix::io::Errno::IO.into()),
        "enospc" => Err(rustix::io::Errno::NOSPC.into()),
        _ => Ok(()),
    }
}
