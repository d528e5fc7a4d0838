//! Where models come from: `pip:`, `hf:`, `file:`, and `registry:`. A resolver finds or fetches the bytes; the engine
//! hashes them and holds them to `flow.lock`.

mod file;
mod hub;
mod pip;
mod registry;

pub use file::FileResolver;
pub use hub::HubResolver;
pub use pip::PipResolver;
pub use registry::RegistryResolver;

use flow_engine::{Locate, SourceError};

/// The endings of pickled weights, which run code when they are opened.
const PICKLES: [&str; 5] = [".bin", ".pt", ".pth", ".pkl", ".ckpt"];

/// The part of a URI after its scheme.
fn body<'a>(request: &Locate<'a>) -> &'a str {
    request.uri.split_once(':').map_or(request.uri, |(_, body)| body)
}

/// An error about the requested URI.
fn refused(request: &Locate<'_>, reason: impl Into<String>) -> SourceError {
    SourceError { uri: request.uri.to_owned(), reason: reason.into(), help: None }
}

/// An error about the requested URI with a next step.
fn refused_with(request: &Locate<'_>, reason: impl Into<String>, help: impl Into<String>) -> SourceError {
    SourceError { help: Some(help.into()), ..refused(request, reason) }
}

/// Refuses a file that would have to be unpickled.
fn refuse_pickle(request: &Locate<'_>, name: &str) -> Result<(), SourceError> {
    if PICKLES.iter().any(|ending| name.ends_with(ending)) {
        return Err(refused_with(
            request,
            format!("{name} is a pickle, which runs code when it is opened"),
            "use a safetensors or GGUF file of the same model",
        ));
    }
    Ok(())
}
