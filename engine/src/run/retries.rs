//! How often an attempt is repeated, and after which wait.

use std::time::Duration;

use super::attempt::Blame;
use crate::plan::PlannedStage;

const LONGEST_BACKOFF: Duration = Duration::from_mins(10);

/// How often a stage was repeated.
#[derive(Default)]
pub(crate) struct Retries {
    machine: u32,
    stage: u32,
}

impl Retries {
    /// The wait before the next attempt, if there is one.
    pub(crate) fn next(&mut self, planned: &PlannedStage, blame: Blame) -> Option<Duration> {
        let (count, limit) = match blame {
            Blame::Machine => (&mut self.machine, planned.retry.infra),
            Blame::Stage => (&mut self.stage, planned.retry.error),
            Blame::Final => return None,
        };
        if *count >= limit {
            return None;
        }
        *count += 1;
        let doublings = (self.machine + self.stage - 1).min(16);
        Some(planned.retry.backoff.saturating_mul(1 << doublings).min(LONGEST_BACKOFF))
    }
}
