use std::path::Path;

use super::*;
use crate::{
    export::{http::loopback::Loopback, testing},
    run::RunPaths,
};

fn hooks(value: serde_json::Value) -> Hooks {
    serde_json::from_value(value).unwrap()
}

fn project(root: &Path) -> Project {
    let file = root.join("workflow.yaml");
    std::fs::write(&file, "flow: 1\n").unwrap();
    Project::locate(&file, &|name| (name == "HOME").then(|| "/nowhere".to_owned())).unwrap()
}

/// Fires hooks at the end of the run of the tests and gives the journal's words.
fn fired(root: &Path, hooks: &Hooks, outcome: Outcome) -> Vec<(String, String, Option<String>)> {
    let (project, state) = (project(root), testing::replay(|_, _| {}));
    let paths = RunPaths::new(&project.state, state.run);
    std::fs::create_dir_all(paths.directory()).unwrap();
    let ending = Ending { project: &project, paths: &paths, state: &state, outcome, seconds: 4.0 };
    let words = |event| match event {
        Event::HookFired { moment, hook, error } => (moment, hook, error),
        other => panic!("{other:?}"),
    };
    fire(hooks, &ending).into_iter().map(words).collect()
}

#[test]
fn a_webhook_gets_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let server = Loopback::answering(&[503, 200]);
    let hooks = hooks(json!({"success": [{"notify": format!("webhook:{}", server.url("/h"))}]}));
    assert_eq!(fired(folder.path(), &hooks, Outcome::Succeeded)[0].2, None);
    let message = server.requests()[1].json();
    assert_eq!((&message["text"], &message["outcome"]), (&json!("toys succeeded"), &json!("succeeded")));
    assert_eq!(message["stages"][1]["status"], "succeeded");
    assert_eq!(message["stages"][1]["metrics"]["f1"], 0.75);
    assert!(fired(folder.path(), &hooks, Outcome::Failed).is_empty(), "another ending fires nothing");
}

#[test]
fn a_receiver_that_refuses_is_journaled_without_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let server = Loopback::answering(&[403]);
    let hooks = hooks(json!({"failure": [{"notify": format!("webhook:{}", server.url("/h"))}]}));
    let told = fired(folder.path(), &hooks, Outcome::GateFailed);
    assert_eq!((told[0].0.as_str(), told[0].2.as_deref()), ("failure", Some("the receiver answered 403")));
}

#[test]
fn a_command_sees_the_run_and_its_secrets_are_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo $FLOW_OUTCOME $FLOW_WORKFLOW > seen.txt; echo home is $KEY; exit 3";
    let hooks = hooks(json!({
        "finished": [{"run": ["sh", "-c", script], "env": {"KEY": {"secret": "HOME"}}}],
    }));
    let told = fired(folder.path(), &hooks, Outcome::Interrupted);
    assert_eq!(told[0].0, "finished");
    assert!(told[0].2.as_deref().is_some_and(|error| error.contains("exit status: 3")), "{told:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("seen.txt")).unwrap(), "interrupted toys\n");
    let state = testing::replay(|_, _| {});
    let log = RunPaths::new(&folder.path().join(".flow"), state.run).directory().join("hook-1.log");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "home is ***\n");
}

/// Whoever asks for a token in a header shows it in another form.
#[test]
fn a_secret_is_hidden_in_every_form_and_not_cut_in_two() {
    let folder = tempfile::tempdir().unwrap();
    // All but ten of the bytes that are kept, then the value; and the value as a header has it.
    let script = "head -c 65526 /dev/zero | tr '\\0' .; echo \"$KEY\"; printf %s \"$KEY\" | base64 -w0 >&2";
    let hooks = hooks(json!({"finished": [{"run": ["sh", "-c", script], "env": {"KEY": {"secret": "PATH"}}}]}));
    assert_eq!(fired(folder.path(), &hooks, Outcome::Succeeded)[0].2, None);
    let state = testing::replay(|_, _| {});
    let log = RunPaths::new(&folder.path().join(".flow"), state.run).directory().join("hook-1.log");
    let kept = std::fs::read_to_string(log).unwrap();
    let shown = kept.trim_start_matches('.');
    assert!(shown.starts_with("***"), "{}", &shown[..shown.len().min(80)]);
    assert!(shown.len() < 20, "{}", &shown[..80]);
}

/// A service that a hook starts lives on and has the hook's output open.
#[test]
fn a_command_that_leaves_a_service_behind_does_not_hold_the_run_up() {
    let folder = tempfile::tempdir().unwrap();
    let script = "setsid sh -c 'echo $$ > service; exec sleep 60' & until [ -s service ]; do sleep 0.02; done; echo started";
    let hooks = hooks(json!({"finished": [{"run": ["sh", "-c", script]}]}));
    let begun = std::time::Instant::now();
    assert_eq!(fired(folder.path(), &hooks, Outcome::Succeeded)[0].2, None);
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    let service = std::fs::read_to_string(folder.path().join("service")).unwrap();
    std::process::Command::new("kill").arg(service.trim()).status().unwrap();
}

#[test]
fn a_secret_that_is_not_set_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = hooks(json!({"parked": [{"notify": "webhook:${secrets.FLOW_TEST_NO_SUCH_SECRET}"}]}));
    let told = fired(folder.path(), &hooks, Outcome::Parked);
    assert!(told[0].2.as_deref().is_some_and(|error| error.contains("FLOW_TEST_NO_SUCH_SECRET is not set")), "{told:?}");
    assert!(told[0].1.contains("${secrets.FLOW_TEST_NO_SUCH_SECRET}"));
}
