//! `hf:` against a hub on loopback: a model folder served as the hub serves one, fetched, pinned, and answered from.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
};

use serde_json::json;

use crate::{
    fixtures::tiny_llama,
    support::{Outcome, TestProject},
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Serves a folder as `tiny/llama` on a free port until the test process ends.
fn hub(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(&folder, stream);
        }
    });
    format!("http://{address}")
}

/// One request a connection; a range is honoured, because the hub's client asks for the size that way.
fn answer(folder: &Path, mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().expect("clones")).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match path.rsplit_once("/resolve/main/").or_else(|| path.rsplit_once(&format!("/resolve/{COMMIT}/"))) {
        Some((_, name)) => fs::read(folder.join(name)).map_or_else(|_| ("404 Not Found", Vec::new()), |body| ("200 OK", body)),
        None if path == "/api/models/tiny/llama/revision/main" => ("200 OK", listing(folder)),
        None => ("404 Not Found", Vec::new()),
    };
    let total = body.len();
    let range = headers.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let (start, end) = range.as_deref().and_then(|range| range.split_once('-')).map_or((0, total), |(start, end)| {
        (start.parse().unwrap_or(0), end.parse().map_or(total, |last: usize| (last + 1).min(total)))
    });
    let status = if range.is_some() && status == "200 OK" { "206 Partial Content" } else { status };
    let part = body.get(start..end).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\nx-repo-commit: {COMMIT}\r\netag: \"{total}-{}\"\r\ncontent-range: bytes {start}-{}/{total}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        path.len(),
        end.saturating_sub(1),
        part.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(part)).ok();
}

fn listing(folder: &Path) -> Vec<u8> {
    let names = fs::read_dir(folder).expect("a folder").flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let siblings: Vec<_> = names.map(|name| json!({"rfilename": name})).collect();
    json!({"sha": COMMIT, "siblings": siblings}).to_string().into_bytes()
}

fn generate(project: &TestProject, endpoint: &str, reference: &str) -> Outcome {
    let mut command = project.command(&["generate", reference, "-p", "hello", "--max-tokens", "4"]);
    command.env("HF_ENDPOINT", endpoint).env("HF_HOME", project.path().join("hub"));
    Outcome::from(command.output().expect("the binary starts"))
}

#[test]
fn a_model_of_a_hub_is_fetched_and_used() {
    let project = TestProject::new();
    let folder = project.path().join("served");
    tiny_llama(&folder, 3);
    let endpoint = hub(folder.clone());
    let fetched = generate(&project, &endpoint, "hf:tiny/llama@main").expect(0);
    let local = project.flow(&["generate", "file:served", "-p", "hello", "--max-tokens", "4"]).expect(0);
    assert_eq!(fetched.stdout, local.stdout);
    // Pinned and published: the hub is not asked again.
    let again = generate(&project, "http://127.0.0.1:9", "hf:tiny/llama@main").expect(0);
    assert_eq!(again.stdout, fetched.stdout);
}

#[test]
fn pickled_weights_and_unknown_repositories_are_refused() {
    let project = TestProject::new();
    let folder = project.path().join("served");
    tiny_llama(&folder, 3);
    fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).expect("renames");
    let endpoint = hub(folder);
    let refused = generate(&project, &endpoint, "hf:tiny/llama@main").expect(1);
    assert!(refused.stderr.contains("pickle"), "{}", refused.stderr);
    let unknown = generate(&project, &endpoint, "hf:tiny/other@main").expect(1);
    assert!(unknown.stderr.contains("hf:tiny/other@main"), "{}", unknown.stderr);
}
