//! Cuts a text into words, signs, and line breaks.

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// Returns the tokens of a text: runs of letters and digits, single signs, and line breaks. Spaces belong to none.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::with_capacity(text.len() / 5 + 1);
    let mut word: Option<usize> = None;
    for (at, c) in text.char_indices() {
        if is_word(c) {
            word.get_or_insert(at);
            continue;
        }
        out.extend(word.take().map(|start| Token { start, end: at }));
        if c == '\n' || !c.is_whitespace() {
            out.push(Token { start: at, end: at + c.len_utf8() });
        }
    }
    out.extend(word.map(|start| Token { start, end: text.len() }));
    out
}

fn is_word(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() } else { c.is_alphanumeric() }
}
