//! UTF-8 that somebody read as windows-1252, put right again.
//!
//! Only sequences that decode as UTF-8 and give a likely character are touched: letters of Latin languages, typographic
//! signs, emoji, or at least two characters of another script in a row. Text that is fine stays fine.

/// The characters of bytes 0x80 to 0x9F; the five bytes that windows-1252 leaves out stand for themselves, as in browsers.
const HIGH: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’', '“', '”',
    '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Reads one byte as windows-1252.
#[cfg(test)]
pub(super) fn decode(byte: u8) -> char {
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte) - 0x80],
        other => char::from(other),
    }
}

/// The byte that windows-1252 writes for a character beyond ASCII.
fn encode(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ 0xa0..=0xff => u8::try_from(code).ok(),
        0..0x80 => None,
        _ => HIGH.iter().position(|high| *high == c).and_then(|at| u8::try_from(at + 0x80).ok()),
    }
}

/// Returns the repaired text and how many sequences were repaired; `None` when there are none.
pub(super) fn repair(text: &str) -> Option<(String, u64)> {
    if text.is_ascii() {
        return None;
    }
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let (mut repaired, mut at) = (0, 0);
    while let Some(&c) = chars.get(at) {
        let sequences = read_run(&chars, at);
        if sequences.is_empty() {
            out.push(c);
            at += 1;
            continue;
        }
        for sequence in sequences {
            out.push(sequence.means);
            at += sequence.length;
            repaired += 1;
        }
    }
    (repaired > 0).then_some((out, repaired))
}

/// One character of the original and how many characters were shown for it.
#[derive(Clone, Copy)]
struct Sequence {
    means: char,
    length: usize,
}

/// The sequences that follow each other from `at` on and may be believed; often none.
fn read_run(chars: &[char], at: usize) -> Vec<Sequence> {
    let mut run = Vec::new();
    let mut next = at;
    while let Some(sequence) = read_sequence(chars, next) {
        next += sequence.length;
        run.push(sequence);
    }
    // One odd letter may be chance, two of a foreign script in a row are not.
    let believed = if run.len() >= 2 {
        |s: &Sequence| is_likely(s.means) || s.means.is_alphabetic()
    } else {
        |s: &Sequence| is_likely(s.means)
    };
    let length = run.iter().take_while(|sequence| believed(sequence)).count();
    run.truncate(length);
    run
}

fn read_sequence(chars: &[char], at: usize) -> Option<Sequence> {
    let lead = encode(*chars.get(at)?)?;
    let length = match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let bytes: Option<Vec<u8>> = chars.get(at..at + length)?.iter().map(|c| encode(*c)).collect();
    let means = std::str::from_utf8(&bytes?).ok()?.chars().next()?;
    let quoted = length == 2
        && chars.get(at + 1).is_some_and(|c| is_closing(*c))
        && at.checked_sub(1).is_some_and(|before| opens(chars[before]));
    (!quoted).then_some(Sequence { means, length })
}

/// Signs that may rightly follow a capital letter with an accent, as in “MANHÔ.
fn is_closing(c: char) -> bool {
    matches!(c, '‘' | '’' | '“' | '”' | '–' | '—' | '…' | '›' | '»')
}

fn opens(before: char) -> bool {
    before.is_uppercase() || matches!(before, '“' | '‘' | '„' | '‚' | '«' | '‹')
}

/// Characters that texts of Latin languages are full of.
fn is_likely(c: char) -> bool {
    matches!(u32::from(c),
        0xa0..=0x17f            // Latin letters and signs
        | 0x2c6 | 0x2dc
        | 0x2010..=0x2027 | 0x202f..=0x205e  // dashes, quotes, spaces, ellipsis
        | 0x20a0..=0x20bf       // currency
        | 0x2100..=0x214f | 0x2190..=0x21ff | 0x2200..=0x22ff
        | 0x2500..=0x27bf       // boxes, symbols, dingbats
        | 0xfe0f | 0xfeff | 0x200b..=0x200d
        | 0x1f000..=0x1faff     // emoji
    )
}
