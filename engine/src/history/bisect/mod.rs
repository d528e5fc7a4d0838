//! Which change moved a number: first among the runs that were recorded, then among mixtures of two of them.
//!
//! Two runs that differ in several places are bisected like two commits: a mixture takes the first places from the bad run and
//! the rest from the good one. What the caller runs is a [`Mixture`]; stages that it shares with earlier runs are cached.

mod mixture;
mod places;
mod search;

use serde::Serialize;

pub use self::{
    mixture::Mixed,
    places::{Place, Places},
    search::{Mixture, Next, Search, Verdict},
};
use super::{RunRecord, difference::Side, metric};
use crate::{
    project::Project,
    run::{History, RunError, RunId},
    store::Store,
};

/// A number of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// The run.
    pub run: RunId,
    /// The number.
    pub value: f64,
}

/// Two neighbouring runs between which a number moved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The last run that was still good.
    pub good: Reading,
    /// The first run that was bad.
    pub bad: Reading,
    /// Recorded runs that were looked at in between.
    pub between: usize,
}

/// What a bisection is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// `stage.metric`, or `metric`.
    pub metric: String,
    /// A run with the number as it should be; the last one with another number than the bad one when none is named.
    pub good: Option<RunId>,
    /// A run with the number as it should not be; the latest that has the number when none is named.
    pub bad: Option<RunId>,
}

/// Whether a value lies nearer to the bad one.
pub(crate) fn is_bad(value: f64, (good, bad): (f64, f64)) -> bool {
    (value - bad).abs() < (value - good).abs()
}

/// The neighbouring runs between which the number moved, as far as recorded runs tell.
pub fn pair(history: &History, question: &Question) -> Result<Pair, BisectError> {
    let asked = question.metric.as_str();
    let mut readings = Vec::new();
    for run in history.runs() {
        // A journal that cannot be read tells nothing.
        let Ok(state) = history.load(run) else { continue };
        if let Some(value) = metric(&state, asked) {
            readings.push((state.workflow, Reading { run, value }));
        }
    }
    let missing = |run: Option<RunId>| BisectError::NoNumber { metric: asked.to_owned(), run };
    let named = |run: RunId| readings.iter().find(|(_, reading)| reading.run == run).ok_or_else(|| missing(Some(run)));
    let (workflow, bad) = match question.bad {
        Some(run) => named(run)?,
        None => readings.last().ok_or_else(|| missing(None))?,
    };
    let same = || readings.iter().filter(|(other, _)| other == workflow).map(|(_, reading)| *reading);
    let moved = |reading: &Reading| reading.run < bad.run && reading.value.total_cmp(&bad.value).is_ne();
    let good = if let Some(run) = question.good {
        named(run)?.1
    } else {
        same().rfind(moved).ok_or_else(|| BisectError::Steady { metric: asked.to_owned() })?
    };
    if good.value.total_cmp(&bad.value).is_eq() {
        return Err(BisectError::Steady { metric: asked.to_owned() });
    }
    Ok(narrow(good, *bad, same()))
}

/// Walks from the good run towards the bad one, whichever is older, to the first reading that is bad.
fn narrow(good: Reading, bad: Reading, readings: impl Iterator<Item = Reading>) -> Pair {
    let (first, last) = (good.run.min(bad.run), good.run.max(bad.run));
    let mut path: Vec<Reading> = readings.filter(|reading| reading.run >= first && reading.run <= last).collect();
    if good.run > bad.run {
        path.reverse();
    }
    let values = (good.value, bad.value);
    let at = path.iter().position(|reading| is_bad(reading.value, values)).unwrap_or(path.len());
    let found = path.get(at).copied().unwrap_or(bad);
    let before = at.checked_sub(1).and_then(|before| path.get(before)).copied().unwrap_or(good);
    Pair { good: before, bad: found, between: path.len().saturating_sub(2) }
}

/// Every place in which two runs differ.
pub fn places(project: &Project, pair: &Pair) -> Result<Places, RunError> {
    let history = History::of(project);
    let store = Store::open(&project.site.store)?;
    let good = Side::load(&history, &store, pair.good.run)?;
    let bad = Side::load(&history, &store, pair.bad.run)?;
    Ok(Places::of(project, &good, &bad))
}

/// Why nothing can be bisected.
#[derive(Debug, thiserror::Error)]
pub enum BisectError {
    /// No run, or not the one named, measured the number.
    #[error("{} measured {metric:?}", run.map_or_else(|| "no run".to_owned(), |run| format!("run {run} never")))]
    NoNumber {
        /// The number.
        metric: String,
        /// The run that was named.
        run: Option<RunId>,
    },
    /// The number never moved.
    #[error("{metric} is the same in both runs")]
    Steady {
        /// The number.
        metric: String,
    },
}

/// The record of a run that can be mixed.
fn recorded(side: &Side) -> Option<&RunRecord> {
    side.record.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(values: &[f64]) -> Vec<Reading> {
        let mut runs: Vec<RunId> = values.iter().map(|_| RunId::generate()).collect();
        runs.sort_unstable();
        runs.into_iter().zip(values).map(|(run, value)| Reading { run, value: *value }).collect()
    }

    #[test]
    fn the_first_bad_reading_after_a_good_one_is_found() {
        let all = readings(&[0.8, 0.79, 0.81, 0.5, 0.52, 0.5]);
        let found = narrow(all[0], all[5], all.iter().copied());
        assert_eq!((found.good, found.bad, found.between), (all[2], all[3], 4));
    }

    #[test]
    fn a_bad_run_may_be_the_older_one() {
        let all = readings(&[0.5, 0.5, 0.8]);
        let found = narrow(all[2], all[0], all.iter().copied());
        assert_eq!((found.good, found.bad), (all[2], all[1]));
    }
}
