//! The end-to-end tests: one binary, because each test binary here links polars and burn.

mod approval;
mod architecture;
mod cache;
mod errors;
mod fixtures;
mod generated;
mod golden;
mod hub;
mod recovery;
mod referees;
mod run;
mod support;
mod trajectory;
mod workflows;

use std::{collections::BTreeSet, fs};

/// A test file that nobody listed would silently not run.
#[test]
fn every_test_file_is_listed() {
    let main = include_str!("main.rs");
    let listed: BTreeSet<&str> = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect();
    let files = fs::read_dir(support::repository().join("tests")).expect("a folder").flatten();
    let names: Vec<String> =
        files.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned)).collect();
    let missing: Vec<&String> = names.iter().filter(|name| *name != "main" && !listed.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "add `mod` lines for {missing:?}");
}
