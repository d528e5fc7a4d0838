//! What a conversation with a fine-tuned model opens with when the caller says nothing: a small file beside the adapter's weights.
//!
//! PEFT ignores files that it does not know, so the folder stays one that other tools load. Training writes the file, the
//! generator reads it, and [`flow_text::generate::ModelCard`] applies it.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{ModelError, weights::write_atomic};

const FILE: &str = "chat_defaults.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChatDefaults {
    /// The system message of every training row.
    system: String,
}

/// Writes the file into an adapter's folder; without a system message there is none.
pub(crate) fn write(folder: &Path, system: Option<&str>) -> Result<(), ModelError> {
    let Some(system) = system else { return Ok(()) };
    let path = folder.join(FILE);
    let defaults = ChatDefaults { system: system.to_owned() };
    let json = serde_json::to_string_pretty(&defaults).map_err(|error| ModelError::format(&path, error.to_string()))?;
    write_atomic(&path, format!("{json}\n").as_bytes())
}

/// Reads the system message of an adapter, if it has one.
pub(crate) fn read(folder: &Path) -> Result<Option<String>, ModelError> {
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|source| ModelError::Read { path: path.clone(), source })?,
    };
    let defaults: ChatDefaults = serde_json::from_str(&text).map_err(|error| ModelError::format(&path, error.to_string()))?;
    Ok(Some(defaults.system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_message_round_trips_and_a_torn_file_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(read(folder.path()).expect("none"), None);
        write(folder.path(), Some("Triage.\nBriefly.")).expect("written");
        assert_eq!(read(folder.path()).expect("read").as_deref(), Some("Triage.\nBriefly."));
        std::fs::write(folder.path().join(FILE), "{\"system\": \"Tri").expect("torn");
        assert!(read(folder.path()).is_err());
    }
}
