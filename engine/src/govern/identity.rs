//! A project's name for itself: made once, kept beside its runs. Moving the folder keeps it; a copy of the workflow has another.

use std::{fs, io, path::Path};

use super::GovernError;
use crate::store::publish;

const FILE: &str = "project";

/// The identity of a project, made on first use.
pub fn of(state: &Path) -> Result<String, GovernError> {
    if let Some(known) = known(state)? {
        return Ok(known);
    }
    let made = ulid::Ulid::new();
    // Two runs at once agree on the one that was first.
    publish(format!("{made}\n").as_bytes(), &state.join(FILE), &state.join(format!("{FILE}.{made}.tmp")))?;
    Ok(known(state)?.unwrap_or_else(|| made.to_string()))
}

/// The identity of a project, if it has one yet.
pub fn known(state: &Path) -> Result<Option<String>, GovernError> {
    let path = state.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|name| !name.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(GovernError::io("read", &path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_keeps_its_identity_and_no_two_have_the_same() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(known(one.path()).unwrap(), None);
        let first = of(one.path()).unwrap();
        assert_eq!(of(one.path()).unwrap(), first);
        assert_ne!(of(other.path()).unwrap(), first);
    }
}
