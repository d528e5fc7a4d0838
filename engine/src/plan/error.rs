//! Every problem of one workflow, as one error.

use std::fmt;

use miette::Diagnostic;
use serde::Serialize;

use crate::workflow::Problem;

/// Every problem that keeps a workflow from running, in the order of the text. Never empty.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct PlanErrors {
    problems: Vec<Problem>,
}

impl PlanErrors {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The problems themselves, in the order of the text.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The problems in the order of the text.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.problems.first().map_or("workflow", |problem| problem.file_name());
        match self.problems.len() {
            1 => write!(f, "{file} has a problem"),
            count => write!(f, "{file} has {count} problems"),
        }
    }
}

impl std::error::Error for PlanErrors {}

impl Diagnostic for PlanErrors {
    fn code(&self) -> Option<Box<dyn fmt::Display + '_>> {
        Some(Box::new("flow::plan::invalid"))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}
