//! Newlines, spaces, and blank lines.

use super::Whitespace;

/// Makes `\n` of every kind of line end.
pub(super) fn unify_newlines(text: &str) -> String {
    if text.bytes().all(|b| b.is_ascii() && b != b'\r') {
        return text.to_owned();
    }
    text.replace("\r\n", "\n").replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n")
}

/// Cuts blank lines before and whitespace after, but keeps the indentation of a first code block.
pub(super) fn trim_ends(text: &str) -> &str {
    text.trim()
}

/// Collapses runs of spaces inside lines, trims line ends, and limits blank lines.
pub(super) fn tidy(text: &str, policy: Whitespace) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = 0;
    for line in text.split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        let body = if policy.collapse { collapse(body) } else { body.to_owned() };
        // The last piece has no line end: more of the line may follow in a code block.
        let body = if policy.trim && !end.is_empty() { body.trim_end() } else { &body };
        blank = if body.is_empty() { blank + 1 } else { 0 };
        if blank <= policy.max_blank_lines || end.is_empty() {
            out.push_str(body);
            out.push_str(end);
        }
    }
    out
}

/// Makes one space of every run after the indentation; odd spaces count as spaces.
fn collapse(line: &str) -> String {
    let start = line.len() - line.trim_start().len();
    let (indent, rest) = line.split_at(start);
    let mut out: String = indent.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let mut in_run = false;
    for c in rest.chars() {
        if c.is_whitespace() {
            if !in_run {
                out.push(' ');
            }
            in_run = true;
        } else {
            out.push(c);
            in_run = false;
        }
    }
    out
}
