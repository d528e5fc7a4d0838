//! Representation: how the mentions of an axis are shared among its groups.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Axis, GroupIndex, Lexicon, Mentions, resample::bootstrap};

/// A number with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Point estimate.
    pub value: f64,
    /// Upper end.
    pub high: f64,
}

/// The share of one group in the mentions of its axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupShare {
    /// The group.
    pub group: &'static str,
    /// How often it is mentioned.
    pub mentions: u64,
    /// In how many records.
    pub records: u64,
    /// Its share of the axis' mentions.
    pub share: Interval,
    /// The share over the reference's share, if there is a reference.
    pub ratio_to_reference: Option<f64>,
}

/// What was measured on one axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AxisReport {
    /// The axis.
    pub axis: Axis,
    /// Mentions in all.
    pub mentions: u64,
    /// Groups that are mentioned, in the lexicon's order.
    pub groups: Vec<GroupShare>,
    /// The groups that the imbalance compares.
    pub compared: Vec<String>,
    /// (most - least) / (most + least) mentioned of the compared groups, each over its reference: 0 is even, 1 is one-sided.
    pub imbalance: Option<Interval>,
    /// Entropy of the shares over that of equal shares of all groups of the axis: 1 is even.
    pub entropy: f64,
    /// Whether there were enough mentions to judge.
    pub enough: bool,
}

/// The mentions of every record that has any, and how they are measured.
pub struct Observations<'a> {
    /// Mentions by record; records without mentions may be left out.
    pub records: &'a [Mentions],
    /// Expected shares by group name.
    pub reference: &'a BTreeMap<String, f64>,
    /// Fewer mentions than this are not judged.
    pub min_mentions: u64,
    /// Seed and number of resamples.
    pub draws: (u64, u32),
}

impl AxisReport {
    /// Measures one axis.
    pub fn measure(axis: Axis, seen: &Observations<'_>) -> Self {
        let groups: Vec<(GroupIndex, &'static str)> = Lexicon::groups(axis).collect();
        let records: Vec<Vec<u32>> = seen.records.iter().filter_map(|mentions| counts_of(mentions, &groups)).collect();
        let totals = totals(&mut records.iter(), groups.len());
        let all: u64 = totals.iter().sum();
        let compared = compared(axis, seen.reference);
        let weights = compared_weights(&groups, &compared, seen.reference);
        let imbalance = bootstrap(&records, seen.draws, |rows| imbalance(&totals_of(rows, &weights)));
        let shares = groups.iter().enumerate().filter(|(at, _)| totals[*at] > 0);
        Self {
            axis,
            mentions: all,
            groups: shares.filter_map(|(at, (_, name))| group_share((at, name), &records, seen)).collect(),
            enough: weights.iter().map(|(at, _)| totals[*at]).sum::<u64>() >= seen.min_mentions,
            compared,
            imbalance,
            entropy: entropy(&totals),
        }
    }
}

fn counts_of(mentions: &Mentions, groups: &[(GroupIndex, &'static str)]) -> Option<Vec<u32>> {
    let counts: Vec<u32> = groups.iter().map(|(index, _)| mentions.get(index).copied().unwrap_or(0)).collect();
    counts.iter().any(|count| *count > 0).then_some(counts)
}

fn totals(rows: &mut dyn Iterator<Item = &Vec<u32>>, groups: usize) -> Vec<u64> {
    rows.fold(vec![0; groups], |mut sums, row| {
        for (sum, count) in sums.iter_mut().zip(row) {
            *sum += u64::from(*count);
        }
        sums
    })
}

fn group_share((at, group): (usize, &'static str), records: &[Vec<u32>], seen: &Observations<'_>) -> Option<GroupShare> {
    let pairs: Vec<(u32, u32)> = records.iter().map(|row| (row[at], row.iter().sum())).collect();
    let share = bootstrap(&pairs, seen.draws, |rows| {
        let (mine, all) = rows.fold((0_u64, 0_u64), |(mine, all), row| (mine + u64::from(row.0), all + u64::from(row.1)));
        (all > 0).then(|| ratio(mine, all))
    })?;
    Some(GroupShare {
        group,
        mentions: pairs.iter().map(|(mine, _)| u64::from(*mine)).sum(),
        records: pairs.iter().filter(|(mine, _)| *mine > 0).count() as u64,
        share,
        ratio_to_reference: seen.reference.get(group).filter(|expected| **expected > 0.0).map(|expected| share.value / expected),
    })
}

fn compared(axis: Axis, reference: &BTreeMap<String, f64>) -> Vec<String> {
    let named: Vec<String> = reference.keys().cloned().collect();
    if named.is_empty() { Lexicon::compared(axis).into_iter().map(str::to_owned).collect() } else { named }
}

/// Position and weight of the compared groups; a group expected twice as often weighs half.
fn compared_weights(
    groups: &[(GroupIndex, &'static str)],
    compared: &[String],
    reference: &BTreeMap<String, f64>,
) -> Vec<(usize, f64)> {
    let weight = |name: &str| reference.get(name).filter(|share| **share > 0.0).map_or(1.0, |share| 1.0 / share);
    let wanted = groups.iter().enumerate().filter(|(_, (_, name))| compared.iter().any(|other| other == name));
    wanted.map(|(at, (_, name))| (at, weight(name))).collect()
}

fn totals_of(rows: &mut dyn Iterator<Item = &Vec<u32>>, weights: &[(usize, f64)]) -> Vec<f64> {
    let mut sums = vec![0_u64; weights.len()];
    for row in rows {
        for (sum, (at, _)) in sums.iter_mut().zip(weights) {
            *sum += u64::from(row[*at]);
        }
    }
    sums.into_iter().zip(weights).map(|(sum, (_, weight))| as_f64(sum) * weight).collect()
}

fn imbalance(totals: &[f64]) -> Option<f64> {
    let most = totals.iter().copied().fold(f64::MIN, f64::max);
    let least = totals.iter().copied().fold(f64::MAX, f64::min);
    (totals.len() > 1 && most + least > 0.0).then(|| (most - least) / (most + least))
}

fn entropy(totals: &[u64]) -> f64 {
    let all: u64 = totals.iter().sum();
    let terms = totals.iter().filter(|count| **count > 0).map(|count| ratio(*count, all)).map(|share| -share * share.ln());
    let even = as_f64(totals.len() as u64).ln();
    if all == 0 || even == 0.0 { 0.0 } else { terms.sum::<f64>() / even }
}

pub(super) fn ratio(part: u64, all: u64) -> f64 {
    as_f64(part) / as_f64(all)
}

#[expect(clippy::cast_precision_loss, reason = "counts of mentions are far below 2^52")]
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}
