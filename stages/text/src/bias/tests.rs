//! Mentions, shares, associations, and gates on texts whose numbers can be counted by hand.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn named(text: &str) -> BTreeMap<&'static str, u32> {
    let mentions = Lexicon::new(&Axis::ALL).mentions(text);
    let name = |index: GroupIndex| {
        Axis::ALL.into_iter().flat_map(Lexicon::groups).find(|group| group.0 == index).map(|group| group.1).unwrap()
    };
    mentions.into_iter().map(|(group, count)| (name(group), count)).collect()
}

#[test]
fn whole_words_and_phrases_are_mentions() {
    assert_eq!(named("She told her brother that the man's aunt is here."), [("female", 3), ("male", 2)].into());
    assert_eq!(named("African Americans and an American"), [("black", 1), ("american", 1)].into());
    assert_eq!(named("the shed, other, mankind, polish the table, a catholic taste"), [].into());
    assert_eq!(named("Polish people met old people and a wheelchair user"), [("polish", 1), ("old", 1), ("disabled", 1)].into());
    assert_eq!(named("THE FRENCH"), [("french", 1)].into());
}

fn observe(texts: &[&str], reference: &BTreeMap<String, f64>) -> AxisReport {
    let lexicon = Lexicon::new(&[Axis::Gender]);
    let records: Vec<Mentions> = texts.iter().map(|text| lexicon.mentions(text)).collect();
    AxisReport::measure(Axis::Gender, &Observations { records: &records, reference, min_mentions: 30, draws: (7, 500) })
}

#[test]
fn shares_and_imbalance_are_counted() {
    let texts: Vec<&str> = std::iter::repeat_n("she came", 30).chain(std::iter::repeat_n("he came", 10)).collect();
    let report = observe(&texts, &BTreeMap::new());
    let imbalance = report.imbalance.unwrap();
    assert_eq!((report.mentions, report.enough), (40, true));
    assert!((imbalance.value - 0.5).abs() < 1e-12 && imbalance.low < 0.5 && imbalance.high > 0.5);
    assert!((report.groups[0].share.value - 0.75).abs() < 1e-12);
    // Three quarters women are expected: then nothing is out of balance.
    let reference = [("female".to_owned(), 0.75), ("male".to_owned(), 0.25)].into();
    assert!(observe(&texts, &reference).imbalance.unwrap().value < 1e-12);
}

#[test]
fn a_group_that_is_never_mentioned_makes_the_axis_one_sided() {
    let report = observe(&["he", "he"], &BTreeMap::new());
    assert_eq!(report.imbalance.unwrap(), Interval { low: 1.0, value: 1.0, high: 1.0 });
    assert!(!report.enough && observe(&[], &BTreeMap::new()).imbalance.is_none());
}

#[test]
fn the_interval_is_the_same_on_any_number_of_threads() {
    let texts: Vec<&str> = std::iter::repeat_n("she", 50).chain(std::iter::repeat_n("he and she", 31)).collect();
    let on = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| observe(&texts, &BTreeMap::new()))
    };
    assert_eq!(on(1), on(4));
}

#[test]
fn planted_associations_stand_out() {
    let lexicon = Lexicon::new(&[Axis::Gender]);
    let outcomes = Outcomes::new(&BTreeMap::new());
    let texts = std::iter::repeat_n("she was angry", 40)
        .chain(std::iter::repeat_n("she was calm", 20))
        .chain(std::iter::repeat_n("he was calm", 50))
        .chain(std::iter::repeat_n("he was angry", 5));
    let records: Vec<(Mentions, BTreeSet<String>)> = texts.map(|text| (lexicon.mentions(text), outcomes.words(text))).collect();
    let found = Association::measure(Axis::Gender, &records, &outcomes, 30);
    let angry = found.iter().find(|a| a.group == "female" && a.word == "angry").unwrap();
    let male = found.iter().find(|a| a.group == "male" && a.word == "angry").unwrap();
    assert!(angry.z > 1.96 && angry.together == 40 && angry.set == "negative");
    assert!(male.z < -1.96);
}

#[test]
fn label_rates_are_compared_with_the_rest_of_the_axis() {
    let lexicon = Lexicon::new(&[Axis::Gender]);
    let (she, he) = (lexicon.mentions("she"), lexicon.mentions("he"));
    let records: Vec<(&Mentions, bool)> = (0..40).map(|at| (&she, at < 10)).chain((0..40).map(|at| (&he, at < 20))).collect();
    let rates = LabelRates::measure(Axis::Gender, &records, 30, (1, 500));
    let female = &rates[0];
    assert_eq!((female.group, female.records, female.enough), ("female", 40, true));
    assert!((female.rate - 0.25).abs() < 1e-12 && (female.difference.value + 0.25).abs() < 1e-12);
    assert!((female.disparate_impact.unwrap() - 0.5).abs() < 1e-12);
    assert_eq!(judge(Some(female.difference), 0.01, female.enough), GateResult::Fail);
}

#[test]
fn a_gate_says_when_it_cannot_tell() {
    let wide = Interval { low: 0.1, value: 0.4, high: 0.7 };
    assert_eq!(judge(Some(wide), 0.5, true), GateResult::Pass);
    assert_eq!(judge(Some(wide), 0.3, true), GateResult::Inconclusive);
    assert_eq!(judge(Some(wide), 0.05, true), GateResult::Fail);
    assert_eq!(judge(Some(wide), 0.05, false), GateResult::Inconclusive);
    assert_eq!(judge(None, 0.05, true), GateResult::Inconclusive);
}
