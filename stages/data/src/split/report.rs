//! The report of a split: sizes, strata, the leak checks with their zeros, and the largest groups.

use std::collections::BTreeMap;

use flow_engine::{
    Stage,
    report::{Plot, Report, Table, Verdict},
};
use serde_json::json;

use super::{Key, OnLeak, Part, Split, SplitConfig, assign::Groups, leak::Leaks};
use crate::tally::{Tally, as_f64, percent, share};

/// Strata and groups that the report shows.
const SHOWN: usize = 30;

pub(super) fn make(config: &SplitConfig, (keys, groups): (&[Key], &Groups), leaks: &Leaks, tally: &Tally) -> Report {
    let mut report = Report::new("Split", Split::KIND);
    let sizes: Vec<String> = Part::ALL.iter().map(|part| format!("{} {}", groups.rows_in(*part), part.name())).collect();
    report.verdict(Verdict::Pass, format!("{} rows in {} groups, no leak", sizes.join(", "), groups.count()));
    tally.describe(&mut report);
    report.fact("groups", groups.count());
    let alone = keys.iter().filter(|key| !key.complete).count();
    if alone > 0 {
        report.note(format!("{alone} rows lack a field of `group_by`; each is a group of its own with its equals."));
    }
    sizes_of(config, groups, &mut report);
    if !config.stratify_by.is_empty() {
        report.table(strata(keys, groups));
    }
    report.table(checks(config, leaks));
    let mut largest = Table::new("Largest groups", ["group", "part", "rows"]);
    for (name, part, rows) in groups.largest(SHOWN) {
        largest.row([name.replace(['\u{1f}', '\u{0}'], " / ").as_str(), part.map_or("dropped", Part::name), &rows.to_string()]);
    }
    report.table(largest);
    report
}

fn sizes_of(config: &SplitConfig, groups: &Groups, report: &mut Report) {
    let mut table = Table::new("Parts", ["part", "rows", "groups", "share", "share asked for"]);
    let kept = Part::ALL.iter().map(|part| groups.rows_in(*part)).sum();
    let mut bars = Vec::new();
    for part in Part::ALL {
        let rows = groups.rows_in(part);
        let (got, asked) = (percent(share(rows, kept)), percent(config.ratios.of(part)));
        table.row([part.name(), &rows.to_string(), &groups.groups_in(part).to_string(), &got, &asked]);
        bars.push((part.name().to_owned(), as_f64(rows)));
        report.data(part.name(), json!({"rows": rows, "groups": groups.groups_in(part)}));
    }
    report.table(table).plot(Plot::Bars { title: "Rows by part".to_owned(), bars });
    if let Some(hold) = &config.hold_out {
        report.note(format!("Groups with {} of {} were held out for {}.", hold.field, hold.values.join(", "), hold.into.name()));
    }
}

fn strata(keys: &[Key], groups: &Groups) -> Table {
    let mut counts: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for (key, part) in keys.iter().zip(groups.parts()) {
        if let Some(part) = part {
            counts.entry(&key.stratum).or_default()[*part as usize] += 1;
        }
    }
    let mut order: Vec<(&str, [u64; 3])> = counts.into_iter().collect();
    order.sort_by_key(|(name, counts)| (std::cmp::Reverse(counts.iter().sum::<u64>()), *name));
    let mut table = Table::new("Strata (the largest)", ["stratum", "train", "validation", "test"]);
    for (name, counts) in order.into_iter().take(SHOWN) {
        let all = counts.iter().sum();
        let cells = counts.map(|count| format!("{count} ({})", percent(share(count, all))));
        table.row([name.replace(['\u{1f}', '\u{0}'], " / ")].into_iter().chain(cells));
    }
    table
}

fn checks(config: &SplitConfig, leaks: &Leaks) -> Table {
    let mut table = Table::new("Leak checks", ["between parts", "found", "what was done", "left"]);
    let done = match config.leak_check.on_leak {
        OnLeak::Fail => "nothing to do",
        OnLeak::Drop => "rows dropped from the less guarded part",
        OnLeak::Move => "groups moved to the more guarded part",
    };
    for (kind, (found, left)) in &leaks.counts {
        let looked = match *kind {
            "exact" => config.leak_check.exact,
            "near" => config.leak_check.fuzzy.is_some(),
            _ => true,
        };
        let (found, left) = if looked {
            (found.to_string(), left.to_string())
        } else {
            ("not looked for".to_owned(), "not looked for".to_owned())
        };
        let name = match *kind {
            "exact" => "equal rows",
            "near" => "near-duplicates",
            _ => "groups",
        };
        table.row([name, &found, done, &left]);
    }
    table
}
