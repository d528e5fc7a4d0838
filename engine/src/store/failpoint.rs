//! Places where a test can make the process die, to prove that every step of a commit may be the last.
//!
//! `FLOW_FAILPOINT=commit-4-ingested:abort` ends the process at that site as a crash would: no destructor, no flush.

/// Every numbered step of a commit, in order.
pub const COMMIT_SITES: [&str; 8] = [
    "commit-1-reserved",
    "commit-2-ran",
    "commit-3-reaped",
    "commit-4-ingested",
    "commit-5-synced",
    "commit-6-trees",
    "commit-7-recorded",
    "commit-8-journaled",
];

/// The variable that names a site and what happens there.
pub const VARIABLE: &str = "FLOW_FAILPOINT";

/// Ends the process when the environment asks for it at this site.
pub(crate) fn reach(site: &str) {
    let armed = std::env::var(VARIABLE).is_ok_and(|armed| armed.strip_suffix(":abort") == Some(site));
    if armed {
        tracing::error!(site, "Failpoint reached.");
        std::process::abort();
    }
}
