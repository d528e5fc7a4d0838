use std::{fs, thread};

use flow_engine::Digest;

use super::{AliasExpectation, Base, ModelName, ModelRegistry, NewVersion, Reference, RegistryError};

fn adapter(text: &str) -> (tempfile::TempDir, NewVersion) {
    let folder = tempfile::tempdir().expect("temp dir");
    fs::create_dir(folder.path().join("adapter")).expect("folder");
    fs::write(folder.path().join("adapter/adapter_model.safetensors"), text).expect("file");
    let new = NewVersion {
        contents: vec![("adapter".to_owned(), folder.path().join("adapter"))],
        base: Base { uri: "file:base.gguf".to_owned(), blake3: Digest::of(b"base") },
        description: "A test.".to_owned(),
        licence: "Apache-2.0".to_owned(),
        workflow: "test".to_owned(),
        metrics: std::iter::once(("exact_match".to_owned(), 0.5)).collect(),
        lineage: Vec::new(),
    };
    (folder, new)
}

fn registry() -> (tempfile::TempDir, ModelRegistry) {
    let folder = tempfile::tempdir().expect("temp dir");
    let registry = ModelRegistry::open(folder.path()).expect("opens");
    (folder, registry)
}

fn name() -> ModelName {
    "triage".parse().expect("a name")
}

#[test]
fn equal_content_is_the_same_version_and_other_content_the_next() {
    let (_folder, registry) = registry();
    let (_one, first) = adapter("weights one");
    let (_two, second) = adapter("weights two");
    let v1 = registry.push(&name(), first.clone()).expect("pushes");
    let again = registry.push(&name(), first).expect("pushes");
    let v2 = registry.push(&name(), second).expect("pushes");
    assert_eq!((v1.version.version, again.version.version, v2.version.version), (1, 1, 2));
    assert_eq!(registry.list().expect("lists").len(), 2);
}

#[test]
fn a_changed_file_of_a_version_is_named() {
    let (_folder, registry) = registry();
    let (_keep, new) = adapter("weights");
    let pushed = registry.push(&name(), new).expect("pushes");
    assert_eq!(registry.damaged(&pushed).expect("hashes"), Vec::<String>::new());
    let file = pushed.directory.join("adapter/adapter_model.safetensors");
    fs::remove_file(&file).expect("removes");
    fs::write(&file, "weightz").expect("writes");
    assert_eq!(registry.damaged(&pushed).expect("hashes"), ["adapter/adapter_model.safetensors"]);
}

#[test]
fn concurrent_pushes_get_distinct_numbers() {
    let (folder, _registry) = registry();
    let root = folder.path();
    let mut numbers: Vec<u32> = thread::scope(|scope| {
        let pushes: Vec<_> = (0..6)
            .map(|index| {
                scope.spawn(move || {
                    let (_keep, new) = adapter(&format!("weights {index}"));
                    ModelRegistry::open(root).expect("opens").push(&name(), new).expect("pushes").version.version
                })
            })
            .collect();
        pushes.into_iter().map(|push| push.join().expect("no panic")).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn an_alias_moves_only_from_where_it_was_seen() {
    let (_folder, registry) = registry();
    let (_keep, new) = adapter("weights");
    registry.push(&name(), new).expect("pushes");
    let champion = "champion".parse().expect("an alias");
    let key = (&name(), &champion);
    registry.set_alias(key, 1, AliasExpectation::Exactly(None)).expect("fresh");
    let stale = registry.set_alias(key, 1, AliasExpectation::Exactly(None)).expect_err("it exists now");
    assert!(matches!(stale, RegistryError::AliasMoved { .. }), "{stale}");
    let found = registry.resolve(&"triage@champion".parse().expect("a reference")).expect("resolves");
    assert_eq!((found.version.version, found.aliases), (1, vec!["champion".to_owned()]));
}

#[test]
fn unknown_things_are_refused_with_what_there_is() {
    let (_folder, registry) = registry();
    let (_keep, new) = adapter("weights");
    registry.push(&name(), new).expect("pushes");
    let message = |text: &str| {
        let reference: Reference = text.parse().expect("well formed");
        registry.resolve(&reference).expect_err(text).to_string()
    };
    assert_eq!(message("triag"), "no model is called \"triag\"; there are triage");
    assert_eq!(message("triage@9"), "triage has no version 9");
    assert_eq!(message("triage@best"), "triage has no alias \"best\"; there is none yet");
    for bad in ["", ".hidden", "a/b", "a@", "a@b@c", "a@é"] {
        bad.parse::<Reference>().expect_err(bad);
    }
}
