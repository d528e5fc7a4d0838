//! Where every row went. What came in must equal what went out and what was lost with a reason, else the stage is wrong.

use std::collections::BTreeMap;

use flow_engine::{
    Fraction, StageContext, StageError,
    report::{Plot, Report, Table},
};

/// How a row left the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// A rule took it out.
    Dropped,
    /// It could not be read.
    Quarantined,
    /// Another row stands for it.
    Merged,
}

impl Fate {
    const ALL: [Self; 3] = [Self::Dropped, Self::Quarantined, Self::Merged];

    fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Quarantined => "quarantined",
            Self::Merged => "merged",
        }
    }
}

/// The account of one stage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    lost: BTreeMap<(Fate, &'static str), u64>,
}

impl Tally {
    /// Books a row that leaves.
    pub(crate) fn lose(&mut self, fate: Fate, reason: &'static str) {
        *self.lost.entry((fate, reason)).or_default() += 1;
    }

    /// How many rows left in a way.
    pub(crate) fn count(&self, fate: Fate) -> u64 {
        self.lost.iter().filter(|((of, _), _)| *of == fate).map(|(_, count)| count).sum()
    }

    /// The most frequent reason of a fate.
    pub(crate) fn main_reason(&self, fate: Fate) -> Option<&'static str> {
        self.lost.iter().filter(|((of, _), _)| *of == fate).max_by_key(|(_, count)| **count).map(|((_, reason), _)| *reason)
    }

    /// Checks that no row was lost without a reason, and that not too many were dropped.
    pub(crate) fn settle(&self, most_dropped: Fraction) -> Result<(), StageError> {
        self.check_conservation()?;
        let dropped = self.count(Fate::Dropped);
        if share(dropped, self.rows_in) > most_dropped.get() {
            let reason = self.main_reason(Fate::Dropped).unwrap_or("unknown");
            let message = format!("{dropped} of {} rows were dropped, most of them for {reason}", self.rows_in);
            return Err(StageError::input(message).help("look at the data, or raise `max_drop_fraction`"));
        }
        Ok(())
    }

    /// Checks that no row was lost without a reason.
    pub(crate) fn check_conservation(&self) -> Result<(), StageError> {
        let lost: u64 = self.lost.values().sum();
        if self.rows_in == self.rows_out + lost {
            return Ok(());
        }
        let message = format!("{} rows came in, but {} went out and {lost} were lost with a reason", self.rows_in, self.rows_out);
        Err(StageError::internal(message))
    }

    /// Records the counts as metrics.
    pub(crate) fn measure(&self, cx: &StageContext<'_>) {
        cx.measure("rows_in", as_f64(self.rows_in));
        cx.measure("rows_out", as_f64(self.rows_out));
        for fate in Fate::ALL {
            cx.measure(fate.name(), as_f64(self.count(fate)));
        }
    }

    /// Writes the counts, the table of reasons, and a plot of where the rows went.
    pub(crate) fn describe(&self, report: &mut Report) {
        report.fact("rows in", self.rows_in).fact("rows out", self.rows_out);
        let mut bars = vec![("kept".to_owned(), as_f64(self.rows_out))];
        for fate in Fate::ALL {
            if self.count(fate) > 0 {
                report.fact(format!("rows {}", fate.name()), self.count(fate));
            }
        }
        let mut table = Table::new("Rows that left, by reason", ["what became of them", "reason", "rows", "share of rows in"]);
        for ((fate, reason), count) in &self.lost {
            table.row([fate.name().to_owned(), (*reason).to_owned(), count.to_string(), percent(share(*count, self.rows_in))]);
            bars.push((format!("{}: {reason}", fate.name()), as_f64(*count)));
        }
        report.plot(Plot::Bars { title: "Where the rows went".to_owned(), bars });
        report.table(table);
    }
}

/// A share of a total; 0 of nothing is 0.
pub(crate) fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { as_f64(part) / as_f64(all) }
}

/// A share as people read it.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// Counts of rows as numbers of a report.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^52")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_fate_is_a_fault() {
        let mut tally = Tally { rows_in: 3, rows_out: 1, ..Tally::default() };
        tally.lose(Fate::Merged, "exact");
        assert!(tally.check_conservation().is_err());
        tally.lose(Fate::Dropped, "empty_message");
        assert!(tally.check_conservation().is_ok());
        assert!(tally.settle(Fraction::try_from(0.3).unwrap()).is_err());
        assert!(tally.settle(Fraction::try_from(0.4).unwrap()).is_ok());
    }
}
