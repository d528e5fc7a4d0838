//! How often an attempt is repeated, and after which wait. Whose fault it was decides.

use std::time::Duration;

use crate::{Digest, plan::Retry, units::Size, workflow::Repeats};

/// Which of the retry limits counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The machine: a killed process, a full disk, a stage that hangs.
    Infra,
    /// The machine took the process away.
    Preempted(Advance),
    /// Memory ran out; this much was in use.
    Memory(Size),
    /// The stage.
    Stage,
    /// Nobody tries again.
    Final,
}

/// Whether an attempt that was taken away left a later checkpoint than the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advance {
    /// It did, so another attempt gets further still.
    Made,
    /// It did not: taking turns with whoever takes the machine away leads nowhere.
    None,
}

/// How often a stage was repeated.
#[derive(Debug)]
pub(crate) struct Retries {
    key: Digest,
    longest: Duration,
    infra: u32,
    preempted: u32,
    memory: u32,
    stage: u32,
}

impl Retries {
    /// None yet. Waits are never longer than `longest`.
    pub(crate) fn new(key: Digest, longest: Duration) -> Self {
        Self { key, longest, infra: 0, preempted: 0, memory: 0, stage: 0 }
    }

    /// The wait before the next attempt, if there is one.
    pub(crate) fn next(&mut self, retry: &Retry, blame: Blame) -> Option<Duration> {
        let (count, limit) = match blame {
            Blame::Preempted(Advance::Made) => (&mut self.preempted, retry.preempt),
            Blame::Infra | Blame::Preempted(Advance::None) => (&mut self.infra, Repeats::Times(retry.infra)),
            Blame::Memory(_) => (&mut self.memory, Repeats::Times(retry.oom)),
            Blame::Stage => (&mut self.stage, Repeats::Times(retry.error)),
            Blame::Final => return None,
        };
        if matches!(limit, Repeats::Times(limit) if *count >= limit) {
            return None;
        }
        *count += 1;
        // Progress is no reason to wait longer and longer.
        let doublings = if blame == Blame::Preempted(Advance::Made) { 0 } else { self.infra + self.memory + self.stage - 1 };
        Some(self.jittered(retry.backoff.saturating_mul(1 << doublings.min(16)).min(self.longest)))
    }

    /// From three quarters to five quarters of a wait, the same for the same attempt of the same action: stages that failed
    /// together do not all come back at once, and a run can still be foretold.
    fn jittered(&self, wait: Duration) -> Duration {
        let mut seed = self.key.as_bytes().to_vec();
        seed.extend((self.infra + self.preempted + self.memory + self.stage).to_le_bytes());
        let byte = Digest::of(&seed).as_bytes().first().copied().unwrap_or_default();
        (wait * (384 + u32::from(byte)) / 512).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries() -> Retries {
        Retries::new(Digest::of(b"key"), Duration::from_mins(10))
    }

    fn waits(blame: Blame, retry: &Retry) -> Vec<f64> {
        let mut retries = retries();
        std::iter::from_fn(|| retries.next(retry, blame)).take(20).map(|wait| wait.as_secs_f64()).collect()
    }

    #[test]
    fn every_class_has_its_own_limit() {
        let retry = Retry::default();
        assert_eq!(waits(Blame::Infra, &retry).len(), 5);
        assert_eq!(waits(Blame::Memory(Size::gib(1)), &retry).len(), 1);
        assert_eq!(waits(Blame::Stage, &retry).len(), 0);
        assert_eq!(waits(Blame::Final, &retry).len(), 0);
        assert_eq!(waits(Blame::Preempted(Advance::Made), &retry).len(), 20);
        assert_eq!(waits(Blame::Preempted(Advance::None), &retry).len(), 5);
        let limited = Retry { preempt: Repeats::Times(2), ..retry };
        assert_eq!(waits(Blame::Preempted(Advance::Made), &limited).len(), 2);
    }

    #[test]
    fn waits_double_up_to_ten_minutes_and_are_the_same_again() {
        let retry = Retry { infra: 9, ..Retry::default() };
        let told = waits(Blame::Infra, &retry);
        for (doubling, wait) in told.iter().take(6).enumerate() {
            let middle = 10.0 * f64::from(1 << doubling);
            assert!((0.75 * middle..=1.25 * middle).contains(wait), "{told:?}");
        }
        assert!(told.iter().all(|wait| *wait <= 600.0), "{told:?}");
        assert_eq!(told, waits(Blame::Infra, &retry));
        let ten = 10.0 * f64::EPSILON;
        assert!(waits(Blame::Preempted(Advance::Made), &retry).iter().all(|wait| *wait <= 12.5 + ten));
    }
}
