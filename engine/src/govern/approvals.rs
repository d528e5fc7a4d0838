//! Where decisions are filed: one folder for each action key, one file for each key that signed.
//!
//! The folder's name is the action key, so a changed byte looks into another folder. Files are replaced as a whole; two people
//! who decide at once write two files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Envelope, GovernError, PublicKey, tally::Filed};
use crate::{Digest, context::Decision, store::write_atomic};

fn folder(state: &Path) -> PathBuf {
    state.join("approvals")
}

/// What an older `flow` filed under the key itself, unsigned.
#[derive(Deserialize)]
struct Old {
    decision: Decision,
}

/// Every decision about an action.
pub fn find(state: &Path, key: &Digest) -> Result<Vec<Filed>, GovernError> {
    let mut filed = Vec::new();
    if let Some(bytes) = read(&folder(state).join(format!("{key}.json")))? {
        filed.push(match serde_json::from_slice::<Old>(&bytes) {
            Ok(old) => Filed::Unsigned(Box::new(old.decision)),
            Err(error) => Filed::Unreadable(format!("the record of an earlier flow cannot be read: {error}")),
        });
    }
    for path in files(&folder(state).join(key.to_string()))? {
        let Some(bytes) = read(&path)? else { continue };
        filed.push(match serde_json::from_slice::<Envelope>(&bytes) {
            Ok(envelope) => Filed::Signed(Box::new(envelope)),
            Err(error) => Filed::Unreadable(format!("the record cannot be read: {error}")),
        });
    }
    Ok(filed)
}

/// Every signed decision of the project, by action key. Unreadable files are the business of whoever asks about their key.
pub fn all(state: &Path) -> Result<Vec<(Digest, Envelope)>, GovernError> {
    let mut found = Vec::new();
    for key in keys(state) {
        for one in find(state, &key)? {
            if let Filed::Signed(envelope) = one {
                found.push((key, *envelope));
            }
        }
    }
    Ok(found)
}

/// Every action key that something is filed under, sorted.
pub fn keys(state: &Path) -> Vec<Digest> {
    let Ok(entries) = fs::read_dir(folder(state)) else { return Vec::new() };
    let mut keys: Vec<Digest> = entries.filter_map(|entry| entry.ok()?.path().file_stem()?.to_str()?.parse().ok()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Files a decision. An earlier one of the same key about the same action is replaced.
pub(crate) fn file(state: &Path, action: &Digest, envelope: &Envelope, key: &PublicKey) -> Result<(), GovernError> {
    let folder = folder(state).join(action.to_string());
    fs::create_dir_all(&folder).map_err(GovernError::io("create", &folder))?;
    let place = folder.join(format!("{}.json", key.short()));
    let bytes = serde_json::to_vec_pretty(envelope).map_err(|error| GovernError::io("write", &place)(error.into()))?;
    Ok(write_atomic(&bytes, &place)?)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, GovernError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(GovernError::io("read", path)(error)),
    }
}

/// The records in a folder, sorted; half-written ones have another ending.
fn files(folder: &Path) -> Result<Vec<PathBuf>, GovernError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(GovernError::io("list", folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(GovernError::io("list", folder))?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::govern::{SecretKey, testing::vote};

    #[test]
    fn decisions_of_two_people_lie_side_by_side_and_one_s_own_is_replaced() {
        let state = tempfile::tempdir().unwrap();
        let (alice, bob) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let action = Digest::of(b"action");
        assert!(find(state.path(), &action).unwrap().is_empty());
        let sealed = |key: &SecretKey, comment: &str| {
            let vote = crate::govern::Vote { comment: Some(comment.to_owned()), ..vote("x") };
            (vote.seal(key).unwrap(), key.public())
        };
        for (envelope, key) in [sealed(&alice, "first"), sealed(&bob, "b"), sealed(&alice, "second")] {
            file(state.path(), &action, &envelope, &key).unwrap();
        }
        let comments: Vec<Option<String>> = all(state.path())
            .unwrap()
            .iter()
            .map(|(key, envelope)| {
                assert_eq!(*key, action);
                crate::govern::Vote::open(envelope).unwrap().0.comment
            })
            .collect();
        assert_eq!(comments.len(), 2);
        assert!(comments.contains(&Some("second".to_owned())) && !comments.contains(&Some("first".to_owned())));
    }

    #[test]
    fn records_of_an_earlier_flow_are_read_and_damaged_ones_are_told() {
        let state = tempfile::tempdir().unwrap();
        let action = Digest::of(b"action");
        let folder = state.path().join("approvals");
        fs::create_dir_all(folder.join(action.to_string())).unwrap();
        let old = r#"{"format": 1, "key": "x", "stage": "ok", "workflow": "w", "run": "r", "reviewed": [],
            "decision": {"approved": true, "by": "ada", "at": "2026-11-24T09:00:00Z", "comment": null, "via": "command"}}"#;
        fs::write(folder.join(format!("{action}.json")), old).unwrap();
        fs::write(folder.join(action.to_string()).join("x.json"), "{\"payl").unwrap();
        let found = find(state.path(), &action).unwrap();
        assert!(matches!(&found[0], Filed::Unsigned(decision) if decision.by == "ada"));
        assert!(matches!(&found[1], Filed::Unreadable(_)));
        assert_eq!(keys(state.path()), [action]);
    }
}
