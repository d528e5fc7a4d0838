//! Generated files are current, and what the manual shows is accepted. `FLOW_BLESS=1` writes the files anew.

use std::{fmt::Write, fs, path::PathBuf};

use serde_json::Value;

use crate::support::{TestProject, repository};

const README_BEGIN: &str = "<!-- stages:begin -->\n";
const README_END: &str = "<!-- stages:end -->";
/// The order of a pipeline, in which a person meets the stages; others follow by name.
const ORDER: [&str; 18] = [
    "data/ingest",
    "data/contract",
    "guard/licence",
    "data/clean",
    "data/language",
    "data/quality",
    "data/dedup",
    "data/decontaminate",
    "guard/pii",
    "guard/secrets",
    "guard/bias",
    "gate/approve",
    "data/split",
    "text/tokenize",
    "train/sft",
    "eval/suite",
    "registry/push",
    "serve/http",
];

/// Calls the component of the manual, which is nothing to run by itself.
const CALLER: &str = "\
flow: 1
name: caller
stages:
  ingest:
    uses: data/ingest@1
    with: {sources: [{name: mail, path: mail.jsonl}]}
  curate:
    uses: ./component.yaml
    in: {rows: ingest.rows}
";

/// Compares a file with what it should hold, or writes it when asked to bless.
fn current(path: &str, expected: &str) {
    let file = repository().join(path);
    if std::env::var_os("FLOW_BLESS").is_some() {
        fs::create_dir_all(file.parent().expect("has a parent")).expect("folder");
        fs::write(&file, expected).expect("writes");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{path} is stale: FLOW_BLESS=1 cargo test --release --workspace --test e2e generated::");
}

/// Every kind as `flow stages --json` describes it, in the order of a pipeline.
fn kinds() -> Vec<Value> {
    let mut kinds = TestProject::new().json(&["stages"]).as_array().cloned().expect("a list of kinds");
    let rank = |kind: &Value| ORDER.iter().position(|name| kind["name"] == *name).unwrap_or(ORDER.len());
    kinds.sort_by_key(rank);
    kinds
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn first_paragraph(doc: &str) -> &str {
    doc.split("\n\n").next().unwrap_or_default()
}

/// Text that may stand in a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn ports(title: &str, ports: &Value) -> String {
    let port = |port: &Value| {
        let arity = match text(port, "arity") {
            "many" => ", a list",
            "optional" => ", optional",
            _ => "",
        };
        format!("`{}` ({}{arity})", text(port, "name"), text(port, "kind"))
    };
    let list: Vec<String> = ports.as_array().into_iter().flatten().map(port).collect();
    if list.is_empty() { String::new() } else { format!("- {title}: {}\n", list.join(", ")) }
}

/// The path of each option inside `with:`, from fields that are listed depth first.
fn options(fields: &[Value]) -> String {
    let mut rows = String::from("| option | takes | default | what it does |\n|---|---|---|---|\n");
    let mut path: Vec<&str> = Vec::new();
    for field in fields {
        let depth = field["depth"].as_u64().and_then(|depth| usize::try_from(depth).ok()).unwrap_or_default();
        path.truncate(depth);
        path.push(text(field, "name"));
        let default = match (&field["default"], field["required"].as_bool()) {
            (Value::Null, Some(true)) => "required".to_owned(),
            (Value::Null, _) => String::new(),
            (Value::Object(_), _) => "as below".to_owned(),
            (default, _) => format!("`{default}`"),
        };
        let row = [format!("`{}`", path.join(".")), cell(text(field, "takes")), cell(&default), cell(text(field, "doc"))];
        writeln!(rows, "| {} |", row.join(" | ")).expect("writes to a string");
    }
    rows
}

#[test]
fn the_schema_is_current() {
    let schema = flow_engine::schema::workflow_schema(&flow::registry());
    current("schemas/workflow.schema.json", &(serde_json::to_string_pretty(&schema).expect("serializes") + "\n"));
}

#[test]
fn the_reference_of_the_stages_is_current() {
    let mut page = String::from(
        "# Stages\n\nEvery kind with its ports and the options below `with:`. `flow stages KIND` prints the same. A test keeps this page \
         current;\nit is written from the configuration structs.\n",
    );
    for kind in kinds() {
        write!(page, "\n## {}@{}\n\n{}\n", text(&kind, "name"), kind["major"], text(&kind, "doc")).expect("writes to a string");
        let lines = ports("reads", &kind["ports"]["inputs"]) + &ports("writes", &kind["ports"]["outputs"]);
        if !lines.is_empty() {
            write!(page, "\n{lines}").expect("writes to a string");
        }
        if let Some(fields) = kind["fields"].as_array().filter(|fields| !fields.is_empty()) {
            write!(page, "\n{}", options(fields)).expect("writes to a string");
        }
    }
    page.push_str(
        "\n## cmd@1\n\nRun a command of any language; [workflow.md](workflow.md#programs-of-your-own) explains its keys.\n",
    );
    current("docs/stages.md", &page);
}

#[test]
fn the_readme_lists_every_stage() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("reads");
    let (before, rest) = readme.split_once(README_BEGIN).expect("the table begins");
    let (_, after) = rest.split_once(README_END).expect("the table ends");
    let mut table = String::from("| stage | what it does |\n|---|---|\n");
    for kind in kinds() {
        writeln!(table, "| `{}` | {} |", text(&kind, "name"), cell(first_paragraph(text(&kind, "doc"))))
            .expect("writes to a string");
    }
    table.push_str("| `cmd` | Run a command of any language with declared inputs, code, and outputs. |\n");
    current("README.md", &format!("{before}{README_BEGIN}{table}{README_END}{after}"));
}

/// The complete workflows among the YAML blocks of a page.
fn workflows(page: &str) -> Vec<String> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.starts_with("flow: 1\n")).map(str::to_owned).collect()
}

#[test]
fn the_workflows_of_the_manual_pass_check() {
    let docs = fs::read_dir(repository().join("docs")).expect("a folder").flatten().map(|entry| entry.path());
    let pages: Vec<PathBuf> =
        docs.chain([repository().join("README.md")]).filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    let mut checked = 0;
    for page in pages {
        for block in workflows(&fs::read_to_string(&page).expect("reads")) {
            let project = TestProject::new();
            let file = if block.contains("\ninputs:") { "component.yaml" } else { "workflow.yaml" };
            project.write("workflow.yaml", CALLER);
            project.write(file, &block);
            // It asks all that `check` asks of a file's text, and not for the sources, which only the reader has.
            let outcome = project.flow(&["graph"]);
            assert_eq!(outcome.code, 0, "{}:\n{block}\n{}{}", page.display(), outcome.stdout, outcome.stderr);
            checked += 1;
        }
    }
    assert!(checked >= 2, "only {checked} workflows were found in the manual");
}

#[test]
fn what_the_manual_links_to_exists() {
    let docs = fs::read_dir(repository().join("docs")).expect("a folder").flatten().map(|entry| entry.path());
    for page in docs.filter(|path| path.extension().is_some_and(|end| end == "md")).chain([repository().join("README.md")]) {
        let text = fs::read_to_string(&page).expect("reads");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next()) {
            let local = !target.is_empty() && !target.contains("://");
            let file = page.parent().expect("has a parent").join(target);
            assert!(!local || file.exists(), "{} links to {target}", page.display());
        }
    }
}
