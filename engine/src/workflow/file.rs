//! The text of a workflow file, or why there is none.

use std::{fmt::Display, path::Path, sync::Arc};

use super::{Problem, Problems, SourceText, Span};

/// A file larger than this is no workflow.
const MAX_BYTES: u64 = 64 << 20;

/// Reads a file that must be UTF-8 and of a size that a person could have written.
pub(super) fn read(path: &Path, problems: &mut Problems) -> Option<Arc<SourceText>> {
    let name = path.display().to_string();
    let mut refuse = |code, file: Arc<SourceText>, span: Span, texts: (String, &str)| {
        let (message, help) = texts;
        problems.add(Problem { code, message, file, span, label: "here".to_owned(), help: help.to_owned() });
        None
    };
    let unreadable = |error: &dyn Display| (format!("cannot read {name}: {error}"), "check the path and its permissions");
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            let message = format!("{name} is larger than {MAX_BYTES} bytes");
            let file = SourceText::new(name, "");
            return refuse(
                "flow::workflow::too_large",
                file,
                Span::default(),
                (message, "data belongs in files that stages read"),
            );
        }
        Ok(_) => {}
        Err(error) => {
            return refuse("flow::workflow::unreadable", SourceText::new(&name, ""), Span::default(), unreadable(&error));
        }
    }
    match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Some(SourceText::new(name, text)),
        Ok(Err(error)) => {
            let at = error.utf8_error().valid_up_to();
            // Bytes before the bad one are valid, so its offset is the same in the lossy text.
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let message = format!("{name} is not UTF-8 text");
            let span = Span::new(at, (at + '\u{fffd}'.len_utf8()).min(text.len()));
            refuse("flow::workflow::encoding", SourceText::new(name, text), span, (message, "save the file as UTF-8"))
        }
        Err(error) => refuse("flow::workflow::unreadable", SourceText::new(&name, ""), Span::default(), unreadable(&error)),
    }
}
