//! Accuracy on public sets that lie outside the repository (`FLOW_TEST_DATA`, else `../shared/data`). Without that folder,
//! as on a bare machine, the tests are skipped and say so; a set that the folder lacks is a failure in CI.

mod decontaminate;
mod dedup;
mod language;
mod licence;
mod quality;
mod tagger;

use std::{env, fs, path::PathBuf};

use serde_json::Value;

/// Returns the text of a file of the public sets, or none where it may be missing.
fn data(name: &str) -> Option<String> {
    let root = env::var_os("FLOW_TEST_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")), PathBuf::from);
    let path = root.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            assert!(!root.is_dir() || env::var("CI").as_deref() != Ok("true"), "{}: {error}", path.display());
            eprintln!("skipped: {} is not there", path.display());
            None
        }
    }
}

/// Returns the rows of a JSONL file of the public sets.
fn rows(name: &str) -> Option<Vec<Value>> {
    Some(data(name)?.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().expect("text")
}
