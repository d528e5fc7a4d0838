//! The same work has the same keys wherever, whenever, and under whatever names it is asked for.

#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

mod support;

use std::collections::BTreeMap;

use flow_engine::{
    Digest,
    run::{History, RunState},
};
use support::{Lab, cached, ran};

#[test]
fn role() {
    support::play_role();
}

/// A workflow with files, a command with code, instances, a component, and every kind of edge. `{…}` are the names of stages.
const WORKFLOW: &str = "
flow: 1
name: {NAME}
seed: 3
params: {langs: {type: list, default: [fr, en]}}
stages:
  {SOURCE}: {uses: toy/emit@1, with: {files: 'data/*.txt', text: 'Straße İI '}}
  {EACH}:
    foreach: {lang: '${params.langs}'}
    uses: toy/emit@1
    with: {text: '${each.lang}'}
  {JOIN}: {uses: toy/concat@1, in: {parts: [{SOURCE}.out, '{EACH}@*.out']}}
  {SORT}:
    uses: cmd@1
    in: {text: {JOIN}.out}
    code: [tools/sort.sh]
    env: {MODE: plain}
    run: [sh, tools/sort.sh, '${in.text}', '${out.sorted}']
    out: {sorted: {path: sorted.txt}}
  {MARK}: {uses: ./parts/mark.yaml, in: {text: {SORT}.sorted}, with: {mark: '!'}}
  {JUDGE}: {uses: toy/judge@1, in: {in: {MARK}.out}, with: {metrics: {f1: 0.5}}, needs: [{SOURCE}], gate: metrics.f1 > 0.1}
";

const MARK: &str = "
flow: 1
params: {mark: {type: string}}
inputs: {text: {kind: file}}
outputs: {out: {from: both.out, kind: file}}
stages:
  sign: {uses: toy/emit@1, with: {text: '${params.mark}'}}
  both: {uses: toy/concat@1, in: {parts: [inputs.text, sign.out]}}
";

const NAMES: [&str; 7] = ["NAME", "SOURCE", "EACH", "JOIN", "SORT", "MARK", "JUDGE"];

/// Writes the workflow with these names for its stages.
fn write(lab: &Lab, names: [&str; 7]) {
    let mut text = WORKFLOW.to_owned();
    for (place, name) in NAMES.iter().zip(names) {
        text = text.replace(&format!("{{{place}}}"), name);
    }
    let files = [
        ("workflow.yaml", text.as_str()),
        ("parts/mark.yaml", MARK),
        ("data/b.txt", "b\n"),
        ("data/a.txt", "a\n"),
        ("tools/sort.sh", "sort \"$1\" > \"$2\"\n"),
    ];
    for (name, text) in files {
        let path = lab.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn latest(lab: &Lab) -> RunState {
    History::of(&lab.project()).load(lab.latest()).unwrap()
}

/// The key of every stage, by its name with the first names put back.
fn keys(state: &RunState, names: [&str; 7]) -> BTreeMap<String, Digest> {
    let plain = |name: &str| {
        let split = name.find(['@', '/']).unwrap_or(name.len());
        let (base, rest) = name.split_at(split);
        let place = names.iter().position(|known| *known == base).unwrap();
        format!("{}{rest}", NAMES[place])
    };
    state.stages.iter().map(|stage| (plain(&stage.name), stage.key.unwrap())).collect()
}

const FIRST: [&str; 7] = ["first", "source", "each", "join", "sort", "mark", "judge"];
const OTHER: [&str; 7] = ["other", "z1", "y2", "x3", "w4", "v5", "u6"];

#[test]
fn another_folder_place_zone_locale_and_name_hit_every_result() {
    let lab = Lab::new();
    write(&lab, FIRST);
    assert!(lab.engine(None, &[("TZ", "UTC"), ("LC_ALL", "C"), ("RAYON_NUM_THREADS", "2")]).wait().unwrap().success());
    let before = latest(&lab);
    assert_eq!(before.stages.len(), 8);
    let elsewhere = lab.beside();
    write(&elsewhere, OTHER);
    for (at, environment) in [
        [("TZ", "Pacific/Kiritimati"), ("LC_ALL", "tr_TR.UTF-8"), ("RAYON_NUM_THREADS", "1"), ("HOME", "/nonexistent")],
        [("TZ", "America/St_Johns"), ("LANG", "de_DE.ISO-8859-1"), ("RAYON_NUM_THREADS", "8"), ("USER", "somebody")],
    ]
    .iter()
    .enumerate()
    {
        let folder = if at == 0 { elsewhere.root.join("data") } else { std::env::temp_dir() };
        assert!(elsewhere.engine_in(&folder, None, environment).wait().unwrap().success());
        let after = latest(&elsewhere);
        assert_eq!(keys(&after, OTHER), keys(&before, FIRST), "{environment:?}");
        assert!(after.stages.iter().all(|stage| stage.attempts == 0), "{:?}", after.stages);
    }
}

/// The kernel's own answer to "who am I" is another one, as on another person's account.
#[test]
fn another_user_hits_every_result() {
    let lab = Lab::new();
    write(&lab, FIRST);
    assert!(lab.engine(None, &[]).wait().unwrap().success());
    let before = latest(&lab);
    let elsewhere = lab.beside();
    write(&elsewhere, OTHER);
    let script = "test \"$(id -u)\" = 4321 || exit 99; \"$EXE\" --exact role --nocapture -- engine \"$ROOT\" \"$STORE\" new; echo ended=$?";
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-user=4321", "--map-group=4321", "sh", "-c", script])
        .env("EXE", std::env::current_exe().unwrap())
        .envs([("ROOT", elsewhere.root.as_os_str()), ("STORE", lab.store.as_os_str())])
        .env("USER", "somebody")
        .output();
    let told = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if !told.contains("ended=") {
        eprintln!("skipped: nobody else can be here");
        return;
    }
    assert!(told.contains("ended=0"), "{told}");
    let after = latest(&elsewhere);
    assert_eq!(keys(&after, OTHER), keys(&before, FIRST));
    assert!(after.stages.iter().all(|stage| stage.attempts == 0), "{:?}", after.stages);
}

#[test]
fn comments_order_and_settings_that_only_say_how_to_run_hit_every_result() {
    let lab = Lab::new();
    write(&lab, FIRST);
    assert!(lab.engine(None, &[]).wait().unwrap().success());
    let text = std::fs::read_to_string(lab.root.join("workflow.yaml")).unwrap();
    let (head, stages) = text.split_once("stages:\n").unwrap();
    let changed =
        format!("# A comment.\nstages:\n{stages}defaults: {{timeout: 9h, retry: {{infra: 7}}}}\ndescription: Otherwise.\n{head}");
    std::fs::write(lab.root.join("workflow.yaml"), changed).unwrap();
    std::fs::write(lab.root.join("flow.toml"), "[machine]\ncpus = 1\n").unwrap();
    let summary = lab.execute(&lab.start(None), |_| {}).unwrap();
    assert!(summary.stages.iter().all(|stage| cached(&summary, &stage.state.name)), "{summary:?}");
    // The one thing that does count counts.
    std::fs::write(lab.root.join("data/a.txt"), "c\n").unwrap();
    let summary = lab.execute(&lab.start(None), |_| {}).unwrap();
    assert!(ran(&summary, "source") && ran(&summary, "join") && cached(&summary, "each@fr"));
}
