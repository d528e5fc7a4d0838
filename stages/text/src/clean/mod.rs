//! Cleans one text: mojibake, control and invisible characters, bidirectional overrides, normal form, and whitespace.
//!
//! [`clean`] is idempotent: its steps are repeated until none changes anything, since removing a hidden character can
//! lay open a sequence that an earlier step would have repaired. Fenced code blocks are left alone unless asked.

mod mojibake;
pub(crate) mod prose;
mod whitespace;

use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A step that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// Take the characters out.
    Remove,
    /// Leave them in.
    Keep,
}

/// What happens to characters that nobody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Invisible {
    /// Leave them in.
    Keep,
    /// Take out those that their script or emoji sequence does not need.
    RemoveUnneeded,
    /// Take out all, joiners of Arabic, Indic, and emoji sequences too.
    RemoveAll,
}

/// The Unicode normal form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NormalForm {
    /// As it came.
    #[serde(rename = "none")]
    None,
    /// Canonical composition.
    #[serde(rename = "NFC")]
    Nfc,
    /// Compatibility composition: full-width letters, ligatures, and superscripts become plain.
    #[serde(rename = "NFKC")]
    Nfkc,
}

/// What happens to whitespace outside code blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Whitespace {
    /// Make one space of a run of spaces inside a line; indentation stays.
    pub collapse: bool,
    /// Cut whitespace at the end of lines and at both ends of the text.
    pub trim: bool,
    /// Empty lines in a row to keep at most.
    pub max_blank_lines: u32,
}

impl Default for Whitespace {
    fn default() -> Self {
        Self { collapse: true, trim: true, max_blank_lines: 2 }
    }
}

/// Which steps to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Repair UTF-8 that was read as windows-1252.
    pub mojibake: bool,
    /// Control characters but newline and tab.
    pub control_chars: Removal,
    /// Zero-width and other invisible characters.
    pub invisible: Invisible,
    /// Overrides, embeddings, isolates, and marks of the bidirectional algorithm.
    pub bidi_controls: Removal,
    /// Unicode normal form.
    pub normalize: NormalForm,
    /// Spaces and blank lines.
    pub whitespace: Whitespace,
    /// Leave fenced code blocks as they are.
    pub skip_code_blocks: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mojibake: true,
            control_chars: Removal::Remove,
            invisible: Invisible::RemoveUnneeded,
            bidi_controls: Removal::Remove,
            normalize: NormalForm::Nfc,
            whitespace: Whitespace::default(),
            skip_code_blocks: true,
        }
    }
}

/// How many places were edited, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Edits {
    /// Mojibake sequences repaired.
    pub mojibake: u64,
    /// Control characters removed.
    pub control: u64,
    /// Invisible characters removed.
    pub invisible: u64,
    /// Bidirectional controls removed.
    pub bidi: u64,
    /// Texts brought to the normal form.
    pub normalized: u64,
    /// Texts with whitespace put in order.
    pub whitespace: u64,
}

impl Edits {
    /// Kind and count of every kind, in a fixed order.
    pub fn by_kind(&self) -> [(&'static str, u64); 6] {
        [
            ("mojibake", self.mojibake),
            ("control", self.control),
            ("invisible", self.invisible),
            ("bidi", self.bidi),
            ("normalized", self.normalized),
            ("whitespace", self.whitespace),
        ]
    }

    /// Whether nothing was edited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Edits {
    fn add_assign(&mut self, other: Self) {
        self.mojibake += other.mojibake;
        self.control += other.control;
        self.invisible += other.invisible;
        self.bidi += other.bidi;
        self.normalized += other.normalized;
        self.whitespace += other.whitespace;
    }
}

/// A cleaned text and what was done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleaned {
    /// The text.
    pub text: String,
    /// What was edited.
    pub edits: Edits,
}

/// Every round but the last repairs or removes something, so texts settle in two or three.
const MAX_ROUNDS: usize = 32;

/// Returns the cleaned text.
pub fn clean(text: &str, options: &Options) -> Cleaned {
    let mut cleaned = Cleaned { text: text.to_owned(), edits: Edits::default() };
    for _ in 0..MAX_ROUNDS {
        let next = round(&cleaned.text, options, &mut cleaned.edits);
        if next == cleaned.text {
            break;
        }
        cleaned.text = next;
    }
    // Both count texts, not places: a second round is still the same text.
    cleaned.edits.normalized = cleaned.edits.normalized.min(1);
    cleaned.edits.whitespace = cleaned.edits.whitespace.min(1);
    cleaned
}

fn round(text: &str, options: &Options, edits: &mut Edits) -> String {
    let mut out = String::with_capacity(text.len());
    for block in blocks(text, options) {
        match block {
            Block::Prose(prose) => out.push_str(&prose::clean(prose, options, edits)),
            Block::Code(code) => out.push_str(code),
        }
    }
    if options.whitespace.trim && out.trim() != out {
        edits.whitespace += 1;
        out = whitespace::trim_ends(&out).to_owned();
    }
    out
}

/// A stretch of whole lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block<'a> {
    /// To be cleaned.
    Prose(&'a str),
    /// A fenced code block, fences included.
    Code(&'a str),
}

/// Cuts a text into prose and fenced code; both together give the text back.
fn blocks<'a>(text: &'a str, options: &Options) -> Vec<Block<'a>> {
    if !options.skip_code_blocks || !(text.contains("```") || text.contains("~~~")) {
        return vec![Block::Prose(text)];
    }
    let mut blocks = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut open: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        match (open, fence(line)) {
            (None, Some(mark)) => {
                blocks.push(Block::Prose(&text[start..at]));
                (start, open) = (at, Some(mark));
            }
            (Some(mark), Some(other)) if other.starts_with(mark) && line.trim() == other => {
                blocks.push(Block::Code(&text[start..end]));
                (start, open) = (end, None);
            }
            (Some(_) | None, _) => {}
        }
        at = end;
    }
    blocks.push(if open.is_some() { Block::Code(&text[start..]) } else { Block::Prose(&text[start..]) });
    blocks.retain(|block| !matches!(block, Block::Prose("") | Block::Code("")));
    blocks
}

/// The run of backticks or tildes that opens or closes a code block.
fn fence(line: &str) -> Option<&str> {
    let body = line.trim_start_matches(' ');
    if line.len() - body.len() > 3 {
        return None;
    }
    let mark = body.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = body.len() - body.trim_start_matches(mark).len();
    (length >= 3).then(|| &body[..length])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cleaned(text: &str) -> String {
        clean(text, &Options::default()).text
    }

    #[test]
    fn mojibake_is_repaired_even_in_layers() {
        assert_eq!(cleaned("cafÃ© â€œnaÃ¯veâ€\u{9d} â€” 5 â‚¬"), "café “naïve” — 5 €");
        assert_eq!(cleaned("cafÃƒÂ©"), "café");
        assert_eq!(cleaned("ðŸ™‚ Ð¿Ñ€Ð¸Ð²ÐµÑ‚"), "🙂 привет");
    }

    #[test]
    fn good_text_is_left_alone() {
        for good in ["“voilà”…", "“MANHÔ", "“Å”", "100 °C ± 2", "naïve café – déjà vu", "Ünïcödé", "漢字", "مرحبا"]
        {
            assert_eq!(cleaned(good), good);
        }
    }

    #[test]
    fn hidden_characters_go_unless_their_script_needs_them() {
        assert_eq!(cleaned("pass\u{200b}word\u{feff} a\u{0}b\u{7}c\u{202e}d"), "password abcd");
        let kept = "می\u{200c}خواهم 👩\u{200d}💻 ❤\u{fe0f}";
        assert_eq!(cleaned(kept), kept);
        let all = Options { invisible: Invisible::RemoveAll, ..Options::default() };
        assert_eq!(clean("می\u{200c}خواهم", &all).text, "میخواهم");
    }

    #[test]
    fn whitespace_is_put_in_order_but_indentation_stays() {
        assert_eq!(cleaned("  a   b \r\n\tc\u{a0}d  \r\n\n\n\n\ne\u{2028}f \n"), "a b\n\tc d\n\n\ne\nf");
        assert_eq!(cleaned("x\n   indented   here"), "x\n   indented here");
    }

    #[test]
    fn code_blocks_stay_as_they_are() {
        let text = "See:\n```py\nx  =  1\t \n\n\n\n\ny\n```\nDone.";
        assert_eq!(cleaned(text), text);
        assert_eq!(cleaned("a  b\n```\nx  y"), "a b\n```\nx  y");
    }

    #[test]
    fn edits_are_counted_by_kind() {
        let edits = clean("Ã©Ã¨\u{1}\u{200b}\u{200b}\u{202e}e\u{301}  x", &Options::default()).edits;
        assert_eq!(edits, Edits { mojibake: 2, control: 1, invisible: 2, bidi: 1, normalized: 1, whitespace: 1 });
    }

    /// Characters on which the steps could quarrel.
    fn nasty() -> impl Strategy<Value = String> {
        let pick = prop::sample::select(vec![
            'a',
            'A',
            ' ',
            '\n',
            '\r',
            '\t',
            '`',
            '~',
            'Ã',
            '©',
            'Â',
            'â',
            '€',
            '™',
            'ð',
            'Ÿ',
            '˜',
            '\u{80}',
            '\u{9d}',
            'Ð',
            '¿',
            '\u{200b}',
            '\u{200d}',
            '\u{200c}',
            '\u{feff}',
            '\u{202e}',
            '\u{303}',
            '\u{301}',
            'e',
            '\u{a0}',
            '\u{2028}',
            'م',
            '👩',
            '\u{fe0f}',
            '\u{ad}',
            '\u{0}',
            '\u{e0041}',
            '”',
            '“',
            '…',
            'ａ',
            'ﬁ',
            '\u{2003}',
        ]);
        prop::collection::vec(pick, 0..40).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing_more(text in prop_oneof![any::<String>(), nasty()], which in 0..3usize) {
            let options = match which {
                0 => Options::default(),
                1 => Options { normalize: NormalForm::Nfkc, invisible: Invisible::RemoveAll, ..Options::default() },
                _ => Options { skip_code_blocks: false, ..Options::default() },
            };
            let once = clean(&text, &options);
            let twice = clean(&once.text, &options);
            prop_assert_eq!(&twice.text, &once.text);
            prop_assert!(twice.edits.is_empty(), "{:?}", twice.edits);
        }

        #[test]
        fn tidy_ascii_is_unchanged(words in prop::collection::vec("[!-~]{1,9}", 0..20)) {
            let text = words.join(" ");
            prop_assert_eq!(cleaned(&text), text);
        }

        #[test]
        fn mojibake_of_latin_text_comes_back(text in "[a-zéèüñçößøÀÉ ]{0,30}") {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let broken: String = text.bytes().map(mojibake::decode).collect();
            prop_assert_eq!(cleaned(&broken), text);
        }
    }
}
