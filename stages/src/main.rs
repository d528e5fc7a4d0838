//! The `flow` program.

use std::process::ExitCode;

use mimalloc::MiMalloc;

// The system allocator maps every large result anew, which halves the speed of matrix products.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    flow_cli::run(flow_cli::App {
        registry: flow::registry(),
        models: Box::new(flow::host::Host::default()),
        version: env!("CARGO_PKG_VERSION"),
    })
}
