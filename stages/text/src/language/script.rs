//! Writing systems: which one a text is written in, and the languages that a script or its letters give away.

use std::collections::BTreeMap;

use unicode_script::{Script, UnicodeScript};

use super::Language;

/// How often letters of each script stand in a text.
pub(super) struct Letters {
    counts: BTreeMap<&'static str, (Script, usize)>,
    pub(super) total: usize,
}

impl Letters {
    pub(super) fn of(text: &str) -> Self {
        let mut counts: BTreeMap<&'static str, (Script, usize)> = BTreeMap::new();
        let mut latin = 0;
        let mut total = 0;
        for c in text.chars() {
            if c.is_ascii_alphabetic() {
                latin += 1;
                total += 1;
            } else if !c.is_ascii() && c.is_alphabetic() {
                let script = c.script();
                counts.entry(script.short_name()).or_insert((script, 0)).1 += 1;
                total += 1;
            }
        }
        counts.entry(Script::Latin.short_name()).or_insert((Script::Latin, 0)).1 += latin;
        Self { counts, total }
    }

    fn share(&self, script: Script) -> f64 {
        let count = self.counts.get(script.short_name()).map_or(0, |(_, count)| *count);
        if self.total == 0 { 0.0 } else { as_f64(count) / as_f64(self.total) }
    }

    /// The script of most letters, if it holds enough of them: six in ten of Latin, and less of another, whose texts are full of
    /// Latin names. Kana and Han are one.
    pub(super) fn main(&self) -> Option<Script> {
        let east = self.share(Script::Han) + self.share(Script::Hiragana) + self.share(Script::Katakana);
        if east >= 0.54 {
            // A tenth of kana is enough: no Chinese text has it.
            let kana = self.share(Script::Hiragana) + self.share(Script::Katakana);
            return Some(if kana >= 0.1 { Script::Hiragana } else { Script::Han });
        }
        let enough = |script: Script| if script == Script::Latin { 0.6 } else { 0.54 };
        self.counts.values().find(|(script, _)| self.share(*script) >= enough(*script)).map(|(script, _)| *script)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of letters in half a kilobyte")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

/// What a script says about the language.
pub(super) enum Hint {
    /// It is that language, or close enough that nobody writes another one so.
    Is(Language),
    /// One of several: the classifier decides.
    Ask,
    /// None that we know.
    Unknown,
}

/// Letters that only one of the languages of a script uses; the first match counts.
const TELLTALES: [(Script, &str, &str); 8] = [
    (Script::Cyrillic, "іїєґІЇЄҐ", "uk"),
    (Script::Cyrillic, "ђјљњћџЂЈЉЊЋЏ", "sr"),
    (Script::Cyrillic, "әғқңөұүһӘҒҚҢӨҰҮҺ", "kk"),
    (Script::Arabic, "ٹڈڑےں", "ur"),
    (Script::Arabic, "پچژگکی", "fa"),
    (Script::Bengali, "ৰৱ", "as"),
    (Script::Devanagari, "ळऱ", "mr"),
    (Script::Hebrew, "װױײ", "yi"),
];

/// The language most texts of a script are in.
const USUAL: [(Script, &str); 25] = [
    (Script::Han, "zh"),
    (Script::Hiragana, "ja"),
    (Script::Hangul, "ko"),
    (Script::Cyrillic, "ru"),
    (Script::Arabic, "ar"),
    (Script::Devanagari, "hi"),
    (Script::Hebrew, "he"),
    (Script::Greek, "el"),
    (Script::Thai, "th"),
    (Script::Bengali, "bn"),
    (Script::Tamil, "ta"),
    (Script::Telugu, "te"),
    (Script::Gujarati, "gu"),
    (Script::Kannada, "kn"),
    (Script::Malayalam, "ml"),
    (Script::Gurmukhi, "pa"),
    (Script::Oriya, "or"),
    (Script::Sinhala, "si"),
    (Script::Georgian, "ka"),
    (Script::Armenian, "hy"),
    (Script::Khmer, "km"),
    (Script::Lao, "lo"),
    (Script::Myanmar, "my"),
    (Script::Tibetan, "bo"),
    (Script::Ethiopic, "am"),
];

/// Every language that a script alone can name.
pub(super) fn languages() -> impl Iterator<Item = Language> {
    let telltale = TELLTALES.iter().map(|(_, _, code)| Language(code));
    telltale.chain(USUAL.iter().map(|(_, code)| Language(code)))
}

/// What the script of a text tells.
pub(super) fn hint(text: &str, script: Script) -> Hint {
    if script == Script::Latin {
        return Hint::Ask;
    }
    let letters = text.chars().filter(|c| c.script() == script).count();
    for (_, marks, code) in TELLTALES.iter().filter(|(of, _, _)| *of == script) {
        // One in a hundred letters: a name from the neighbouring language makes no text of it.
        let found = text.chars().filter(|c| marks.contains(*c)).count();
        if found > 0 && found * 100 >= letters {
            return Hint::Is(Language(code));
        }
    }
    USUAL.iter().find(|(of, _)| *of == script).map_or(Hint::Unknown, |(_, code)| Hint::Is(Language(code)))
}
