//! A full disk: the collector runs once, then the work is tried again, then the person is told what could go.

use super::History;
use crate::{
    Artifact, StageError,
    store::{Candidate, Cas, GcOptions, Staged, Store, StoreError, Sweep},
};

/// How long nobody referred to a result that goes when a disk is full.
const LONG_ENOUGH: std::time::Duration = std::time::Duration::from_hours(1);
/// Results that are named.
const NAMED: usize = 3;

/// Takes outputs into the store, and makes room for them if there is none.
pub(crate) fn ingest(store: &Store, cas: &Cas, staged: &[Staged]) -> Result<Vec<Artifact>, StageError> {
    match cas.ingest(staged) {
        Err(StoreError::Full { .. }) => {}
        ingested => return Ok(ingested?),
    }
    if let Err(error) = make_room(store) {
        tracing::warn!(%error, "Could not make room.");
    }
    cas.ingest(staged).map_err(|error| match error {
        StoreError::Full { .. } => StageError::from(error).help(advice(store)),
        StoreError::Io { .. }
        | StoreError::Damaged { .. }
        | StoreError::Unsupported { .. }
        | StoreError::Format { .. }
        | StoreError::Foreign { .. }
        | StoreError::ReadOnly { .. }
        | StoreError::Record { .. } => error.into(),
    })
}

/// Deletes the trash and what nobody refers to.
fn make_room(store: &Store) -> Result<(), StageError> {
    let referenced = History::referenced_in(store).map_err(|error| StageError::resource(error.to_string()))?;
    let options = GcOptions { referenced, older_than: LONG_ENOUGH, sweep: Sweep::Delete, ..GcOptions::default() };
    let collected = store.collect(&options)?;
    tracing::info!(freed = collected.freed_bytes, "Made room on a full disk.");
    Ok(())
}

/// What could go, biggest first.
fn advice(store: &Store) -> String {
    let referenced = History::referenced_in(store).unwrap_or_default();
    let biggest = store.biggest(&referenced, NAMED).unwrap_or_default();
    let named: Vec<String> = biggest.iter().map(named).collect();
    let list = if named.is_empty() { String::new() } else { format!(" The biggest results: {}.", named.join("; ")) };
    format!(
        "free space, let `flow gc --max-size SIZE --empty-trash` choose, or move the store with FLOW_STORE=FOLDER; \
         nothing that nobody needs is left to remove.{list}"
    )
}

fn named(candidate: &Candidate) -> String {
    let mib = candidate.bytes >> 20;
    format!("{} {mib} MiB, made in {:.0} s", candidate.kind, candidate.seconds)
}
