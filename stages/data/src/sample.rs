//! Examples for reports: a few of each kind, short, and with personal data taken out.

use std::collections::BTreeMap;

use flow_engine::report::{Report, Table};
use flow_text::pii::{self, ActionKind, Policy, Scanner};

/// Examples of a kind that a report shows at most.
const MOST: usize = 20;
/// Characters of an example.
const LENGTH: usize = 160;

/// Examples by kind, each a row of cells.
pub(crate) struct Samples {
    scanner: Scanner,
    policy: Policy,
    by_kind: BTreeMap<String, Vec<Vec<String>>>,
}

impl Samples {
    pub(crate) fn new() -> Self {
        let policy = Policy { default: ActionKind::Redact.into(), actions: BTreeMap::new(), key: None };
        Self { scanner: Scanner::new(&pii::Options::default()), policy, by_kind: BTreeMap::new() }
    }

    /// Keeps an example while there is room for its kind.
    pub(crate) fn add(&mut self, kind: &str, cells: &[&str]) {
        if self.by_kind.get(kind).is_some_and(|samples| samples.len() >= MOST) {
            return;
        }
        let cells = cells.iter().map(|text| self.masked(text)).collect();
        self.by_kind.entry(kind.to_owned()).or_default().push(cells);
    }

    /// Adds the examples as a table.
    pub(crate) fn table(self, report: &mut Report, title: &str, columns: &[&str]) {
        let mut table = Table::new(title, ["kind"].iter().chain(columns).copied());
        for (kind, samples) in &self.by_kind {
            for cells in samples {
                table.row([kind.clone()].into_iter().chain(cells.iter().cloned()));
            }
        }
        if !self.by_kind.is_empty() {
            report.table(table);
        }
    }

    fn masked(&self, text: &str) -> String {
        let masked = pii::apply(text, &self.scanner.scan(text), &self.policy);
        let mut visible: String = masked.chars().take(LENGTH).flat_map(escaped).collect();
        if masked.chars().nth(LENGTH).is_some() {
            visible.push('…');
        }
        visible
    }
}

/// Shows what is invisible.
fn escaped(c: char) -> Vec<char> {
    let hidden = c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if hidden { c.escape_default().collect() } else { vec![c] }
}

/// Returns the stretch around the first difference of two texts, from each.
pub(crate) fn around_difference<'a>(before: &'a str, after: &'a str) -> (&'a str, &'a str) {
    let same: usize = before.chars().zip(after.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
    let from = before.floor_char_boundary(same.saturating_sub(LENGTH / 4));
    (before.get(from..).unwrap_or(before), after.get(from..).unwrap_or(after))
}
