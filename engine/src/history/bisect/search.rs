//! The search itself: which mixture to try next, and what the answers say.

use std::collections::BTreeSet;

use serde::Serialize;

use super::is_bad;

/// Which places a mixture takes from the bad run; all others come from the good one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mixture {
    /// Their numbers among the mixable places.
    pub from_bad: BTreeSet<usize>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run this mixture and tell its number.
    Try(Mixture),
    /// The search is over.
    Found(Verdict),
}

/// What moved the number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum Verdict {
    /// This place does it alone.
    Alone {
        /// Its number among the mixable places.
        place: usize,
    },
    /// This place does it, but only together with some of those before it.
    Together {
        /// Its number among the mixable places.
        place: usize,
        /// The places that were taken from the bad run, too.
        with: Vec<usize>,
    },
    /// What no mixture can change does it.
    Fixed,
    /// The runs differ in nothing that is recorded.
    Nothing,
}

/// A bisection on its way.
#[derive(Clone, Debug)]
pub struct Search {
    values: (f64, f64),
    /// The first `low` places from the bad run are known to be good.
    low: usize,
    /// The first `high` places from the bad run are known to be bad.
    high: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Whether the good run is still good today.
    Ground,
    /// Between the good and the bad end.
    Between,
    /// Whether the place that was found does it alone.
    Proof,
    Over(End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Alone,
    Together,
    Fixed,
    Nothing,
}

impl Search {
    /// A search among `places` mixable places; `fixed` ones make it ask first whether the good run is still good.
    pub fn new(places: usize, fixed: usize, values: (f64, f64)) -> Self {
        let stage = match (places, fixed) {
            (0, 0) => Stage::Over(End::Nothing),
            (0, _) => Stage::Over(End::Fixed),
            (_, 0) => Stage::Between,
            (_, _) => Stage::Ground,
        };
        Self { values, low: 0, high: places, stage }.settled()
    }

    /// What to do next.
    pub fn next(&self) -> Next {
        let first = |count: usize| Mixture { from_bad: (0..count).collect() };
        let place = self.high.saturating_sub(1);
        match self.stage {
            Stage::Ground => Next::Try(first(0)),
            Stage::Between => Next::Try(first(self.middle())),
            Stage::Proof => Next::Try(Mixture { from_bad: BTreeSet::from([place]) }),
            Stage::Over(End::Alone) => Next::Found(Verdict::Alone { place }),
            Stage::Over(End::Together) => Next::Found(Verdict::Together { place, with: (0..place).collect() }),
            Stage::Over(End::Fixed) => Next::Found(Verdict::Fixed),
            Stage::Over(End::Nothing) => Next::Found(Verdict::Nothing),
        }
    }

    /// Takes the number of the mixture that was asked for.
    #[must_use]
    pub fn told(mut self, value: f64) -> Self {
        let bad = is_bad(value, self.values);
        match self.stage {
            Stage::Ground => self.stage = if bad { Stage::Over(End::Fixed) } else { Stage::Between },
            Stage::Between if bad => self.high = self.middle(),
            Stage::Between => self.low = self.middle(),
            Stage::Proof => self.stage = Stage::Over(if bad { End::Alone } else { End::Together }),
            Stage::Over(_) => {}
        }
        self.settled()
    }

    /// Mixtures that may still have to be run.
    pub fn at_most(&self) -> usize {
        let halvings = |span: usize| span.next_power_of_two().trailing_zeros() as usize;
        let between = halvings(self.high.saturating_sub(self.low));
        match self.stage {
            Stage::Ground => 1 + between + usize::from(self.high > 1),
            Stage::Between => between + usize::from(self.high > 1),
            Stage::Proof => 1,
            Stage::Over(_) => 0,
        }
    }

    fn middle(&self) -> usize {
        usize::midpoint(self.low, self.high)
    }

    /// Leaves the halving when one place is left; the first place needs no proof, nothing stands before it.
    fn settled(mut self) -> Self {
        if self.stage == Stage::Between && self.high - self.low <= 1 {
            self.stage = if self.high == 1 { Stage::Over(End::Alone) } else { Stage::Proof };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Searches with an oracle and returns the verdict and the number of runs.
    fn search(places: usize, fixed: usize, oracle: impl Fn(&BTreeSet<usize>) -> bool) -> (Verdict, usize) {
        let mut search = Search::new(places, fixed, (1.0, 0.0));
        let most = search.at_most();
        for runs in 0.. {
            match search.next() {
                Next::Found(verdict) => {
                    assert!(runs <= most, "{runs} runs, {most} were announced");
                    return (verdict, runs);
                }
                Next::Try(mixture) => search = search.told(if oracle(&mixture.from_bad) { 0.1 } else { 0.9 }),
            }
        }
        unreachable!("the search ends")
    }

    #[test]
    fn a_single_difference_is_named_without_a_run() {
        assert_eq!(search(1, 0, |_| true), (Verdict::Alone { place: 0 }, 0));
        assert_eq!(search(0, 0, |_| true), (Verdict::Nothing, 0));
        assert_eq!(search(0, 2, |_| true), (Verdict::Fixed, 0));
    }

    #[test]
    fn a_changed_binary_shows_in_the_first_run() {
        assert_eq!(search(5, 1, |_| true), (Verdict::Fixed, 1));
    }

    #[test]
    fn two_places_that_work_only_together_are_told_so() {
        let (verdict, _) = search(4, 0, |bad| bad.contains(&0) && bad.contains(&2));
        assert_eq!(verdict, Verdict::Together { place: 2, with: vec![0, 1] });
    }

    proptest! {
        #[test]
        fn the_one_place_that_matters_is_found_in_few_runs(places in 1_usize..200, pick in any::<prop::sample::Index>(), fixed in 0_usize..2) {
            let culprit = pick.index(places);
            let (verdict, runs) = search(places, fixed, |bad| bad.contains(&culprit));
            prop_assert_eq!(verdict, Verdict::Alone { place: culprit });
            prop_assert!(runs <= 10 + fixed);
        }
    }
}
