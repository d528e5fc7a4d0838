//! Language of sentences, beside what is left unknown.

use std::collections::BTreeMap;

use flow_text::language::{Language, MIN_LETTERS, detect, letters};

use crate::{rows, text};

#[test]
fn sentences_of_supported_languages_are_named_and_others_are_not_taken_for_them() {
    let Some(rows) = rows("langid-sentences/langid.jsonl") else { return };
    let mut wrong: BTreeMap<(String, Option<&str>), usize> = BTreeMap::new();
    let (mut asked, mut right, mut foreign, mut unknown) = (0, 0, 0, 0);
    for row in rows.iter().filter(|row| row["kind"] == "sentence" && letters(text(row, "text")) >= MIN_LETTERS) {
        let found = detect(text(row, "text"), MIN_LETTERS).map(Language::code);
        let lang = text(row, "lang");
        if Language::from_code(lang).is_none() {
            foreign += 1;
            unknown += usize::from(found.is_none());
            if found.is_some() {
                *wrong.entry((lang.to_owned(), found)).or_default() += 1;
            }
            continue;
        }
        asked += 1;
        if found == Some(lang) {
            right += 1;
        } else {
            *wrong.entry((lang.to_owned(), found)).or_default() += 1;
        }
    }
    eprintln!("{right} of {asked} sentences named; {unknown} of {foreign} of other languages left unknown; wrong: {wrong:?}");
    assert!(asked >= 900 && right * 100 >= asked * 99, "{right} of {asked}: {wrong:?}");
    assert!(unknown * 100 >= foreign * 80, "{unknown} of {foreign}: {wrong:?}");
}

#[test]
fn texts_under_twenty_letters_have_no_language() {
    let Some(rows) = rows("langid-sentences/langid.jsonl") else { return };
    let short: Vec<&str> = rows.iter().map(|row| text(row, "text")).filter(|text| letters(text) < MIN_LETTERS).collect();
    assert!(short.len() > 500);
    assert!(short.iter().all(|text| detect(text, MIN_LETTERS).is_none()));
}
