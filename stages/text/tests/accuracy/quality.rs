//! The profile `sft` on rows that people wrote.

use flow_text::{
    quality::{Action, Census, Entry, Profile, Rules, judge},
    record::{Message, Record},
};

use crate::{rows, text};

fn dropped(name: &str, (prompt, answer): (&str, &str)) -> Option<(usize, usize)> {
    let row = |row: &serde_json::Value| {
        let message = |role: &str, field: &str| Message { role: role.to_owned(), content: text(row, field).to_owned() };
        Record {
            row_id: String::new(),
            source: String::new(),
            messages: vec![message("user", prompt), message("assistant", answer)],
            meta: serde_json::Map::new(),
        }
    };
    let records: Vec<Record> = rows(name)?.iter().map(row).collect();
    let census = Census::new(&records.iter().map(Entry::of).collect::<Vec<_>>());
    let judged = records.iter().map(|record| judge(record, Profile::Sft, &Rules::default(), &census));
    let mut counts = std::collections::BTreeMap::new();
    let mut lost = 0;
    for judgement in judged {
        lost += usize::from(judgement.action() == Action::Drop);
        for broken in &judgement.broken {
            *counts.entry(broken.reason).or_insert(0) += 1;
        }
    }
    eprintln!("{name}: {lost} of {} rows dropped; rules broken: {counts:?}", records.len());
    Some((lost, records.len()))
}

#[test]
fn at_most_three_in_a_hundred_good_rows_are_dropped() {
    let gsm8k = dropped("gsm8k/train.jsonl", ("question", "answer"));
    let dolly = dropped("dolly-pairs/dolly_pairs.jsonl", ("instruction", "response"));
    for (lost, all) in gsm8k.into_iter().chain(dolly) {
        assert!(all > 3_000 && lost * 100 <= all * 3, "{lost} of {all}");
    }
}
