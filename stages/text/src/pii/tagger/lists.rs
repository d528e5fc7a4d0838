//! Short lists of common words: first names, cities, months, and the like. The model learns how far to trust them.

use std::{collections::HashMap, sync::LazyLock};

use super::facts::hash;

const LISTS: &str = include_str!("words.txt");

/// The words of a list, `-` standing for a space in those of more words; nothing for an unknown list.
pub fn words(list: &str) -> impl Iterator<Item = &'static str> {
    let line = LISTS.lines().find_map(|line| line.split_once(": ").filter(|(name, _)| *name == list));
    line.map_or("", |(_, words)| words).split(' ').filter(|word| !word.is_empty())
}

/// The lists that each word is in, a bit for each, by the word's hash.
static MEMBERS: LazyLock<HashMap<u32, u16>> = LazyLock::new(|| {
    let mut members = HashMap::new();
    for (order, line) in LISTS.lines().enumerate() {
        let Some((_, words)) = line.split_once(": ") else { continue };
        for part in words.split([' ', '-', '.', '\'']).filter(|part| part.chars().count() > 1) {
            *members.entry(hash(&part.to_lowercase())).or_default() |= 1_u16 << (order % 16);
        }
    }
    members
});

/// The lists that a word is in, by its hash.
pub(super) fn lists_of(hash: u32) -> u16 {
    MEMBERS.get(&hash).copied().unwrap_or_default()
}
