//! `hf:ORG/NAME@REVISION`: a model folder of the Hugging Face hub, or of any server that speaks its protocol.
//!
//! The hub's own environment variables hold: `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN`, and `HF_HUB_OFFLINE`. Offline is tried
//! first: a file already in the hub's cache is not fetched again. Only files a causal language model needs are fetched.

use std::{fs, path::Path};

use flow_engine::{Locate, Located, SourceError, SourceResolver};
use hf_hub::{
    Cache, Repo, RepoType,
    api::{
        Progress,
        sync::{ApiBuilder, ApiRepo},
    },
};

use super::{PICKLES, body, refused, refused_with};

const FORM: &str = "write hf:ORG/NAME@REVISION, such as hf:HuggingFaceTB/SmolLM2-135M-Instruct@main";
const KEPT: [&str; 4] = [".json", ".safetensors", ".jinja", ".model"];

/// Resolves `hf:` URIs.
pub struct HubResolver;

impl SourceResolver for HubResolver {
    fn scheme(&self) -> &'static str {
        "hf"
    }

    fn locate(&self, request: &Locate<'_>) -> Result<Located, SourceError> {
        let (name, revision) = body(request).split_once('@').unwrap_or((body(request), "main"));
        if name.split('/').filter(|part| !part.is_empty()).count() != 2 || revision.is_empty() {
            return Err(refused_with(request, "the URI is malformed", FORM));
        }
        let repo = Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned());
        if offline() {
            return from_cache(request, repo);
        }
        let api = ApiBuilder::from_env().with_progress(false).with_token(token()).build();
        let api = api.map_err(|error| refused(request, error.to_string()))?;
        let remote = api.repo(repo);
        let folder = request.into.join("model");
        fs::create_dir_all(&folder).map_err(|error| refused(request, error.to_string()))?;
        for file in wanted(request, &remote)? {
            fetch(request, &remote, (&file, &folder))?;
        }
        Ok(Located::Fetched(folder))
    }
}

fn offline() -> bool {
    std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0"))
}

fn token() -> Option<String> {
    std::env::var("HF_TOKEN").ok().filter(|token| !token.is_empty()).or_else(|| Cache::from_env().token())
}

/// Uses the hub's cache alone: the folder of the snapshot that holds `config.json`.
fn from_cache(request: &Locate<'_>, repo: Repo) -> Result<Located, SourceError> {
    let config = Cache::from_env().repo(repo).get("config.json");
    let folder = config.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    folder.map(Located::InPlace).ok_or_else(|| {
        refused_with(
            request,
            "HF_HUB_OFFLINE is set and the model is not in the hub's cache",
            "unset HF_HUB_OFFLINE once to fetch it",
        )
    })
}

/// The names to fetch, or why there is nothing to fetch.
fn wanted(request: &Locate<'_>, remote: &ApiRepo) -> Result<Vec<String>, SourceError> {
    let info = remote.info().map_err(|error| {
        refused_with(
            request,
            format!("the hub does not answer for it: {error}"),
            "check the name and revision, HF_ENDPOINT, and HF_TOKEN",
        )
    })?;
    let names: Vec<String> = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    // A sub-folder holds other formats of the same weights; a name with a parent step would leave our folder.
    let kept: Vec<String> =
        names.iter().filter(|name| !name.contains('/') && KEPT.iter().any(|ending| name.ends_with(ending))).cloned().collect();
    if kept.iter().any(|name| name.ends_with(".safetensors")) {
        return Ok(kept);
    }
    let pickled = names.iter().find(|name| PICKLES.iter().any(|ending| name.ends_with(ending)));
    Err(pickled.map_or_else(
        || refused(request, "the repository holds no safetensors file"),
        |name| {
            refused_with(
                request,
                format!("its weights are a pickle ({name}), which runs code when it is opened"),
                "choose a revision with safetensors files",
            )
        },
    ))
}

fn fetch(request: &Locate<'_>, remote: &ApiRepo, (name, folder): (&str, &Path)) -> Result<(), SourceError> {
    let meter = Meter { report: request.progress, done: 0, total: None };
    let cached = remote
        .download_with_progress(name, meter)
        .map_err(|error| refused_with(request, format!("cannot fetch {name}: {error}"), "run the same command again to go on"))?;
    let target = folder.join(name);
    let linked = fs::canonicalize(&cached)
        .and_then(|real| fs::hard_link(&real, &target).or_else(|_| fs::copy(&real, &target).map(|_| ())));
    linked.map_err(|error| refused(request, format!("cannot place {name}: {error}")))
}

/// Passes the hub client's progress on.
struct Meter<'a> {
    report: &'a dyn Fn(u64, Option<u64>),
    done: u64,
    total: Option<u64>,
}

impl Progress for Meter<'_> {
    fn init(&mut self, size: usize, _: &str) {
        self.total = Some(size as u64);
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        (self.report)(self.done, self.total);
    }

    fn finish(&mut self) {}
}
