//! A run leaves the machine and is still what it was: capsules, research objects, provenance.

#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use flow_engine::{
    export::{
        Account,
        capsule::{CapsuleError, Packed, Pinned, RerunOutcome, check, pack, rerun, unpack},
        lay_out, statements,
    },
    govern::{AuditLog, Happening},
    run::{Event, Outcome},
    store::Store,
};
use serde_json::{Value, json};
use support::{Lab, Witness, registry};

#[test]
fn role() {
    support::play_role();
}

/// A run of built-in stages and a command, with sources and a folder among its outputs.
fn finished() -> Lab {
    let lab = Lab::new();
    fs::create_dir(lab.root.join("data")).unwrap();
    fs::write(lab.root.join("data/a.txt"), "alpha ".repeat(2000)).unwrap();
    fs::write(lab.root.join("tool.sh"), "mkdir $2; cp $1 $2/copy; ln -s copy $2/link; echo done > $2/note\n").unwrap();
    let summary = lab.run(&json!({
        "read": {"uses": "toy/emit@1", "with": {"text": "x", "files": "data/*.txt"}},
        "word": {"uses": "toy/emit@1", "with": {"text": "word"}},
        "both": {"uses": "toy/concat@1", "in": {"parts": ["read.out", "word.out"]}},
        "tool": {
            "uses": "cmd@1",
            "in": {"text": "both.out"},
            "code": ["tool.sh"],
            "run": ["sh", "tool.sh", "${in.text}", "${out.folder}"],
            "out": {"folder": {"path": "folder", "kind": "dir"}},
        },
        "never": {"uses": "toy/emit@1", "if": "false"},
    }));
    assert_eq!(summary.outcome, Outcome::Succeeded, "{summary:?}");
    lab
}

fn account(lab: &Lab) -> Account {
    Account::of(&lab.project(), lab.latest()).unwrap()
}

fn packed(lab: &Lab, name: &str) -> Packed {
    pack(&account(lab), (&lab.project(), &registry()), Pinned::LeftOut, &lab.root.join(name)).unwrap()
}

fn unpacked(file: &Path) -> (tempfile::TempDir, Result<flow_engine::export::capsule::Unpacked, CapsuleError>) {
    let folder = tempfile::tempdir().unwrap();
    let found = unpack(file, &folder.path().join("capsule"));
    (folder, found)
}

#[test]
fn a_capsule_is_the_same_file_each_time_and_holds() {
    let lab = finished();
    let (one, other) = (packed(&lab, "one.tar.zst"), packed(&lab, "other.tar.zst"));
    assert_eq!(one.digest, other.digest);
    assert_eq!(fs::read(&one.file).unwrap(), fs::read(&other.file).unwrap());
    assert!(one.left_out.is_empty(), "{:?}", one.left_out);
    let again = pack(&account(&lab), (&lab.project(), &registry()), Pinned::LeftOut, &one.file);
    assert!(matches!(again, Err(CapsuleError::Exists { .. })));

    // Nothing of the project or the store is needed.
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("run.tar.zst");
    fs::copy(&one.file, &file).unwrap();
    drop(lab);
    let (_folder, found) = unpacked(&file);
    let checked = check(&found.unwrap()).unwrap();
    let keys: Vec<bool> = checked.stages.iter().map(|stage| stage.key.is_some() && stage.preimage.is_some()).collect();
    assert_eq!(keys, [true, true, true, true, false]);
}

#[test]
fn other_programs_can_open_a_capsule() {
    let lab = finished();
    let capsule = packed(&lab, "run.tar.zst");
    let names = archive(&capsule.file).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    for name in ["capsule.json", "run/journal.jsonl", "workflow.yaml", "ro-crate-metadata.json"] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
}

/// The files of a capsule, read without our reader.
fn archive(file: &Path) -> Vec<(String, Vec<u8>)> {
    let decoder = zstd::Decoder::new(fs::File::open(file).unwrap()).unwrap();
    let mut archive = tar::Archive::new(decoder);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

#[test]
fn a_flipped_bit_anywhere_is_caught_and_named() {
    let lab = finished();
    let capsule = packed(&lab, "run.tar.zst");
    let whole = fs::read(&capsule.file).unwrap();
    let broken = lab.root.join("broken.tar.zst");
    // Every region of the file: its first bytes, its last, and many between.
    let step = (whole.len() / 60).max(1);
    let places = (0..8).chain((8..whole.len()).step_by(step)).chain(whole.len() - 40..whole.len());
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&broken, bytes).unwrap();
        let (_folder, found) = unpacked(&broken);
        match found {
            Err(CapsuleError::Damaged { findings, .. }) => assert!(!findings.is_empty(), "byte {at}"),
            Err(CapsuleError::Foreign { .. }) => {}
            other => panic!("byte {at} of {}: {other:?}", whole.len()),
        }
    }
    fs::write(&broken, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(unpacked(&broken).1, Err(CapsuleError::Foreign { .. })));
}

/// Packs other files under the seal of a capsule, as somebody would who changes what it says.
fn forged(lab: &Lab, change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> PathBuf {
    let capsule = packed(lab, &format!("honest-{}.tar.zst", fs::read_dir(&lab.root).unwrap().count()));
    let files: Vec<(String, Vec<u8>)> =
        archive(&capsule.file).into_iter().map(|(name, bytes)| (name.clone(), change(&name, bytes))).collect();
    let mut manifest: Value = serde_json::from_slice(&files[0].1).unwrap();
    for (name, bytes) in &files[1..] {
        manifest["files"][name] = json!({"blake3": flow_engine::Digest::of(bytes), "bytes": bytes.len()});
    }
    let mut builder = tar::Builder::new(zstd::Encoder::new(Vec::new(), 3).unwrap());
    for (index, (name, bytes)) in files.iter().enumerate() {
        let described = serde_json::to_vec(&manifest).unwrap();
        let bytes = if index == 0 { &described } else { bytes };
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    let mut sealed = builder.into_inner().unwrap().finish().unwrap();
    let digest = flow_engine::Digest::of(&sealed);
    sealed.extend(0x184D_2A50_u32.to_le_bytes());
    sealed.extend(32_u32.to_le_bytes());
    sealed.extend(digest.as_bytes());
    let file = lab.root.join(format!("forged-{}.tar.zst", digest.short()));
    fs::write(&file, sealed).unwrap();
    file
}

#[test]
fn a_forger_who_seals_anew_is_refuted_by_the_keys() {
    let lab = finished();
    let refuted = |file: &Path| {
        let (_folder, found) = unpacked(file);
        match check(&found.unwrap()) {
            Err(CapsuleError::Refuted { findings }) => findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            other => panic!("{other:?}"),
        }
    };
    let honest = forged(&lab, |_, bytes| bytes);
    check(&unpacked(&honest).1.unwrap()).unwrap();
    let other_params = forged(&lab, |name, bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if name.starts_with("act/") { text.replace("\"word\"", "\"sword\"").into_bytes() } else { bytes }
    });
    let told = refuted(&other_params);
    assert!(told.contains("word: its key is") && told.contains("its pre-image gives"), "{told}");
    let other_result =
        forged(&lab, |name, bytes| if name.starts_with("cas/") && bytes == b"word" { b"bird".to_vec() } else { bytes });
    let told = refuted(&other_result);
    assert!(told.contains("word.out: cas/") && told.contains("holds"), "{told}");
    let other_source = forged(&lab, |name, bytes| if name.starts_with("src/") { b"other".to_vec() } else { bytes });
    assert!(refuted(&other_source).contains("src/"));
}

#[test]
fn the_work_of_a_capsule_can_be_done_again() {
    let lab = finished();
    let (folder, found) = unpacked(&packed(&lab, "run.tar.zst").file);
    let found = found.unwrap();
    let checked = check(&found).unwrap();
    let again = rerun(&found, &checked, &registry(), &folder.path().join("again")).unwrap();
    let outcomes: Vec<(&str, &RerunOutcome)> = again.iter().map(|rerun| (rerun.stage.as_str(), &rerun.outcome)).collect();
    let equal = RerunOutcome::Equal;
    assert_eq!(outcomes, [("read", &equal), ("word", &equal), ("both", &equal), ("tool", &equal)]);
}

#[test]
fn a_crate_holds_what_it_describes() {
    let lab = finished();
    let folder = lab.root.join("crate");
    let place = lay_out(&account(&lab), &Store::open(&lab.store).unwrap(), &folder).unwrap();
    let document: Value = serde_json::from_slice(&fs::read(place).unwrap()).unwrap();
    let entities = document["@graph"].as_array().unwrap();
    let root = entities.iter().find(|entity| entity["@id"] == "./").unwrap();
    let parts: Vec<&str> = root["hasPart"].as_array().unwrap().iter().map(|part| part["@id"].as_str().unwrap()).collect();
    let inside: Vec<&&str> = parts.iter().filter(|part| !part.starts_with("urn:")).collect();
    assert!(inside.contains(&&"workflow.yaml") && inside.contains(&&"outputs/tool/folder/"), "{parts:?}");
    for part in inside {
        assert!(folder.join(part).exists(), "{part}");
    }
    assert_eq!(fs::read_to_string(folder.join("outputs/tool/folder/note")).unwrap(), "done\n");
}

#[test]
fn every_result_has_a_statement_that_names_what_it_was_made_from() {
    let lab = finished();
    let statements = statements(&account(&lab));
    let of = |stage: &str| {
        statements.iter().find(|s| s["subject"][0]["name"].as_str().unwrap().starts_with(&format!("{stage}."))).unwrap()
    };
    assert_eq!(statements.len(), 4);
    let both = &of("both")["predicate"]["buildDefinition"]["resolvedDependencies"];
    assert_eq!((&both[0]["name"], &both[1]["name"]), (&json!("read.out"), &json!("word.out")));
    assert_eq!(both[1]["digest"], of("word")["subject"][0]["digest"]);
    assert_eq!(of("read")["predicate"]["buildDefinition"]["resolvedDependencies"][0]["uri"], "data/*.txt");
}

#[test]
fn hooks_are_fired_before_the_run_is_over_and_cannot_spoil_it() {
    let lab = Lab::new();
    let workflow = json!({
        "flow": 1,
        "name": "hooked",
        "stages": {"word": {"uses": "toy/emit@1", "with": {"text": "word"}}},
        "hooks": {
            "success": [
                {"run": ["sh", "-c", "echo $FLOW_OUTCOME of $FLOW_WORKFLOW > ended.txt"], "env": {"SEARCH": "${secrets.PATH}"}},
                {"run": ["no-such-program-here"], "env": {"KEY": "${secrets.FLOW_NO_SUCH_SECRET}"}},
            ],
            "failure": [{"run": ["sh", "-c", "echo no > failed.txt"]}],
        },
    });
    fs::write(lab.root.join("workflow.yaml"), workflow.to_string()).unwrap();
    let witness = Witness::default();
    let summary = lab.watch(&lab.start(None), |_| {}, &witness).unwrap();
    assert_eq!(summary.outcome, Outcome::Succeeded);
    assert_eq!(fs::read_to_string(lab.root.join("ended.txt")).unwrap(), "succeeded of hooked\n");
    assert!(!lab.root.join("failed.txt").exists());
    let events = witness.events();
    let [.., Event::HookFired { error: None, .. }, Event::HookFired { error: Some(error), .. }, Event::RunFinished { .. }] =
        events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert!(error.contains("secret FLOW_NO_SUCH_SECRET is not set"), "{error}");
    // The audit log says by name which secret a hook was given; one that is not set was given to nobody.
    let records = AuditLog::of(&lab.project()).records().unwrap();
    let used = records.iter().filter_map(|record| match &record.event {
        Happening::SecretUsed { stage, secret, .. } => Some((stage.as_str(), secret.as_str())),
        _ => None,
    });
    assert_eq!(used.collect::<Vec<_>>(), [("hooks.success", "PATH")]);
    let log = fs::read_to_string(lab.root.join(".flow/audit.jsonl")).unwrap();
    assert!(!log.contains(&std::env::var("PATH").unwrap()));
    // The journal reads as a whole again, hooks included.
    assert_eq!(account(&lab).state.outcome, Some(Outcome::Succeeded));
}
