//! Items of GSM8K's test set, planted in answers of other rows.

use flow_text::{
    decontaminate::{Index, Item, ItemId, Options},
    words::{mix, words},
};

use crate::{rows, text};

/// Draws of a fixed sequence.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: usize) -> usize {
        self.0 = mix(self.0.wrapping_add(0x9e37_79b9_7f4a_7c15));
        usize::try_from(self.0 % end as u64).expect("it fits")
    }
}

/// Replaces one word in ten by a word that is nowhere else.
fn edited(text: &str, draws: &mut Draws) -> String {
    let found = words(text);
    let mut chosen: Vec<usize> = (0..found.len()).collect();
    for at in 0..found.len() {
        chosen.swap(at, draws.below(found.len()));
    }
    let mut out = text.to_owned();
    let mut places: Vec<usize> = chosen.into_iter().take(found.len().div_ceil(10)).collect();
    places.sort_unstable_by(|a, b| b.cmp(a));
    for at in places {
        out.replace_range(found[at].range(), &format!("edited{}", draws.below(1_000)));
    }
    out
}

fn first_words(text: &str, count: usize) -> &str {
    words(text).get(count - 1).map_or(text, |word| &text[..word.end])
}

#[test]
fn planted_items_are_found_and_unrelated_rows_are_left_alone() {
    let (Some(evals), Some(dolly)) = (rows("gsm8k/test.jsonl"), rows("dolly-pairs/dolly_pairs.jsonl")) else { return };
    // Whole questions, and beginnings of 8 to 20 words, which are harder.
    let questions = evals.iter().enumerate().map(|(at, row)| {
        let question = text(row, "question");
        if at % 2 == 0 { question } else { first_words(question, 8 + at % 13) }.to_owned()
    });
    let items: Vec<Item> =
        questions.enumerate().map(|(item, question)| Item { id: ItemId { set: 0, item }, question, answer: None }).collect();
    let index = Index::new(&items, Options::default());
    let mut draws = Draws(7);
    let (mut verbatim, mut with_edits) = (0, 0);
    for item in &items {
        let around = text(&dolly[draws.below(dolly.len())], "response");
        let holds = |planted: &str| {
            let row = format!("{around}\n{planted}\n{around}");
            index.find(&row).iter().any(|hit| hit.item == item.id && hit.coverage > 0.5)
        };
        verbatim += usize::from(holds(&item.question));
        with_edits += usize::from(holds(&edited(&item.question, &mut draws)));
    }
    let false_hits: usize = dolly
        .iter()
        .take(1_000)
        .map(|row| index.find(&format!("{}\n{}", text(row, "instruction"), text(row, "response"))).len())
        .sum();
    eprintln!(
        "{} items: {verbatim} found word for word, {with_edits} with one word in ten edited; {false_hits} false hits",
        items.len()
    );
    assert_eq!((verbatim, false_hits), (items.len(), 0));
    assert!(with_edits * 100 >= items.len() * 95, "{with_edits} of {}", items.len());
}
