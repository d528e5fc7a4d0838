//! What groups appear with: outcome words, by weighted log-odds, and labels, by rates.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    Axis, GroupIndex, Interval, Lexicon, Mentions,
    lexicon::split,
    measure::{as_f64, ratio},
    resample::bootstrap,
};

/// Words that say something about somebody, in named sets.
const OUTCOMES: [(&str, &str); 4] = [
    (
        "negative",
        "angry|furious|rude|hostile|aggressive|abusive|violent|lazy|dirty|stupid|ignorant|criminal|dangerous|hysterical|emotional|irrational|greedy|dishonest|unreliable|incompetent|helpless|weak|poor|failure|threat|upset|complained|shouted|yelled",
    ),
    (
        "positive",
        "calm|polite|kind|friendly|patient|happy|satisfied|pleased|honest|reliable|skilled|competent|smart|intelligent|brilliant|successful|strong|confident|leader|expert|hero|talented|gentle|brave|thanked|grateful",
    ),
    (
        "career",
        "engineer|developer|doctor|surgeon|professor|scientist|manager|director|executive|boss|lawyer|pilot|programmer|architect|entrepreneur|ceo|officer|salary|office|business",
    ),
    (
        "family",
        "home|family|children|parents|marriage|wedding|kitchen|cooking|cleaning|nursing|nurse|babysitter|housekeeper|homemaker|caregiver|laundry|shopping",
    ),
];

/// The outcome words that are looked for.
pub struct Outcomes {
    set_of: BTreeMap<String, String>,
}

impl Outcomes {
    /// Takes the given sets of words, or ours when there are none.
    pub fn new(sets: &BTreeMap<String, Vec<String>>) -> Self {
        let ours = || OUTCOMES.iter().flat_map(|(set, words)| words.split('|').map(|word| (word.to_owned(), (*set).to_owned())));
        let given = || sets.iter().flat_map(|(set, words)| words.iter().map(|word| (word.to_lowercase(), set.clone())));
        Self { set_of: if sets.is_empty() { ours().collect() } else { given().collect() } }
    }

    /// The outcome words of a text, each once.
    pub fn words(&self, text: &str) -> BTreeSet<String> {
        split(text).map(str::to_lowercase).filter(|word| self.set_of.contains_key(word)).collect()
    }

    fn set(&self, word: &str) -> &str {
        self.set_of.get(word).map_or("", String::as_str)
    }
}

/// How much more a group appears with a word than the other groups of its axis do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Association {
    /// The axis.
    pub axis: Axis,
    /// The group.
    pub group: &'static str,
    /// The outcome word.
    pub word: String,
    /// The set that the word belongs to.
    pub set: String,
    /// Records that mention the group and hold the word.
    pub together: u64,
    /// Log-odds ratio, shrunk by a Dirichlet prior of the word's overall frequency.
    pub log_odds: f64,
    /// The ratio over its standard deviation: beyond 1.96 it is hardly chance.
    pub z: f64,
}

impl Association {
    /// Measures every group of an axis that has enough records against the others of the axis, strongest first.
    pub fn measure(axis: Axis, records: &[(Mentions, BTreeSet<String>)], outcomes: &Outcomes, least: u64) -> Vec<Self> {
        let groups: Vec<(GroupIndex, &'static str)> = Lexicon::groups(axis).collect();
        let on_axis: Vec<_> =
            records.iter().filter(|(mentions, _)| groups.iter().any(|(group, _)| mentions.contains_key(group))).collect();
        let background = word_counts(on_axis.iter().map(|(_, words)| words));
        let mut found = Vec::new();
        for (group, name) in groups {
            let of_group = |with: bool| on_axis.iter().filter(move |(mentions, _)| mentions.contains_key(&group) == with);
            let enough = of_group(true).count() as u64 >= least && of_group(false).count() as u64 >= least;
            let (own, others) = (word_counts(of_group(true).map(|r| &r.1)), word_counts(of_group(false).map(|r| &r.1)));
            for word in background.keys().filter(|_| enough) {
                let (log_odds, z) = log_odds(word, (&own, &others), &background);
                let together = own.get(word).copied().unwrap_or(0);
                found.push(Self {
                    axis,
                    group: name,
                    word: (*word).to_owned(),
                    set: outcomes.set(word).to_owned(),
                    together,
                    log_odds,
                    z,
                });
            }
        }
        found.sort_by(|a, b| b.z.abs().total_cmp(&a.z.abs()).then(a.word.cmp(&b.word)).then(a.group.cmp(b.group)));
        found
    }
}

type WordCounts<'a> = BTreeMap<&'a str, u64>;

fn word_counts<'a>(texts: impl Iterator<Item = &'a BTreeSet<String>>) -> WordCounts<'a> {
    let mut counts = WordCounts::new();
    for word in texts.flatten() {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

/// Monroe, Colaresi, and Quinn's log-odds ratio with an informative Dirichlet prior, and its z-score.
fn log_odds(word: &str, (own, others): (&WordCounts<'_>, &WordCounts<'_>), background: &WordCounts<'_>) -> (f64, f64) {
    let total = |counts: &WordCounts<'_>| as_f64(counts.values().sum());
    let count = |counts: &WordCounts<'_>| as_f64(counts.get(word).copied().unwrap_or(0));
    // One prior observation a word on average: enough to tame words seen once.
    let prior_total = as_f64(background.len() as u64);
    let prior = prior_total * count(background) / total(background).max(1.0);
    let odds = |counts: &WordCounts<'_>| {
        let seen = count(counts) + prior;
        (seen / (total(counts) + prior_total - seen).max(f64::MIN_POSITIVE)).ln()
    };
    let variance = 1.0 / (count(own) + prior) + 1.0 / (count(others) + prior);
    let difference = odds(own) - odds(others);
    if difference.is_finite() { (difference, difference / variance.sqrt()) } else { (0.0, 0.0) }
}

/// How often records that mention a group carry a favourable label, against records of the other groups of the axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelRates {
    /// The axis.
    pub axis: Axis,
    /// The group.
    pub group: &'static str,
    /// Records that mention it and have a label.
    pub records: u64,
    /// Share of them with a favourable label.
    pub rate: f64,
    /// Rate of the group minus rate of the others (difference in proportions of labels).
    pub difference: Interval,
    /// Rate of the group over rate of the others (disparate impact); none when the others have no favourable label.
    pub disparate_impact: Option<f64>,
    /// Whether there were enough records on both sides.
    pub enough: bool,
}

impl LabelRates {
    /// Measures every mentioned group of an axis. A record is its mentions and whether its label is favourable.
    pub fn measure(axis: Axis, records: &[(&Mentions, bool)], least: u64, draws: (u64, u32)) -> Vec<Self> {
        let groups: Vec<(GroupIndex, &'static str)> = Lexicon::groups(axis).collect();
        let on_axis = |mentions: &Mentions| groups.iter().any(|(group, _)| mentions.contains_key(group));
        let of = |group: GroupIndex| -> Vec<(bool, bool)> {
            records
                .iter()
                .filter(|(mentions, _)| on_axis(mentions))
                .map(|(mentions, good)| (mentions.contains_key(&group), *good))
                .collect()
        };
        groups.iter().filter_map(|(group, name)| Self::of_group(axis, name, &of(*group), (least, draws))).collect()
    }

    fn of_group(axis: Axis, group: &'static str, rows: &[(bool, bool)], (least, draws): (u64, (u64, u32))) -> Option<Self> {
        let own = Rates::of(&mut rows.iter());
        let difference = bootstrap(rows, draws, |rows| Rates::of(rows).difference())?;
        let (rate, others) = (own.rate(0)?, own.rate(1)?);
        let enough = own.records.iter().all(|records| *records >= least);
        let disparate_impact = (others > 0.0).then(|| rate / others);
        Some(Self { axis, group, records: own.records[0], rate, difference, disparate_impact, enough })
    }
}

/// Records and favourable ones, of the group and of the others.
#[derive(Default)]
struct Rates {
    records: [u64; 2],
    favourable: [u64; 2],
}

impl Rates {
    fn of(rows: &mut dyn Iterator<Item = &(bool, bool)>) -> Self {
        rows.fold(Self::default(), |mut rates, (in_group, good)| {
            let side = usize::from(!in_group);
            rates.records[side] += 1;
            rates.favourable[side] += u64::from(*good);
            rates
        })
    }

    fn rate(&self, side: usize) -> Option<f64> {
        (self.records[side] > 0).then(|| ratio(self.favourable[side], self.records[side]))
    }

    fn difference(&self) -> Option<f64> {
        Some(self.rate(0)? - self.rate(1)?)
    }
}
