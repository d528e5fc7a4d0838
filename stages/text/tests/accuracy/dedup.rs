//! Near-duplicates in planted families, against the truth by brute force.

use flow_text::{
    dedup::Neighbours,
    shingle::{Digits, ShingleSet, Shingling, jaccard, normalize, shingles},
    words::mix,
};

const FAMILIES: u64 = 400;
const THRESHOLD: f64 = 0.8;

/// Draws of a fixed sequence.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = mix(self.0.wrapping_add(0x9e37_79b9_7f4a_7c15));
        self.0 % end
    }
}

fn text(draws: &mut Draws) -> Vec<String> {
    let length = 60 + draws.below(200);
    (0..length).map(|_| format!("word{}", draws.below(4_000))).collect()
}

fn set_of(words: &[String]) -> ShingleSet {
    shingles(&normalize(&words.join(" "), Digits::Keep), &Shingling::default())
}

/// Replaces single words until the similarity falls to a target.
fn relative(base: &[String], target: f64, draws: &mut Draws) -> Vec<String> {
    let original = set_of(base);
    let mut words = base.to_vec();
    loop {
        let before = words.clone();
        let at = usize::try_from(draws.below(words.len() as u64)).expect("it fits");
        words[at] = format!("other{}", draws.below(1 << 30));
        if jaccard(&original, &set_of(&words)) < target {
            return before;
        }
    }
}

#[test]
fn planted_families_are_found_and_decoys_are_left_alone() {
    let mut draws = Draws(11);
    let mut sets = Vec::new();
    for family in 0..FAMILIES {
        let base = text(&mut draws);
        // Similarities spread evenly: duplicates from 0.8 to 1, decoys from 0.6 to 0.79.
        let place = f64::from(u32::try_from(family).expect("it fits")) / f64::from(u32::try_from(FAMILIES).expect("it fits"));
        sets.push(set_of(&relative(&base, 0.8 + 0.2 * place, &mut draws)));
        sets.push(set_of(&relative(&base, 0.6 + 0.19 * place, &mut draws)));
        sets.push(set_of(&base));
    }
    let near = |a: usize, b: usize| jaccard(&sets[a], &sets[b]) >= THRESHOLD;
    let found = Neighbours::new(sets.clone(), THRESHOLD).keepers();
    let (mut reported, mut right, mut true_rows, mut found_rows) = (0_u64, 0_u64, 0_u64, 0_u64);
    for row in 0..sets.len() {
        let has_twin = (0..row).any(|other| found[other].is_none() && near(row, other));
        true_rows += u64::from(has_twin);
        found_rows += u64::from(has_twin && found[row].is_some());
        if let Some(keeper) = found[row] {
            reported += 1;
            right += u64::from(near(row, keeper));
        }
    }
    eprintln!("{true_rows} duplicates planted, {found_rows} found; {right} of {reported} reported pairs are true");
    assert!(true_rows > FAMILIES * 9 / 10, "{true_rows}");
    assert!(right * 100 >= reported * 99 && found_rows * 100 >= true_rows * 95, "{right}/{reported}, {found_rows}/{true_rows}");
}
