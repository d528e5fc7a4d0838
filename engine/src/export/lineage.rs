//! `OpenLineage` events: START, then COMPLETE, FAIL, or ABORT, for the run and for every stage, with their datasets.
//!
//! A dataset is a port of a stage, with the digest of its content as its version, or a source outside the workflow. Events go
//! to a file, one a line, and to a server; `[openlineage]` of `flow.toml` or the usual variables say where.

mod events;

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;

use self::events::Teller;
pub use self::events::lineage_events;
use super::{Environment, http::Receiver, outbox::Outbox};
use crate::{
    plan::Plan,
    run::{Entry, Observer, RunState},
};

const NAMESPACE: &str = "flow";
const PATH: &str = "/api/v1/lineage";
const EVERY: Duration = Duration::from_secs(1);

/// `[openlineage]` of `flow.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineageSettings {
    /// The server; the path of its endpoint is added when it has none.
    #[serde(default)]
    pub url: Option<String>,
    /// A file that gets one event a line, relative to the project.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// The namespace of jobs and datasets.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The environment variable that holds the server's API key.
    #[serde(default)]
    pub api_key_env: Option<String>,
}

/// Where events go.
struct Target {
    receiver: Option<Receiver>,
    file: Option<File>,
}

impl Target {
    fn of(settings: &LineageSettings, root: &Path, environment: Environment<'_>) -> Option<Self> {
        let said = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        if said("OPENLINEAGE_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let receiver = settings.url.clone().or_else(|| said("OPENLINEAGE_URL")).map(|url| {
            let key = said(settings.api_key_env.as_deref().unwrap_or("OPENLINEAGE_API_KEY"));
            let headers = key.map(|key| ("authorization".to_owned(), format!("Bearer {key}")));
            Receiver::impatient(endpoint(&url), headers.into_iter().collect())
        });
        let file = settings.file.as_ref().and_then(|file| opened(&root.join(file)));
        (receiver.is_some() || file.is_some()).then_some(Self { receiver, file })
    }

    fn deliver(&mut self, events: &[Value]) {
        for event in events {
            let text = event.to_string();
            // One write a line: two runs may append to one file.
            if let Some(Err(error)) = self.file.as_mut().map(|file| file.write_all(format!("{text}\n").as_bytes())) {
                tracing::warn!(%error, "Could not write a lineage event.");
            }
            if let Some(Err(error)) = self.receiver.as_ref().map(|receiver| receiver.post(text.as_bytes())) {
                // A server that hangs would hold up the end of the run, event by event.
                tracing::warn!(%error, "Could not send a lineage event; the server gets no more of this run.");
                self.receiver = None;
            }
        }
    }
}

/// A server's address with the path of its endpoint.
fn endpoint(url: &str) -> String {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    if host.trim_end_matches('/').contains('/') { url.to_owned() } else { format!("{}{PATH}", url.trim_end_matches('/')) }
}

fn opened(path: &Path) -> Option<File> {
    let open = || {
        std::fs::create_dir_all(path.parent().unwrap_or(path))?;
        OpenOptions::new().create(true).append(true).open(path)
    };
    open().map_err(|error| tracing::warn!(%error, path = %path.display(), "Could not open the file of lineage events.")).ok()
}

/// Watches a run and tells its lineage.
pub(super) struct Reporter {
    teller: Teller,
    outbox: Outbox<Value>,
}

impl Reporter {
    /// A reporter, if the project or the environment says where events go.
    pub(super) fn start(plan: &Plan, (settings, root): (&LineageSettings, &Path), environment: Environment<'_>) -> Option<Self> {
        let mut target = Target::of(settings, root, environment)?;
        let named = settings.namespace.clone().or_else(|| environment("OPENLINEAGE_NAMESPACE"));
        let teller = Teller::of(plan, named.unwrap_or_else(|| NAMESPACE.to_owned()));
        let outbox = Outbox::start("lineage", EVERY, move |events: Vec<Value>| target.deliver(&events))?;
        Some(Self { teller, outbox })
    }
}

impl Observer for Reporter {
    fn event(&mut self, entry: &Entry, state: &RunState) {
        for event in self.teller.after(entry, state) {
            self.outbox.put(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::http::loopback::Loopback;

    #[test]
    fn a_bare_server_gets_the_path_of_its_endpoint() {
        assert_eq!(endpoint("http://host:5000/"), "http://host:5000/api/v1/lineage");
        assert_eq!(endpoint("https://host"), "https://host/api/v1/lineage");
        assert_eq!(endpoint("https://host/own/path"), "https://host/own/path");
    }

    #[test]
    fn events_go_to_the_file_and_to_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let server = Loopback::answering(&[201, 201]);
        let mut receiver = Receiver::new(endpoint(&server.url("")));
        receiver.headers.push(("authorization".to_owned(), "Bearer k".to_owned()));
        let path = folder.path().join("lineage/events.ndjson");
        let mut target = Target { receiver: Some(receiver), file: opened(&path) };
        let events = [serde_json::json!({"eventType": "START"}), serde_json::json!({"eventType": "COMPLETE"})];
        target.deliver(&events);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, "{\"eventType\":\"START\"}\n{\"eventType\":\"COMPLETE\"}\n");
        let requests = server.requests();
        assert_eq!((requests.len(), requests[1].json()), (2, events[1].clone()));
        assert_eq!((requests[0].path.as_str(), requests[0].header("authorization")), (PATH, Some("Bearer k")));
    }
}
