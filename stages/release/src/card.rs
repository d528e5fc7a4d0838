//! The model card of a version: YAML front matter that the Hugging Face hub reads, then prose for people. It is generated
//! from the version's record, so it can never disagree with it.

use std::fmt::Write as _;

use serde_json::json;

use crate::models::Version;

/// Renders the card of a version.
pub fn render(version: &Version) -> String {
    let mut card = format!("---\n{}---\n\n", front_matter(version));
    let mut line = |text: String| {
        card.push_str(&text);
        card.push('\n');
    };
    line(format!("# {} version {}\n\n{}\n", version.name, version.version, version.description));
    line("## What it is\n".to_owned());
    line(format!(
        "A LoRA adapter over `{}` (BLAKE3 `{}`), trained by the workflow `{}`.\n",
        version.base.uri, version.base.blake3, version.workflow
    ));
    line(format!("Licence: `{}`. This is what the workflow declared; it is not legal advice.\n", version.licence));
    line("## How it did\n".to_owned());
    line(metrics_table(version));
    line("## Where it comes from\n".to_owned());
    line(lineage_table(version));
    line("## Limits\n".to_owned());
    line("It was judged only by the metrics above, on held-out rows of the same sources. Nothing is known of other tasks, languages, or adversarial input.\n".to_owned());
    line("## How to start\n".to_owned());
    line(format!("```sh\nflow chat {}@{}\nflow serve {}@{}\n```", version.name, version.version, version.name, version.version));
    card
}

/// JSON is YAML, so every value is written as JSON and needs no quoting rules of its own.
fn front_matter(version: &Version) -> String {
    let metrics: Vec<_> =
        version.metrics.iter().map(|(name, value)| json!({"name": name, "type": name, "value": value})).collect();
    let results = json!([{
        "name": version.name,
        "results": [{"task": {"type": "text-generation"}, "dataset": {"name": version.workflow, "type": version.workflow}, "metrics": metrics}],
    }]);
    let fields = [
        ("license", json!(licence_id(&version.licence))),
        ("license_name", json!(version.licence)),
        ("library_name", json!("peft")),
        ("base_model", json!(version.base.uri)),
        ("base_model_relation", json!("adapter")),
        ("pipeline_tag", json!("text-generation")),
        ("tags", json!(["lora", "flow"])),
        ("model-index", results),
    ];
    fields.into_iter().fold(String::new(), |mut yaml, (key, value)| {
        writeln!(yaml, "{key}: {value}").expect("writing to a string never fails");
        yaml
    })
}

/// The hub's own identifiers are lower case; whatever it does not know is `other`.
fn licence_id(spdx: &str) -> String {
    let lower = spdx.to_ascii_lowercase();
    let known = ["apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-sa-3.0", "cc0-1.0", "bsd-3-clause", "llama2"];
    if known.contains(&lower.as_str()) { lower } else { "other".to_owned() }
}

fn metrics_table(version: &Version) -> String {
    if version.metrics.is_empty() {
        return "No evidence was bound to this version.\n".to_owned();
    }
    let rows = version.metrics.iter().fold(String::new(), |mut rows, (name, value)| {
        writeln!(rows, "| {name} | {value:.4} |").expect("writing to a string never fails");
        rows
    });
    format!("| metric | value |\n|---|---|\n{rows}")
}

fn lineage_table(version: &Version) -> String {
    let rows = version.lineage.iter().fold(String::new(), |mut rows, ancestor| {
        let outputs: Vec<String> = ancestor.outputs.iter().map(|(port, digest)| format!("{port} `{}`", digest.short())).collect();
        writeln!(rows, "| {} | `{}` | `{}` | {} |", ancestor.stage, ancestor.kind, ancestor.key.short(), outputs.join(", "))
            .expect("writing to a string never fails");
        rows
    });
    format!("| stage | kind | action | outputs |\n|---|---|---|---|\n{rows}")
}
