//! The error a stage returns. It is a value in the journal, so it is serializable and holds no live source.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

/// Who has to act on a failed stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageErrorKind {
    /// The inputs or the configuration are wrong; a retry gives the same error.
    Input,
    /// Disk, memory, network, or a device; a retry may help.
    Resource,
    /// The stage was asked to stop and left a state it can go on from.
    Cancelled,
    /// A decision is missing; the run parks until somebody takes it.
    Parked,
    /// A fault of ours.
    Internal,
}

/// Why a stage could not give its outputs. The engine adds the stage's name and the attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageError {
    /// Who has to act.
    pub kind: StageErrorKind,
    /// What failed and on which object: lower case, no period.
    pub message: String,
    /// What the reader can do next.
    pub help: Option<String>,
    /// The chain of causes, outermost first.
    pub causes: Vec<String>,
}

impl StageError {
    /// An error in what the user gave.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(StageErrorKind::Input, message)
    }

    /// A shortage or fault of the machine.
    pub fn resource(message: impl Into<String>) -> Self {
        Self::new(StageErrorKind::Resource, message)
    }

    /// A fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StageErrorKind::Internal, message)
    }

    /// The stage stopped because it was asked to.
    pub fn cancelled() -> Self {
        Self::new(StageErrorKind::Cancelled, "stopped on request")
    }

    /// Creates an error of the given kind.
    pub fn new(kind: StageErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, causes: Vec::new() }
    }

    /// Adds what the reader can do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Records a cause and the causes behind it. One that only repeats the words before it is left out.
    #[must_use]
    pub fn because(mut self, cause: &(dyn Error + 'static)) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            let words = error.to_string();
            if self.causes.last() != Some(&words) {
                self.causes.push(words);
            }
            next = error.source();
        }
        self
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl Error for StageError {}

impl From<std::io::Error> for StageError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::resource("the disk is full")
                .help("free space, with `flow gc` for the store, or move the store with FLOW_STORE=FOLDER")
                .because(&error),
            _ => Self::resource("input or output failed").because(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error whose words are those of its cause, as wrappers of `io::Error` often are.
    #[derive(Debug, thiserror::Error)]
    #[error("file too large")]
    struct Wrapper(#[source] std::io::Error);

    #[test]
    fn a_cause_that_repeats_the_words_before_it_is_told_once() {
        let wrapped = Wrapper(std::io::Error::other("file too large"));
        let error = StageError::resource("cannot write a batch").because(&wrapped);
        assert_eq!(error.to_string(), "cannot write a batch: file too large");
    }
}
