//! `data/dedup`: one row for every cluster of equal or nearly equal rows, see [`flow_text::dedup`].

use std::collections::{BTreeMap, HashMap};

use flow_engine::{
    ArtifactKind, Fraction, Ports, Resources, Stage, StageContext, StageError,
    report::{Plot, Report, Table, Verdict},
};
use flow_text::{
    dedup::Neighbours,
    record::Record,
    shingle::{Digits, Part, ShingleSet, Shingling, exact_key, jaccard, normalize, shingles, text_of},
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    ledger::{Deed, Ledger},
    sample::Samples,
    stream::{RowsIn, RowsOut},
    tally::{Fate, Tally, as_f64},
};

/// Keep the first row of every cluster of duplicates.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DedupConfig {
    /// Rows whose compared text is equal.
    pub exact: Exact,
    /// Rows whose compared text is nearly equal.
    pub fuzzy: Fuzzy,
}

/// How equal rows are found.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exact {
    /// Whether to look for them.
    pub enabled: bool,
    /// What is compared.
    pub on: Part,
    /// Compare without case, punctuation, and width of characters.
    pub normalize: bool,
}

impl Default for Exact {
    fn default() -> Self {
        Self { enabled: true, on: Part::Both, normalize: true }
    }
}

/// How nearly equal rows are found: `MinHash` proposes pairs, the Jaccard similarity of their shingles decides.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fuzzy {
    /// Whether to look for them.
    pub enabled: bool,
    /// What is compared.
    pub on: Part,
    /// The least share of common shingles.
    pub threshold: Fraction,
    /// Words in a shingle.
    pub n: usize,
    /// Texts with fewer words are compared by runs of characters.
    pub short_words: usize,
    /// Characters in such a run.
    pub short_char_n: usize,
    /// Whether texts that differ in digits only are equal.
    pub digits: Digits,
}

impl Default for Fuzzy {
    fn default() -> Self {
        let Shingling { n, short_words, short_char_n, digits } = Shingling::default();
        let threshold = Fraction::try_from(0.8).expect("0.8 is a fraction");
        Self { enabled: true, on: Part::Both, threshold, n, short_words, short_char_n, digits }
    }
}

impl Fuzzy {
    fn shingling(&self) -> Shingling {
        Shingling { n: self.n, short_words: self.short_words, short_char_n: self.short_char_n, digits: self.digits }
    }
}

/// `data/dedup`.
pub struct Dedup;

impl Stage for Dedup {
    type Config = DedupConfig;
    const KIND: &'static str = "data/dedup";
    const REVISION: u32 = 1;

    fn ports(_: &DedupConfig) -> Ports {
        Ports::new()
            .reads_many("rows", ArtifactKind::Rows)
            .writes("rows", ArtifactKind::Rows)
            .writes("report", ArtifactKind::Report)
    }

    fn resources(_: &DedupConfig) -> Resources {
        Resources::all_cpus()
    }

    fn run(config: &DedupConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let rows = RowsIn::open(cx)?;
        let keys = read_keys(&rows, config, cx)?;
        let clusters = Clusters::find(keys, config.fuzzy.threshold.get());
        cx.check_cancelled()?;
        let mut out = RowsOut::create(cx, "rows")?;
        let mut ledger = Ledger::create(cx)?;
        let mut work = Work::new(&clusters);
        for batch in rows.batches() {
            cx.check_cancelled()?;
            for record in batch? {
                match work.book(&record) {
                    None => out.push(&record)?,
                    Some((keeper, kind)) => ledger.note_with(&record.row_id, Deed::Merged, (kind, work.id_of(keeper)))?,
                }
            }
            cx.progress(work.tally.rows_in, Some(rows.count()), "rows");
        }
        ledger.finish()?;
        let filled = out.finish()?;
        work.tally.check_conservation()?;
        work.tally.measure(cx);
        filled.measure(cx);
        cx.measure("clusters", as_f64(work.members.len() as u64));
        work.report(config).write(cx.output("report")?)
    }
}

/// What rows are compared by, in row order.
#[derive(Default)]
struct Keys {
    exact: Vec<Option<u128>>,
    sets: Vec<ShingleSet>,
}

fn read_keys(rows: &RowsIn, config: &DedupConfig, cx: &StageContext<'_>) -> Result<Keys, StageError> {
    let mut keys = Keys::default();
    for batch in rows.batches() {
        cx.check_cancelled()?;
        let found: Vec<(Option<u128>, ShingleSet)> = batch?.par_iter().map(|record| keys_of(record, config)).collect();
        for (exact, set) in found {
            keys.exact.push(exact);
            keys.sets.push(set);
        }
        cx.progress_note(keys.exact.len() as u64, Some(rows.count()), "rows", "comparing".to_owned());
    }
    Ok(keys)
}

fn keys_of(record: &Record, config: &DedupConfig) -> (Option<u128>, ShingleSet) {
    let exact = config.exact.enabled.then(|| {
        let text = text_of(record, config.exact.on);
        // Rows without letters or digits are compared as they stand, else all of them would be one.
        let normal = if config.exact.normalize { normalize(&text, Digits::Keep) } else { String::new() };
        exact_key(if normal.is_empty() { &text } else { &normal })
    });
    let set = if config.fuzzy.enabled {
        let how = config.fuzzy.shingling();
        shingles(&normalize(&text_of(record, config.fuzzy.on), how.digits), &how)
    } else {
        ShingleSet::new()
    };
    (exact, set)
}

/// Why a row is a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    Exact,
    Near,
}

/// The keeper of every duplicate row.
struct Clusters {
    keeper: Vec<Option<(usize, Likeness)>>,
    sets: Vec<ShingleSet>,
}

impl Clusters {
    fn find(keys: Keys, threshold: f64) -> Self {
        let mut first: HashMap<u128, usize> = HashMap::new();
        let exact: Vec<Option<usize>> = keys
            .exact
            .iter()
            .enumerate()
            .map(|(row, key)| key.and_then(|key| Some(*first.entry(key).or_insert(row)).filter(|keeper| *keeper != row)))
            .collect();
        // Exact duplicates take no part in the search: their keeper stands for them.
        let unique =
            |(set, keeper): (&ShingleSet, &Option<usize>)| if keeper.is_some() { ShingleSet::new() } else { set.clone() };
        let near = Neighbours::new(keys.sets.iter().zip(&exact).map(unique).collect(), threshold).keepers();
        let keeper = exact.into_iter().zip(&near).map(|(exact, own)| match (exact, own) {
            // The keeper of an exact duplicate may itself be near another row.
            (Some(row), _) => Some((near[row].unwrap_or(row), Likeness::Exact)),
            (None, Some(row)) => Some((*row, Likeness::Near)),
            (None, None) => None,
        });
        Self { keeper: keeper.collect(), sets: keys.sets }
    }
}

struct Work<'a> {
    clusters: &'a Clusters,
    tally: Tally,
    /// Row ids and first words of kept rows that others duplicate, by row.
    kept: BTreeMap<usize, (String, String)>,
    /// Ids of the duplicates of a kept row.
    members: BTreeMap<usize, Vec<String>>,
    samples: Samples,
}

impl<'a> Work<'a> {
    fn new(clusters: &'a Clusters) -> Self {
        let keepers = clusters.keeper.iter().flatten().map(|(keeper, _)| (*keeper, (String::new(), String::new()))).collect();
        Self { clusters, tally: Tally::default(), kept: keepers, members: BTreeMap::new(), samples: Samples::new() }
    }

    /// Books the next row and returns, if it goes, the row that stands for it and how it is like that.
    fn book(&mut self, record: &Record) -> Option<(usize, &'static str)> {
        let row = usize::try_from(self.tally.rows_in).unwrap_or(usize::MAX);
        self.tally.rows_in += 1;
        let Some((keeper, likeness)) = self.clusters.keeper.get(row).copied().flatten() else {
            self.tally.rows_out += 1;
            if let Some(kept) = self.kept.get_mut(&row) {
                *kept = (record.row_id.clone(), text_of(record, Part::Both));
            }
            return None;
        };
        self.members.entry(keeper).or_default().push(record.row_id.clone());
        let kind = match likeness {
            Likeness::Exact => "exact",
            Likeness::Near => "near",
        };
        self.tally.lose(Fate::Merged, kind);
        if let Some((_, text)) = self.kept.get(&keeper).filter(|_| likeness == Likeness::Near) {
            let similarity = jaccard(&self.clusters.sets[row], &self.clusters.sets[keeper]);
            self.samples.add(&format!("{similarity:.2}"), &[text, &text_of(record, Part::Both)]);
        }
        Some((keeper, kind))
    }

    fn report(self, config: &DedupConfig) -> Report {
        let mut report = Report::new("Duplicates", Dedup::KIND);
        let merged = self.tally.count(Fate::Merged);
        report.verdict(
            Verdict::Info,
            format!("{merged} of {} rows were merged into {} others", self.tally.rows_in, self.members.len()),
        );
        self.tally.describe(&mut report);
        report.fact("clusters", self.members.len());
        report.fact("threshold", config.fuzzy.threshold.get());
        let mut sizes: BTreeMap<usize, u64> = BTreeMap::new();
        for members in self.members.values() {
            *sizes.entry(members.len() + 1).or_default() += 1;
        }
        let bars = sizes.iter().take(30).map(|(size, count)| (format!("{size} rows"), as_f64(*count))).collect();
        report.plot(Plot::Bars { title: "Clusters by size".to_owned(), bars });
        report.table(self.largest());
        report.data("clusters", self.listing());
        self.samples.table(&mut report, "Near-duplicates by similarity", &["kept", "merged into it"]);
        report
    }

    fn largest(&self) -> Table {
        let mut order: Vec<(&usize, &Vec<String>)> = self.members.iter().collect();
        order.sort_by_key(|(keeper, members)| (std::cmp::Reverse(members.len()), **keeper));
        let mut table = Table::new("Largest clusters", ["kept row", "rows merged into it"]);
        for (keeper, members) in order.into_iter().take(20) {
            table.row([self.id_of(*keeper).to_owned(), members.len().to_string()]);
        }
        table
    }

    /// The first thousand clusters with their members.
    fn listing(&self) -> Value {
        let clusters = self.members.iter().take(1_000);
        clusters.map(|(keeper, members)| json!({"kept": self.id_of(*keeper), "merged": members})).collect()
    }

    fn id_of(&self, keeper: usize) -> &str {
        self.kept.get(&keeper).map_or("", |(id, _)| id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, row};

    const TEXT: &str = "the printer on the third floor has been offline since monday morning and nobody from the team can send any \
                        document to it even after a restart of both the printer and the print server";

    fn planted() -> Vec<Record> {
        vec![
            row("a", TEXT, "category: bug"),
            row("b", "What is the price?", "It is 5 euros."),
            row("c", &TEXT.to_uppercase(), "Category: BUG"),
            row("d", &TEXT.replace("monday", "friday"), "category: bug"),
            row("e", "what is the price", "it is 5 euros"),
            row("f", "what is the price", "it is 7 euros"),
            row("g", "!!!", "???"),
            row("h", "...", "???"),
        ]
    }

    #[test]
    fn planted_duplicates_are_merged_into_the_first_row() {
        let run = Bench::new().rows("rows", &planted()).run::<Dedup>(json!({"fuzzy": {"threshold": 0.7}})).unwrap();
        assert_eq!(run.ids("rows"), ["a", "b", "f", "g", "h"]);
        assert_eq!(run.metrics(["rows_in", "rows_out", "merged", "clusters"]), json!([8.0, 5.0, 3.0, 2.0]));
        let clusters = &run.report("report")["data"]["clusters"];
        assert_eq!(clusters, &json!([{"kept": "a", "merged": ["c", "d"]}, {"kept": "b", "merged": ["e"]}]));
        let line =
            |row: &str, reason: &str, other: &str| json!({"row_id": row, "action": "merged", "reason": reason, "other": other});
        assert_eq!(run.ledger("report"), [line("c", "exact", "a"), line("d", "near", "a"), line("e", "exact", "b")]);
    }

    #[test]
    fn each_search_can_be_left_out() {
        let bench = Bench::new().rows("rows", &planted());
        let exact = bench.run::<Dedup>(json!({"fuzzy": {"enabled": false}})).unwrap();
        assert_eq!(exact.ids("rows"), ["a", "b", "d", "f", "g", "h"]);
        let strict = json!({"exact": {"normalize": false}, "fuzzy": {"enabled": false}});
        assert_eq!(bench.run::<Dedup>(strict).unwrap().ids("rows").len(), 8);
    }

    #[test]
    fn kept_rows_are_unchanged_and_a_second_pass_keeps_all() {
        let first = Bench::new().rows("rows", &planted()).run::<Dedup>(json!({})).unwrap().rows("rows");
        let again = Bench::new().rows("rows", &first).run::<Dedup>(json!({})).unwrap();
        assert_eq!(again.rows("rows"), first);
    }

    #[test]
    fn bytes_do_not_depend_on_threads() {
        let rows: Vec<Record> = (0..400).map(|at| row(&format!("{at}"), &format!("{TEXT} {}", at % 90), "yes")).collect();
        Bench::new().rows("rows", &rows).assert_same_on_threads::<Dedup>(&json!({}));
    }
}
