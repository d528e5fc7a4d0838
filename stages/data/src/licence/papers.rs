//! What goes out with the data: `NOTICE`, `DATA_CARD.md`, and `croissant.json` with its fields for responsible AI.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use flow_engine::StageError;
use serde_json::{Value, json};

use super::{
    LicenceConfig, SourceTerms,
    work::{Settled, Share},
};

/// Writes every paper into a folder, which is made.
pub(super) fn write(config: &LicenceConfig, settled: &Settled, folder: &Path) -> Result<(), StageError> {
    fs::create_dir_all(folder)?;
    let sources = used(config, settled);
    let croissant = serde_json::to_vec_pretty(&croissant(config, settled, &sources))
        .map_err(|error| StageError::internal("cannot serialize the metadata").because(&error))?;
    fs::write(folder.join("NOTICE"), notice(settled, &sources))?;
    fs::write(folder.join("DATA_CARD.md"), card(config, settled, &sources))?;
    fs::write(folder.join("croissant.json"), croissant)?;
    Ok(())
}

/// One source whose rows are used, with its licences.
struct Used<'a> {
    name: &'a str,
    terms: SourceTerms,
    shares: Vec<&'a Share>,
}

impl Used<'_> {
    fn rows(&self) -> u64 {
        self.shares.iter().map(|share| share.rows).sum()
    }

    fn licences(&self) -> Vec<String> {
        let granted = self.shares.iter().filter_map(|share| share.grant()).flat_map(|grant| &grant.licences);
        let mut ids: Vec<String> = granted.map(|licence| licence.id.clone()).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    fn must_be_named(&self) -> bool {
        self.shares.iter().filter_map(|share| share.grant()).any(flow_text::licence::Grant::attribution)
    }

    /// The words in which its makers are named.
    fn credit(&self) -> String {
        let by = if self.terms.creators.is_empty() { "its authors".to_owned() } else { self.terms.creators.join(", ") };
        self.terms.attribution.clone().unwrap_or_else(|| format!("{} by {by}", self.name))
    }
}

fn used<'a>(config: &LicenceConfig, settled: &'a Settled) -> Vec<Used<'a>> {
    let mut by_name: BTreeMap<&str, Vec<&Share>> = BTreeMap::new();
    for share in settled.shares.iter().filter(|share| share.grant().is_some()) {
        by_name.entry(&share.source).or_default().push(share);
    }
    let terms = |name: &str| config.sources.get(name).cloned().unwrap_or_default();
    by_name.into_iter().map(|(name, shares)| Used { name, terms: terms(name), shares }).collect()
}

fn notice(settled: &Settled, sources: &[Used<'_>]) -> String {
    let mut text = String::from("This data set contains material of others, used under their licences.\n");
    for source in sources {
        let _ = write!(text, "\n{}\n", source.credit());
        let _ = writeln!(text, "  licence: {}", source.licences().join(" AND "));
        if let Some(url) = &source.terms.source_url {
            let _ = writeln!(text, "  source: {url}");
        }
        let duty = if source.must_be_named() { "its makers must be named wherever it is passed on" } else { "none" };
        let _ = writeln!(text, "  obligation: {duty}");
        let _ = writeln!(text, "  changes: rows were selected, cleaned, and joined with those of other sources");
    }
    if let Some(result) = &settled.result {
        let _ = write!(
            text,
            "\nThe data set as a whole stands under {result}, and so must what is made of it where that licence says so.\n"
        );
    }
    text
}

fn card(config: &LicenceConfig, settled: &Settled, sources: &[Used<'_>]) -> String {
    let mut text = format!("# {}\n\n", config.title);
    let result = settled.result.as_deref().unwrap_or("no licence of its own is asked for");
    let _ = write!(text, "- rows: {}\n- intended use: {}\n- licence: {result}\n", settled.rows(), intent(config));
    text.push_str("\n## Sources\n\n| source | rows | licence | makers | from | evidence | written by models |\n|---|---|---|---|---|---|---|\n");
    let or_none = |text: Option<&String>| text.map_or("none", String::as_str).to_owned();
    for source in sources {
        let SourceTerms { source_url, evidence, creators, model_generated_by, .. } = &source.terms;
        let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
        let cells = [
            source.name.to_owned(),
            source.rows().to_string(),
            source.licences().join(", "),
            list(creators),
            or_none(source_url.as_ref()),
            or_none(evidence.as_ref()),
            list(model_generated_by),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for source in sources {
        if let Some(description) = &source.terms.description {
            let _ = write!(text, "\n### {}\n\n{description}\n", source.name);
        }
    }
    text.push_str("\n## Limits\n\nWhat the rows say about people and groups is measured by `guard/bias` and `guard/pii`; see their reports.\n");
    text
}

fn intent(config: &LicenceConfig) -> &'static str {
    match config.intent {
        flow_text::licence::Intent::Commercial => "commercial",
        flow_text::licence::Intent::Research => "research",
    }
}

/// Croissant 1.1 with the vocabulary for responsible AI and the provenance of W3C.
fn croissant(config: &LicenceConfig, settled: &Settled, sources: &[Used<'_>]) -> Value {
    let creators: Vec<Value> = sources
        .iter()
        .flat_map(|source| &source.terms.creators)
        .map(|name| json!({"@type": "sc:Person", "sc:name": name}))
        .collect();
    let derived: Vec<Value> = sources
        .iter()
        .map(|source| json!({"@type": "prov:Entity", "sc:name": source.name, "sc:url": source.terms.source_url, "sc:license": source.licences()}))
        .collect();
    let models: Vec<&String> = sources.iter().flat_map(|source| &source.terms.model_generated_by).collect();
    let licences: Vec<String> = match &settled.result {
        Some(result) => vec![result.clone()],
        None => sources.iter().flat_map(Used::licences).collect(),
    };
    json!({
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": config.title,
        "description": format!("{} rows of {} sources for fine-tuning a language model", settled.rows(), sources.len()),
        "license": licences,
        "creator": creators,
        "usageInfo": format!("intended use: {}", intent(config)),
        "citeAs": sources.iter().map(Used::credit).collect::<Vec<_>>().join("; "),
        "prov:wasDerivedFrom": derived,
        "rai:dataCollection": sources.iter().map(|source| format!("{}: {}", source.name, source.terms.description.as_deref().unwrap_or("see its source"))).collect::<Vec<_>>(),
        "rai:dataUseCases": [format!("fine-tuning; {}", intent(config))],
        "rai:dataLimitations": ["Rows were selected by rules; see the reports of the stages."],
        "rai:dataBiases": ["Measured by guard/bias; see its report."],
        "rai:personalSensitiveInformation": ["Found and treated by guard/pii; see its report."],
        "rai:machineAnnotationTools": models,
        "distribution": [{
            "@type": "cr:FileSet",
            "@id": "rows",
            "name": "rows",
            "encodingFormat": "application/vnd.apache.arrow.file",
            "includes": "*.arrow",
        }],
        "recordSet": [record_set()],
    })
}

fn context() -> Value {
    json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "sc": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "prov": "http://www.w3.org/ns/prov#",
        "conformsTo": "dct:conformsTo",
        "citeAs": "cr:citeAs",
        "recordSet": "cr:recordSet",
        "field": "cr:field",
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "fileSet": "cr:fileSet",
        "includes": "cr:includes",
        "extract": "cr:extract",
        "column": "cr:column",
        "source": "cr:source",
    })
}

fn record_set() -> Value {
    let field = |name: &str, about: &str| {
        json!({
            "@type": "cr:Field",
            "@id": format!("rows/{name}"),
            "name": name,
            "description": about,
            "dataType": "sc:Text",
            "source": {"fileSet": {"@id": "rows"}, "extract": {"column": name}},
        })
    };
    json!({
        "@type": "cr:RecordSet",
        "@id": "row",
        "name": "row",
        "field": [
            field("row_id", "the row's name, the same in every stage"),
            field("source", "the source it comes from"),
            field("messages", "the conversation: role and content of every message"),
            field("meta", "every other field, as JSON"),
        ],
    })
}
