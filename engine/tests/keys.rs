//! What keys are made of: encodings and digests that are frozen for each format version, and values that must not meet in one key.
//!
//! `keys/format-N.json` holds the vectors of format N. Every stored result is lost when one of them changes, so nothing rewrites
//! a file that exists; a new format gets a new one with `FLOW_BLESS=1`.

#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

#[path = "support/folder.rs"]
mod folder;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use flow_engine::{
    ArtifactKind, Digest,
    canonical::encode,
    plan::{Action, ActionInput, KEY_CONTEXT, Plan, TRAJECTORY_CONTEXT, mixed_seed},
    source::SourceFile,
    store::{Node, NodeEntry},
};
use folder::Folder;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Texts of JSON values; a text keeps `-0.0` and `1.0` apart from what they might be read as.
const VALUES: [&str; 22] = [
    "null",
    "true",
    "false",
    "\"\"",
    "\"a\"",
    "\"\\u00e9\"",
    "\"e\\u0301\"",
    "0",
    "1",
    "-1",
    "23",
    "24",
    "255",
    "256",
    "65536",
    "18446744073709551615",
    "-9223372036854775808",
    "1.0",
    "-0.0",
    "2e-4",
    "[[],{},[1,[\"x\"]]]",
    "{\"b\":1,\"aa\":null,\"a\":{\"z\":[],\"\":0}}",
];

const WORKFLOW: &str = "
flow: 1
name: frozen
seed: 42
stages:
  plain: {uses: toy/emit@1, with: {text: x}}
  joined: {uses: toy/concat@1, in: {parts: [plain.out]}, with: {separator: '-'}}
  numbers: {uses: toy/judge@1, in: {in: plain.out}, with: {metrics: {one: 1, none: -0.0, small: 2e-4}}}
  way: {uses: toy/walk@1, with: {steps: 9, every: 2, start: 3}}
";

/// Everything that is frozen for one format.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Vectors {
    /// Encoding by value.
    encodings: BTreeMap<String, String>,
    /// Pre-image and key by stage of [`WORKFLOW`].
    actions: BTreeMap<String, [String; 2]>,
    /// The trajectory key of the stage that has one.
    trajectory: String,
    /// Digests of folders.
    trees: BTreeMap<String, String>,
    /// Mixed seeds by kind.
    seeds: BTreeMap<String, u64>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn plan(text: &str) -> Plan {
    Folder::new(&[("workflow.yaml", text)]).plan(&[], &[]).unwrap()
}

/// The action of a stage whose inputs hold `abc` and which reads one file `s`.
fn action(plan: &Plan, stage: &str) -> Action {
    let planned = &plan.graph[plan.find(stage).unwrap()];
    let input = |port: &String| ActionInput { port: port.clone(), kind: ArtifactKind::File, digest: Digest::of(b"abc") };
    let inputs = planned.inputs.iter().map(|binding| input(&binding.port)).collect();
    let file = SourceFile { path: "/anywhere/s".into(), name: "s".to_owned(), digest: Digest::of(b"s"), bytes: 1 };
    Action::new(planned, None, inputs, BTreeMap::from([("*".to_owned(), vec![file])]))
}

fn trees() -> BTreeMap<String, Node> {
    let file = |executable| NodeEntry::File { digest: Digest::of(b"abc"), bytes: 3, executable };
    let node = |entries: Vec<(&[u8], NodeEntry)>| Node {
        entries: entries.into_iter().map(|(name, entry)| (name.to_vec(), entry)).collect(),
    };
    let inner = node(vec![(b"x", file(true))]);
    BTreeMap::from([
        ("empty".to_owned(), Node::default()),
        ("file".to_owned(), node(vec![(b"a", file(false))])),
        ("executable".to_owned(), node(vec![(b"a", file(true))])),
        ("link".to_owned(), node(vec![(b"a", NodeEntry::Link { target: b"../b".to_vec() })])),
        ("name of bytes".to_owned(), node(vec![(b"\xff\xfe", file(false))])),
        ("nested".to_owned(), node(vec![(b"d", NodeEntry::Folder { digest: inner.digest() }), (b"a", file(false))])),
    ])
}

fn vectors() -> Vectors {
    let plan = plan(WORKFLOW);
    let encoding = |text: &&str| {
        let value: Value = serde_json::from_str(text).unwrap();
        ((*text).to_owned(), hex(&encode(&value).unwrap()))
    };
    let frozen = |name: &str| {
        let action = action(&plan, name);
        (name.to_owned(), [hex(&action.preimage().unwrap()), action.key().unwrap().to_string()])
    };
    let horizon = plan.graph[plan.find("way").unwrap()].stage.horizon().unwrap();
    Vectors {
        encodings: VALUES.iter().map(encoding).collect(),
        actions: ["plain", "joined", "numbers", "way"].map(frozen).into(),
        trajectory: action(&plan, "way").trajectory(&horizon).unwrap().to_string(),
        trees: trees().into_iter().map(|(name, node)| (name, node.digest().to_string())).collect(),
        seeds: ["toy/emit", "train/sft"].map(|kind| (kind.to_owned(), mixed_seed(42, kind).0)).into(),
    }
}

fn place(format: u64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(format!("format-{format}.json"))
}

#[test]
fn the_vectors_of_this_format_hold() {
    let format = action(&plan(WORKFLOW), "plain").to_json()["format"].as_u64().unwrap();
    let (place, found) = (place(format), vectors());
    if std::env::var_os("FLOW_BLESS").is_some() && !place.exists() {
        fs::write(&place, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
    }
    let frozen: Vectors = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
    assert_eq!(found, frozen, "keys changed: every stored result would be lost; raise the format instead");
}

/// A bridge to other tools: the digest of a blob is the plain hash of its bytes, and that of nothing else is.
#[test]
fn the_same_bytes_under_two_contexts_never_agree() {
    let bytes = encode(&json!({"kind": "toy/emit"})).unwrap();
    let tree = Node::default();
    let digests = [
        Digest::of(&bytes),
        Digest::derive(KEY_CONTEXT, &bytes),
        Digest::derive(TRAJECTORY_CONTEXT, &bytes),
        Digest::of(&tree.encode()),
        tree.digest(),
        Digest::derive(KEY_CONTEXT, &tree.encode()),
    ];
    assert_eq!(BTreeSet::from(digests).len(), digests.len());
    assert_eq!(Digest::of(b"abc").to_string(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
}

/// A file that holds the bytes of a folder's node lies under another digest than the folder.
#[test]
fn a_file_can_never_pass_for_a_folder() {
    for (name, node) in trees() {
        let bytes = node.encode();
        assert_ne!(Digest::of(&bytes), node.digest(), "{name}");
        assert_eq!(Node::decode(&bytes), Some(node), "{name}");
    }
}

#[test]
fn every_context_is_named_once() {
    let mut contexts = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            contexts.extend(text.split("\"flow.dev ").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    assert!(contexts.len() >= 5, "{contexts:?}");
    assert_eq!(contexts.iter().collect::<BTreeSet<_>>().len(), contexts.len(), "{contexts:?}");
}

/// The key of a stage with some options, and nothing around it.
fn key_of(with: &str) -> Digest {
    let text =
        format!("flow: 1\nstages:\n  a: {{uses: toy/judge@1, in: {{in: b.out}}, with: {with}}}\n  b: {{uses: toy/emit@1}}\n");
    action(&plan(&text), "a").key().unwrap()
}

#[test]
fn spellings_of_one_number_are_one_key() {
    let one = key_of("{metrics: {lr: 0.0002, n: 1, z: 0}}");
    for same in ["{metrics: {z: 0.0, n: 1.0, lr: 2e-4}}", "{metrics: {lr: 2.0E-4, n: 1, z: -0.0}}"] {
        assert_eq!(key_of(same), one, "{same}");
    }
    assert_ne!(key_of("{metrics: {lr: 0.0002, n: 1, z: 1}}"), one);
}

#[test]
fn nothing_null_and_empty_are_three_values_and_two_only_where_the_default_is_null() {
    let key =
        |with: &str| action(&plan(&format!("flow: 1\nstages:\n  a: {{uses: toy/emit@1, with: {with}}}\n")), "a").key().unwrap();
    assert_eq!(key("{text: x}"), key("{text: x, files: null}"), "a default is filled in before it is hashed");
    assert_ne!(key("{text: x}"), key("{text: x, files: ''}"));
    let command = |env: &str| {
        let text =
            format!("flow: 1\nstages:\n  a: {{uses: cmd@1, run: [touch, '${{out.o}}'], env: {env}, out: {{o: {{path: o}}}}}}\n");
        action(&plan(&text), "a").key().unwrap()
    };
    assert_ne!(command("{}"), command("{A: ''}"), "an empty variable is not an absent one");
}

/// An argument swap must miss: order is data.
#[test]
fn swapped_arguments_and_swapped_ports_are_other_keys() {
    let command = |run: &str| {
        let text = format!("flow: 1\nstages:\n  a: {{uses: cmd@1, run: {run}, out: {{o: {{path: o}}}}}}\n");
        action(&plan(&text), "a").key().unwrap()
    };
    assert_ne!(command("[t, --lr, '1', --wd, '2', '${out.o}']"), command("[t, --lr, '2', --wd, '1', '${out.o}']"));
    let ports = |one: &str, other: &str| {
        let text = format!(
            "flow: 1\nstages:\n  x: {{uses: toy/emit@1, with: {{text: x}}}}\n  y: {{uses: toy/emit@1, with: {{text: y}}}}\n  \
             a: {{uses: cmd@1, in: {{a: {one}, b: {other}}}, run: [cat, '${{in.a}}', '${{in.b}}', '${{out.o}}'], out: {{o: {{path: o}}}}}}\n"
        );
        let plan = plan(&text);
        let planned = &plan.graph[plan.find("a").unwrap()];
        let digest = |name: &str| Digest::of(plan.graph[plan.find(name).unwrap()].name.as_bytes());
        let inputs = planned.inputs.iter().map(|binding| ActionInput {
            port: binding.port.clone(),
            kind: ArtifactKind::File,
            digest: digest(&plan.graph[binding.from[0].0].name),
        });
        Action::new(planned, None, inputs.collect(), BTreeMap::new()).key().unwrap()
    };
    assert_ne!(ports("x.out", "y.out"), ports("y.out", "x.out"));
}

proptest! {
    /// Framing: no two lists of arguments meet in one encoding, wherever their words end.
    #[test]
    fn different_lists_of_words_have_different_bytes(
        one in prop::collection::vec("[ab,\\[\\]\"]{0,4}", 0..5),
        other in prop::collection::vec("[ab,\\[\\]\"]{0,4}", 0..5),
    ) {
        let bytes = |words: &Vec<String>| encode(&json!(words)).unwrap();
        prop_assert_eq!(one == other, bytes(&one) == bytes(&other));
    }

    /// An option of the horizon never shows in the trajectory key, any other always does.
    #[test]
    fn only_the_way_is_in_a_trajectory_key(steps in 1_u64..9, every in 1_u64..9, start in 0_u64..3, seed in 0_u64..3) {
        let way = |steps: u64, every: u64, start: u64, seed: u64| {
            let text = format!(
                "flow: 1\nseed: {seed}\nstages:\n  a: {{uses: toy/walk@1, with: {{steps: {steps}, every: {every}, start: {start}}}}}\n"
            );
            let plan = plan(&text);
            let horizon = plan.graph[plan.find("a").unwrap()].stage.horizon().unwrap();
            (action(&plan, "a").trajectory(&horizon).unwrap(), action(&plan, "a").key().unwrap())
        };
        let (trajectory, key) = way(5, 2, 1, 1);
        let (other, other_key) = way(steps, every, start, seed);
        prop_assert_eq!((start, seed) == (1, 1), trajectory == other);
        prop_assert_eq!((steps, every, start, seed) == (5, 2, 1, 1), key == other_key);
    }
}
