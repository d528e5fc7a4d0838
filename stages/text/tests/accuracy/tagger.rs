//! The tagger's templates are our own: no five words of one stand in a row of the Presidio synthetic set outside its entities.

use std::collections::BTreeSet;

use regex::Regex;

const TEMPLATES: &str = include_str!("../../examples/train-tagger/templates.txt");

fn grams(text: &str, slot: &Regex) -> BTreeSet<Vec<String>> {
    let words = |part: &str| -> Vec<String> {
        part.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    slot.split(text).flat_map(|part| words(part).windows(5).map(<[String]>::to_vec).collect::<Vec<_>>()).collect()
}

/// Every text that the choices of a template can make.
fn choices(template: &str) -> Vec<String> {
    let Some((before, rest)) = template.split_once('[') else { return vec![template.to_owned()] };
    let (options, after) = rest.split_once(']').expect("every choice is closed");
    let tails = choices(after);
    options.split('|').flat_map(|option| tails.iter().map(move |tail| format!("{before}{option}{tail}"))).collect()
}

fn templates() -> impl Iterator<Item = &'static str> {
    TEMPLATES.lines().filter(|line| !line.is_empty() && !line.starts_with("# "))
}

#[test]
fn there_are_three_hundred_templates() {
    assert!(templates().collect::<BTreeSet<_>>().len() >= 300);
}

#[test]
fn no_five_words_are_shared_with_the_set_that_scores_them() {
    let Some(rows) = crate::data("presidio-synth/synth_dataset_v2.json") else { return };
    let rows: Vec<serde_json::Value> = serde_json::from_str(&rows).unwrap();
    let masked = Regex::new(r"\{\{\w+\}\}").unwrap();
    let known: BTreeSet<_> = rows.iter().flat_map(|row| grams(row["masked"].as_str().unwrap(), &masked)).collect();
    assert!(known.len() > 500);
    let slot = Regex::new(r"\{\w+\}").unwrap();
    for template in templates() {
        for text in choices(&template.replace("\\n", "\n")) {
            let shared: Vec<_> = grams(&text, &slot).into_iter().filter(|gram| known.contains(gram)).collect();
            assert!(shared.is_empty(), "{template}: {shared:?}");
        }
    }
}
