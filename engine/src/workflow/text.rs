//! The text of a file, with byte spans and the line and column that people read.

use std::sync::Arc;

/// A range of bytes in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// A span from its first byte to one past its last.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end: end.max(start) }
    }
}

impl From<Span> for miette::SourceSpan {
    fn from(span: Span) -> Self {
        (span.start, span.end - span.start).into()
    }
}

/// A line and a column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A file's name and text, shared by everything that points into it.
#[derive(Debug)]
pub struct SourceText {
    name: String,
    text: String,
    line_starts: Vec<usize>,
}

impl SourceText {
    /// Keeps a text under the name that errors show.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(breaks).collect();
        Arc::new(Self { name: name.into(), text, line_starts })
    }

    /// The name that errors show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The span of the whole letters that a span touches, inside the text.
    pub(crate) fn letters(&self, span: Span) -> Span {
        let (start, end) = (span.start.min(self.text.len()), span.end.min(self.text.len()));
        Span::new(self.text.floor_char_boundary(start), self.text.ceil_char_boundary(end))
    }

    /// The line and column of a byte offset; of the end of the text when the offset is past it.
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset.min(self.text.len()));
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        Position { line: line.max(1), column: column + 1 }
    }
}

impl miette::SourceCode for SourceText {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        context_lines_before: usize,
        context_lines_after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let inner = self.text.as_str().read_span(span, context_lines_before, context_lines_after)?;
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line(),
            inner.column(),
            inner.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = SourceText::new("a.yaml", "ä: 1\nb: 2\n");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(2), Position { line: 1, column: 2 });
        assert_eq!(source.position(6), Position { line: 2, column: 1 });
        assert_eq!(source.position(9), Position { line: 2, column: 4 });
        assert_eq!(source.position(99), Position { line: 3, column: 1 });
        assert_eq!(SourceText::new("e", "").position(0), Position { line: 1, column: 1 });
    }

    #[test]
    fn a_span_covers_whole_letters_inside_the_text() {
        let source = SourceText::new("a.yaml", "aäb");
        assert_eq!(source.letters(Span::new(1, 2)), Span::new(1, 3));
        assert_eq!(source.letters(Span::new(2, 9)), Span::new(1, 4));
        assert_eq!(source.letters(Span::new(9, 10)), Span::new(4, 4));
    }
}
