//! One thing wrong with a workflow file, and the list of all of them.

use std::{fmt, sync::Arc};

use miette::{Diagnostic, LabeledSpan, SourceCode};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{SourceText, Span};

/// One thing wrong with a workflow file, with its place and what to do about it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// A stable name, such as `flow::plan::unknown_port`.
    pub code: &'static str,
    /// What is wrong: lower case, no period.
    pub message: String,
    /// The file it is in.
    pub file: Arc<SourceText>,
    /// The bytes it is about.
    pub span: Span,
    /// A few words beside the place.
    pub label: String,
    /// What the reader can do next.
    pub help: String,
}

impl Problem {
    /// The file's name as errors show it.
    pub fn file_name(&self) -> &str {
        self.file.name()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code(&self) -> Option<Box<dyn fmt::Display + '_>> {
        Some(Box::new(self.code))
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        Some(Box::new(&self.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.file.as_ref())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some(self.label.clone()), self.span);
        Some(Box::new(std::iter::once(label)))
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let position = self.file.position(self.span.start);
        let mut fields = serializer.serialize_struct("Problem", 6)?;
        fields.serialize_field("code", self.code)?;
        fields.serialize_field("file", self.file.name())?;
        fields.serialize_field("line", &position.line)?;
        fields.serialize_field("column", &position.column)?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("help", &self.help)?;
        fields.end()
    }
}

/// Problems found so far. Checks add to it and go on, so that one look at a file tells all.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn add(&mut self, problem: Problem) {
        self.found.push(problem);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Every problem in the order of the files' texts, equal ones once.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by(|one, other| {
            let key = |problem: &Problem| (problem.file.name().to_owned(), problem.span, problem.code);
            key(one).cmp(&key(other))
        });
        self.found.dedup_by(|one, other| {
            one.code == other.code
                && one.span == other.span
                && one.message == other.message
                && one.file.name() == other.file.name()
        });
        self.found
    }
}
