//! Every family against transformers: on models and answers that `tests/referees/families.py` made with seed 1, without
//! Python, and on models that it draws anew from `FLOW_REFEREES_SEED` where `FLOW_REFEREES_PYTHON` has the referees.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use flow_model::Family;

mod parity;

fn hold(family: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/families");
    let entries = fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let own = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{family}-")));
    let found: Vec<PathBuf> = entries.filter(own).collect();
    assert!(!found.is_empty(), "no fixture of {family}");
    for folder in found {
        parity::hold(&folder);
    }
}

#[test]
fn llama() {
    hold("llama");
}

#[test]
fn mistral() {
    hold("mistral");
}

#[test]
fn qwen2() {
    hold("qwen2");
}

#[test]
fn qwen3() {
    hold("qwen3");
}

#[test]
fn falcon() {
    hold("falcon");
}

/// Six models of each family that nobody has seen before; the seed is printed, and `FLOW_REFEREES_SEED` repeats it.
#[test]
fn models_drawn_anew() {
    let Some(python) = env::var_os("FLOW_REFEREES_PYTHON") else {
        assert!(env::var_os("CI").is_none_or(|value| value != "true"), "FLOW_REFEREES_PYTHON names no Python");
        eprintln!("skipped: FLOW_REFEREES_PYTHON names no Python with tests/referees/requirements.txt installed");
        return;
    };
    let seed = env::var("FLOW_REFEREES_SEED").unwrap_or_else(|_| (std::process::id() % 100_000).to_string());
    eprintln!("FLOW_REFEREES_SEED={seed}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/referees/families.py");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(&python);
    command.arg("-B").arg(&script).args(["--family", "all", "--seed", &seed]).arg("--out").arg(folder.path());
    let output = command.output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let models: Vec<PathBuf> =
        fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(models.len(), 6 * Family::ALL.len());
    for model in models {
        parity::hold(&model);
    }
}
