//! Splits of rows whose right places are known.

use std::collections::{BTreeMap, BTreeSet};

use flow_text::record::Record;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Bench, Run, row, with_meta};

/// Rows of numbered groups with texts that have nothing in common.
fn rows(groups: std::ops::Range<u32>, each: u32) -> Vec<Record> {
    let text = |group: u32, at: u32| (0..12).map(|word| format!("w{group}x{at}y{word}")).collect::<Vec<_>>().join(" ");
    let numbered = groups.flat_map(|group| (0..each).map(move |at| (group, at)));
    let make = |(group, at): (u32, u32)| {
        let named = with_meta(row(&format!("{group}-{at}"), &text(group, at), "yes"), "family", format!("f{group}"));
        with_meta(named, "section", if group % 4 == 0 { "rare" } else { "common" })
    };
    numbered.map(make).collect()
}

fn parts(run: &Run) -> BTreeMap<&'static str, BTreeSet<String>> {
    Part::ALL.iter().map(|part| (part.name(), run.ids(part.name()).into_iter().collect())).collect()
}

fn families(run: &Run, part: Part) -> BTreeSet<String> {
    run.rows(part.name()).into_iter().map(|row| row.meta["family"].to_string()).collect()
}

#[test]
fn parts_are_disjoint_cover_all_rows_and_share_no_group() {
    let all = rows(0..200, 3);
    let with = json!({"group_by": ["family"], "ratios": {"train": 0.6, "validation": 0.2, "test": 0.2}});
    let run = Bench::new().rows("rows", &all).run::<Split>(with).unwrap();
    let ids: Vec<String> = Part::ALL.iter().flat_map(|part| run.ids(part.name())).collect();
    assert_eq!(ids.len(), 600);
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), all.iter().map(|row| row.row_id.clone()).collect());
    let sides = Part::ALL.map(|part| families(&run, part));
    assert!(sides[0].is_disjoint(&sides[1]) && sides[0].is_disjoint(&sides[2]) && sides[1].is_disjoint(&sides[2]));
    let (train, test) = (run.metric("rows_train"), run.metric("rows_test"));
    assert!((300.0..420.0).contains(&train) && (70.0..170.0).contains(&test));
    assert_eq!(run.metrics(["groups", "leaks"]), json!([200.0, 0.0]));
}

#[test]
fn added_rows_move_no_group() {
    let with = json!({"group_by": ["family"], "ratios": {"train": 0.5, "validation": 0.25, "test": 0.25}});
    let before = parts(&Bench::new().rows("rows", &rows(0..60, 2)).run::<Split>(with.clone()).unwrap());
    let mut more = rows(60..120, 1);
    more.extend(rows(0..60, 4));
    let after = parts(&Bench::new().rows("rows", &more).run::<Split>(with).unwrap());
    assert!(before.iter().all(|(part, ids)| !ids.is_empty() && ids.is_subset(&after[part])));
}

#[test]
fn held_out_groups_are_in_test_and_nowhere_else() {
    let with = json!({
        "group_by": ["family"],
        "ratios": {"train": 0.9, "validation": 0.1, "test": 0.0},
        "hold_out": {"field": "family", "values": ["f3", "f5"]}
    });
    let run = Bench::new().rows("rows", &rows(0..40, 2)).run::<Split>(with.clone()).unwrap();
    assert_eq!(families(&run, Part::Test), ["\"f3\"".to_owned(), "\"f5\"".to_owned()].into());
    let error = Bench::new().rows("rows", &rows(10..20, 1)).run::<Split>(with).err().unwrap();
    assert!(error.message.contains("hold_out"), "{error}");
}

#[test]
fn strata_are_spread_evenly() {
    let with =
        json!({"group_by": ["family"], "stratify_by": ["section"], "ratios": {"train": 0.8, "validation": 0.1, "test": 0.1}});
    let run = Bench::new().rows("rows", &rows(0..400, 1)).run::<Split>(with).unwrap();
    let rare = |part: Part| run.rows(part.name()).iter().filter(|row| row.meta["section"] == json!("rare")).count();
    assert_eq!(Part::ALL.map(rare), [80, 10, 10]);
    assert_eq!(run.metrics(["rows_train", "rows_validation", "rows_test"]), json!([320.0, 40.0, 40.0]));
}

/// Rows of which each is nearly equal to one of another family.
fn leaky() -> Vec<Record> {
    let mut all = rows(0..80, 1);
    for (at, mut twin) in rows(0..80, 1).into_iter().enumerate() {
        twin.row_id = format!("twin-{at}");
        twin.messages[0].content.push_str(" z");
        all.push(with_meta(twin, "family", format!("twin{at}")));
    }
    all
}

#[test]
fn near_duplicates_on_both_sides_fail_are_dropped_moved_or_joined() {
    let bench = Bench::new().rows("rows", &leaky());
    let with = |more: Value| {
        let mut with = json!({"group_by": ["family"], "ratios": {"train": 0.5, "validation": 0.25, "test": 0.25}});
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.run::<Split>(with)
    };
    let error = with(json!({})).err().unwrap();
    assert!(error.message.contains("on both sides") && error.message.contains("near"), "{error}");
    let dropped = with(json!({"leak_check": {"on_leak": "drop"}})).unwrap();
    assert!(dropped.metric("dropped") > 10.0);
    let together = |run: &Run| {
        let sides = parts(run);
        (0..80).all(|at| sides.values().any(|ids| ids.contains(&format!("{at}-0")) && ids.contains(&format!("twin-{at}"))))
    };
    let moved = with(json!({"leak_check": {"on_leak": "move"}})).unwrap();
    assert!(together(&moved));
    assert_eq!(moved.metrics(["rows_out", "leaks"]), json!([160.0, 0.0]));
    let joined = with(json!({"join_groups": ["fuzzy_cluster"]})).unwrap();
    assert!(together(&joined));
    assert_eq!(joined.metrics(["groups"]), json!([80.0]));
    assert!(with(json!({"leak_check": {"fuzzy": null}})).is_ok());
}

#[test]
fn equal_rows_stay_together_without_a_group() {
    let twice: Vec<Record> = (0..50)
        .flat_map(|at| {
            [row(&format!("a{at}"), &format!("question {at}"), "x"), row(&format!("b{at}"), &format!("Question {at}!"), "X")]
        })
        .collect();
    let run = Bench::new()
        .rows("rows", &twice)
        .run::<Split>(json!({"ratios": {"train": 0.5, "validation": 0.5, "test": 0.0}, "leak_check": {"fuzzy": null}}))
        .unwrap();
    assert_eq!(run.metrics(["groups", "leaks"]), json!([50.0, 0.0]));
}

#[test]
fn faults_of_the_configuration_are_named() {
    let bench = Bench::new().rows("rows", &rows(0..10, 1));
    for (with, words) in [
        (json!({"ratios": {"train": 0.9, "validation": 0.2, "test": 0.1}}), "add up to"),
        (json!({"group_by": ["famly"]}), "famly"),
        (json!({"ratios": {"train": 1.0, "validation": 0.0, "test": 0.0}, "min_rows": {"test": 5}}), "test has 0 rows"),
    ] {
        let error = bench.run::<Split>(with).err().unwrap();
        assert!(error.message.contains(words) && error.help.is_some(), "{error}");
    }
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let with = json!({"group_by": ["family"], "stratify_by": ["section"], "leak_check": {"on_leak": "move"}});
    Bench::new()
        .rows("rows", &leaky().into_iter().map(|row| with_meta(row, "section", "one")).collect::<Vec<_>>())
        .assert_same_on_threads::<Split>(&with);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn every_row_goes_somewhere_once(groups in 1..30u32, each in 1..4u32, train in 0.0..1.0f64, seed in any::<u64>()) {
        let rest = 1.0 - train;
        let with = json!({"group_by": ["family"], "min_rows": {"train": 0}, "ratios": {"train": train, "validation": rest, "test": 0.0}});
        let all = rows(0..groups, each);
        let run = Bench::new().seed(seed).rows("rows", &all).run::<Split>(with).unwrap();
        let ids: Vec<String> = Part::ALL.iter().flat_map(|part| run.ids(part.name())).collect();
        prop_assert_eq!(ids.len(), all.len());
        prop_assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), all.len());
        prop_assert!(families(&run, Part::Train).is_disjoint(&families(&run, Part::Validation)));
    }
}

/// A row of a random data set: a text of sixty words, how it is changed, and a family.
type Sketch = (u32, u8, u32);

fn sketched(sketches: &[Sketch]) -> Vec<Record> {
    let make = |(at, (base, change, family)): (usize, &Sketch)| {
        let mut words: Vec<String> = (0..60).map(|word| format!("t{base}w{word}")).collect();
        match change % 4 {
            0 => {}
            1 => words.iter_mut().for_each(|word| *word = word.to_uppercase()),
            2 => words[usize::from(*change) % 60] = format!("edited{at}"),
            _ => words = (0..60).map(|word| format!("own{at}w{word}")).collect(),
        }
        let row = row(&format!("{at}"), &words.join(" "), "yes");
        if *family < 6 { with_meta(row, "family", format!("f{family}")) } else { row }
    };
    sketches.iter().enumerate().map(make).collect()
}

/// Pairs of rows in different parts that are equal, nearly equal, or of one family; by brute force.
fn leaks_between(run: &Run) -> Vec<(String, String)> {
    let placed: Vec<(Part, Record)> =
        Part::ALL.iter().flat_map(|part| run.rows(part.name()).into_iter().map(|row| (*part, row))).collect();
    let normal = |row: &Record| normalize(&text_of(row, Text::Both), Digits::Keep);
    let set = |row: &Record| shingles(&normal(row), &Shingling::default());
    let mut leaks = Vec::new();
    for (at, (part, row)) in placed.iter().enumerate() {
        for (other_part, other) in placed.iter().take(at).filter(|(other, _)| other != part) {
            let of_one_family = row.meta.contains_key("family") && row.meta.get("family") == other.meta.get("family");
            let is_near = flow_text::shingle::jaccard(&set(row), &set(other)) >= 0.8;
            if of_one_family || is_near || normal(row) == normal(other) {
                leaks.push((format!("{part:?} {}", row.row_id), format!("{other_part:?} {}", other.row_id)));
            }
        }
    }
    leaks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_leaks_between_the_parts_of_random_data_sets(
        sketches in prop::collection::vec((0..8_u32, any::<u8>(), 0..12_u32), 12..40),
        how in prop::sample::select(vec!["drop", "move"]),
        joins in any::<bool>(),
    ) {
        let with = json!({
            "group_by": ["family"],
            "ratios": {"train": 0.5, "validation": 0.25, "test": 0.25},
            "join_groups": if joins { json!(["fuzzy_cluster"]) } else { json!([]) },
            "leak_check": {"on_leak": how},
            "min_rows": {"train": 0},
            "max_drop_fraction": 1.0,
        });
        let run = Bench::new().rows("rows", &sketched(&sketches)).run::<Split>(with).unwrap();
        let leaks = leaks_between(&run);
        prop_assert!(leaks.is_empty(), "{:?}", leaks);
        prop_assert!(run.metric("leaks") < 0.5);
        prop_assert!((run.metric("rows") + run.metric("dropped") - run.metric("rows_in")).abs() < 0.5);
    }
}
