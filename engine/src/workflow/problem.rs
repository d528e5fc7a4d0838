//! One thing wrong with a workflow file, and the list of all of them.

use std::{collections::HashSet, fmt, sync::Arc};

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

/// With so many problems the rest is not looked for: nobody reads more, and a generated file may hold millions.
const ENOUGH: usize = 500;
/// So often the same ones may be found again, by the instances of one stage.
const REPEATED: usize = 20_000;

/// Problems found so far. Checks add to it and go on, so that one look at a file tells all.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
    /// Places, codes, and messages of those.
    known: HashSet<(String, Span, &'static str, String)>,
    /// How often a known one was found again.
    repeated: usize,
}

impl Problems {
    pub(crate) fn add(&mut self, mut problem: Problem) {
        problem.span = problem.file.letters(problem.span);
        let identity = (problem.file.name().to_owned(), problem.span, problem.code, problem.message.clone());
        if self.known.insert(identity) {
            self.found.push(problem);
        } else {
            self.repeated += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// Forgets all but the first so many: those of a part that turned out to be none.
    pub(crate) fn keep_first(&mut self, count: usize) {
        for problem in self.found.drain(count.min(self.found.len())..) {
            self.known.remove(&(problem.file.name().to_owned(), problem.span, problem.code, problem.message));
        }
    }

    /// Whether there are so many that the rest need not be looked for.
    pub(crate) fn are_enough(&self) -> bool {
        self.found.len() >= ENOUGH || self.repeated >= REPEATED
    }

    /// Every problem in the order of the files' texts, equal ones once.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        let rest = self.found.last().filter(|_| self.are_enough()).map(|last| Problem {
            code: "flow::workflow::too_many_problems",
            message: "there are so many problems that the rest was not looked for".to_owned(),
            help: "correct some of them, such as one key that many stages share, and check again".to_owned(),
            ..last.clone()
        });
        self.found.sort_by(|one, other| {
            let key = |problem: &Problem| (problem.file.name().to_owned(), problem.span, problem.code);
            key(one).cmp(&key(other))
        });
        self.found.extend(rest);
        self.found
    }
}
