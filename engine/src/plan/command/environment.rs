//! What a command finds in its environment: a few variables with fixed values, and those it declares.

use super::{CommandConfig, work::Room};
use crate::{StageContext, StageError, workflow::EnvironmentValue};

/// The same on every machine, so that a result does not depend on somebody's shell.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where programs are looked up: the declared `PATH`, else the fixed one.
pub(super) fn search_path(config: &CommandConfig) -> &str {
    match config.env.get("PATH") {
        Some(EnvironmentValue::Text(path)) => path,
        Some(EnvironmentValue::Secret(_)) | None => PATH,
    }
}

/// Every variable of the command: fixed ones first, declared ones in their place or after them.
pub(super) fn variables(config: &CommandConfig, cx: &StageContext<'_>, room: &Room) -> Result<Vec<(String, String)>, StageError> {
    let fixed = [
        ("PATH", PATH.to_owned()),
        ("HOME", room.home.to_string_lossy().into_owned()),
        ("TMPDIR", room.temporary.to_string_lossy().into_owned()),
        ("TZ", "UTC".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
    ];
    // What the engine leased for this stage and no other; without a lease there is nothing to tell.
    let cards = std::env::var(crate::run::GPUS).ok().map(|cards| ("CUDA_VISIBLE_DEVICES", cards));
    let mut all: Vec<(String, String)> = fixed
        .into_iter()
        .chain(cards)
        .filter(|(name, _)| !config.env.contains_key(name))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for (name, value) in &config.env {
        let value = match value {
            EnvironmentValue::Text(text) => text.clone(),
            EnvironmentValue::Secret(secret) => cx.secret(secret)?,
        };
        all.push((name.clone(), value));
    }
    Ok(all)
}

/// The secrets of a command by the names of their variables: what it may see, and its log and outputs may not.
pub(super) fn secrets(config: &CommandConfig, cx: &StageContext<'_>) -> Result<Vec<(String, String)>, StageError> {
    let named = config.env.values().filter_map(|value| match value {
        EnvironmentValue::Text(_) => None,
        EnvironmentValue::Secret(secret) => Some(cx.secret(secret).map(|value| (secret.secret.clone(), value))),
    });
    named.collect()
}
