use std::{fs, process::Command};

use super::*;

/// A repository and a project in a temporary folder.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("kit/parts")).unwrap();
        fs::create_dir_all(folder.path().join("project")).unwrap();
        let bench = Self { folder };
        bench.git(&["init", "--quiet", "--initial-branch", "main"]);
        bench.commit("parts/a.yaml", "flow: 1\n", Some("v1"));
        bench
    }

    fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
        let kit = self.folder.path().join("kit");
        let output = Command::new("git").arg("-C").arg(kit).args(identity).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, file: &str, text: &str, tag: Option<&str>) -> String {
        fs::write(self.folder.path().join("kit").join(file), text).unwrap();
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "-m", file]);
        if let Some(tag) = tag {
            self.git(&["tag", "--force", "--annotate", "-m", tag, tag]);
        }
        self.git(&["rev-parse", "HEAD"])
    }

    fn project(&self, store: &str) -> Project {
        let file = self.folder.path().join("project/workflow.yaml");
        fs::write(&file, "flow: 1\n").unwrap();
        let store = self.folder.path().join(store).to_str().unwrap().to_owned();
        let environment = |name: &str| match name {
            "FLOW_STORE" => Some(store.clone()),
            "HOME" => Some("/nowhere".to_owned()),
            _ => None,
        };
        Project::locate(&file, &environment).unwrap()
    }

    fn uses(&self, tail: &str) -> String {
        format!("git:file://{}/kit//{tail}", self.folder.path().display())
    }

    fn locate(&self, store: &str, tail: &str) -> Result<PathBuf, ComponentError> {
        Components::new(&self.project(store)).locate(&self.uses(tail))
    }

    fn pins(&self) -> Vec<ComponentPin> {
        LockFile::read(&self.project("store").lock_file).unwrap().components.into_values().collect()
    }
}

#[test]
fn a_component_is_pinned_once_and_then_needs_no_repository() {
    let bench = Bench::new();
    let file = bench.locate("store", "parts/a@v1").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "flow: 1\n");
    assert_eq!(bench.pins()[0].commit, bench.git(&["rev-parse", "HEAD"]));
    fs::rename(bench.folder.path().join("kit"), bench.folder.path().join("gone")).unwrap();
    assert_eq!(bench.locate("store", "parts/a.yaml@v1").unwrap(), file);
    let error = bench.locate("store", "parts/b@v1").unwrap_err();
    assert!(matches!(error, ComponentError::NoFile { .. }), "{error}");
}

#[test]
fn a_tag_that_moved_is_told_with_both_commits() {
    let bench = Bench::new();
    bench.locate("store", "parts/a@v1").unwrap();
    let old = bench.pins()[0].commit.clone();
    let new = bench.commit("parts/a.yaml", "flow: 1\nname: other\n", Some("v1"));
    // What is here is used as it was pinned.
    bench.locate("store", "parts/a@v1").unwrap();
    let error = bench.locate("another", "parts/a@v1").unwrap_err().to_string();
    assert!(error.contains(&old) && error.contains(&new), "{error}");
    assert_eq!(bench.pins()[0].commit, old);
}

#[test]
fn an_update_moves_pins_and_says_what_changed() {
    let bench = Bench::new();
    bench.locate("store", "parts/a@v1").unwrap();
    let project = bench.project("store");
    assert!(matches!(update(&project, &[]).unwrap().as_slice(), [Update::Unchanged { .. }]));
    bench.commit("parts/b.yaml", "flow: 1\n", None);
    let new = bench.commit("parts/a.yaml", "flow: 1\nname: other\n", Some("v1"));
    let updates = update(&project, &["kit".to_owned()]).unwrap();
    let [Update::Moved(moved)] = updates.as_slice() else { panic!("{updates:?}") };
    assert_eq!(moved.to, new);
    let expected = Replaced { added: vec!["parts/b.yaml".into()], removed: vec![], changed: vec!["parts/a.yaml".into()] };
    assert_eq!(moved.files, Some(expected));
    assert_eq!(bench.pins()[0].commit, new);
    assert!(fs::read_to_string(bench.locate("store", "parts/a@v1").unwrap()).unwrap().contains("other"));
    assert!(matches!(update(&project, &["nothing".to_owned()]), Err(ComponentError::UnknownPin { .. })));
}

#[test]
fn a_branch_stays_where_it_was_pinned() {
    let bench = Bench::new();
    bench.locate("store", "parts/a@main").unwrap();
    let old = bench.pins()[0].commit.clone();
    bench.commit("parts/a.yaml", "flow: 1\nname: other\n", None);
    let file = bench.locate("another", "parts/a@main").unwrap();
    assert_eq!(fs::read_to_string(file).unwrap(), "flow: 1\n");
    assert_eq!(bench.pins()[0].commit, old);
}

#[test]
fn a_changed_checkout_is_fetched_again() {
    let bench = Bench::new();
    let file = bench.locate("store", "parts/a@v1").unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, "flow: 2\n").unwrap();
    assert_eq!(fs::read_to_string(bench.locate("store", "parts/a@v1").unwrap()).unwrap(), "flow: 1\n");
}

#[test]
fn unknown_tags_and_repositories_are_told() {
    let bench = Bench::new();
    let error = bench.locate("store", "parts/a@v9").unwrap_err();
    assert!(matches!(error, ComponentError::NoRevision { .. }), "{error}");
    let error = Components::new(&bench.project("store")).locate("git:file:///nowhere/kit//a@v1").unwrap_err();
    assert!(matches!(&error, ComponentError::Git { .. }) && error.to_string().contains("/nowhere/kit"), "{error}");
    assert!(bench.pins().is_empty());
}
