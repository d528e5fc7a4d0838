//! Two texts as a unified difference.

use similar::TextDiff;

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// A longer difference is cut: it is a new file in all but name.
const LINES: usize = 400;

/// The unified difference of two texts; none when they are equal.
pub(super) fn unified(name: &str, old: &str, new: &str) -> Option<String> {
    if old == new {
        return None;
    }
    let compared = TextDiff::configure().timeout(std::time::Duration::from_secs(2)).diff_lines(old, new);
    let names = (format!("a/{name}"), format!("b/{name}"));
    let text = compared.unified_diff().context_radius(CONTEXT).header(&names.0, &names.1).to_string();
    let lines = text.lines().count();
    if lines <= LINES {
        return Some(text);
    }
    let kept: Vec<&str> = text.lines().take(LINES).collect();
    Some(format!("{}\n… {} more lines\n", kept.join("\n"), lines - LINES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_lines_stand_between_their_neighbours() {
        let text = unified("tool.py", "a\nb\nc\n", "a\nB\nc\n").unwrap();
        assert_eq!(text, "--- a/tool.py\n+++ b/tool.py\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
        assert_eq!(unified("x", "same", "same"), None);
    }

    #[test]
    fn a_rewritten_file_is_cut() {
        let text = unified("x", &"a\n".repeat(900), &"b\n".repeat(900)).unwrap();
        assert!(text.lines().count() == LINES + 1 && text.ends_with("more lines\n"), "{}", text.lines().count());
    }
}
