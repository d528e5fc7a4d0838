//! The steps for text outside code blocks, in their order.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};
use unicode_script::{Script, UnicodeScript};

use super::{Edits, Invisible, NormalForm, Options, Removal, mojibake, whitespace};

/// Cleans one stretch of prose and adds to the counts.
pub(super) fn clean(text: &str, options: &Options, edits: &mut Edits) -> String {
    let mut text = text.to_owned();
    while options.mojibake
        && let Some((repaired, count)) = mojibake::repair(&text)
    {
        edits.mojibake += count;
        text = repaired;
    }
    let lines = whitespace::unify_newlines(&text);
    if lines != text {
        edits.whitespace += 1;
    }
    let visible = remove_hidden(&lines, options, edits);
    let normal = normalize(&visible, options.normalize);
    if normal != visible {
        edits.normalized += 1;
    }
    let tidy = whitespace::tidy(&normal, options.whitespace);
    if tidy != normal {
        edits.whitespace += 1;
    }
    tidy
}

fn normalize(text: &str, form: NormalForm) -> String {
    match form {
        NormalForm::None => text.to_owned(),
        NormalForm::Nfc if is_nfc_quick(text.chars()) == IsNormalized::Yes => text.to_owned(),
        NormalForm::Nfc => text.nfc().collect(),
        NormalForm::Nfkc if is_nfkc_quick(text.chars()) == IsNormalized::Yes => text.to_owned(),
        NormalForm::Nfkc => text.nfkc().collect(),
    }
}

fn remove_hidden(text: &str, options: &Options, edits: &mut Edits) -> String {
    if text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\t')) {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    for (at, c) in chars.iter().copied().enumerate() {
        let before = out.chars().next_back();
        let next = chars.get(at + 1).copied();
        if options.control_chars == Removal::Remove && is_control(c) {
            edits.control += 1;
        } else if options.bidi_controls == Removal::Remove && is_bidi(c) {
            edits.bidi += 1;
        } else if is_hidden(c, options.invisible, (before, next)) {
            edits.invisible += 1;
        } else {
            out.push(c);
        }
    }
    out
}

fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

pub(crate) fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

fn is_hidden(c: char, policy: Invisible, around: (Option<char>, Option<char>)) -> bool {
    match policy {
        Invisible::Keep => false,
        Invisible::RemoveAll => is_invisible(c),
        Invisible::RemoveUnneeded => is_invisible(c) && !is_needed(c, around),
    }
}

pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'..='\u{200d}'
        | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether the characters around it give an invisible character a purpose.
fn is_needed(c: char, (before, next): (Option<char>, Option<char>)) -> bool {
    match c {
        '\u{200d}' => before.is_some_and(joins) || (before.is_some_and(is_symbol) && next.is_some_and(is_symbol)),
        '\u{200c}' => before.is_some_and(joins),
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => before.is_some_and(takes_variation),
        // Flags of regions: a black flag, tag letters, and the cancel tag.
        '\u{e0020}'..='\u{e007f}' => before.is_some_and(|b| matches!(b, '\u{1f3f4}' | '\u{e0020}'..='\u{e007e}')),
        _ => false,
    }
}

fn is_symbol(c: char) -> bool {
    matches!(u32::from(c), 0x2190..=0x2bff | 0xfe0f | 0x1f000..=0x1faff)
}

fn takes_variation(c: char) -> bool {
    is_symbol(c)
        || matches!(c, '0'..='9' | '#' | '*' | '©' | '®' | '‼' | '⁉' | '™' | 'ℹ' | '〰' | '〽')
        || matches!(c.script(), Script::Han | Script::Mongolian | Script::Myanmar)
}

/// Scripts whose letters change shape at a joiner.
fn joins(c: char) -> bool {
    matches!(
        c.script(),
        Script::Arabic
            | Script::Syriac
            | Script::Mongolian
            | Script::Nko
            | Script::Devanagari
            | Script::Bengali
            | Script::Gurmukhi
            | Script::Gujarati
            | Script::Oriya
            | Script::Tamil
            | Script::Telugu
            | Script::Kannada
            | Script::Malayalam
            | Script::Sinhala
            | Script::Khmer
            | Script::Myanmar
            | Script::Tibetan
    )
}
