//! `flow serve` as the official `openai` client sees it.

use serde_json::{Value, json};

use super::{Hearing, text_of};
use crate::{
    fixtures::tiny_llama,
    support::{Server, TestProject},
};

const QUESTION: &str = "Grüße: where is my parcel?";
const MAX_TOKENS: &str = "24";

#[test]
fn the_openai_client_gets_the_greedy_text_whole_and_streamed() {
    let Some(hearing) = Hearing::open() else { return };
    let project = TestProject::new();
    tiny_llama(&project.path().join("tiny"), 11);
    let reference = format!("file:{}", text_of(&project.path().join("tiny")));
    let generated = project.json(&["generate", &reference, "-p", QUESTION, "--max-tokens", MAX_TOKENS]);
    let expected = generated["text"].as_str().unwrap_or_else(|| panic!("no text in {generated}"));
    assert!(!expected.is_empty(), "{generated}");

    let server = Server::start(&project, &reference);
    let messages = hearing.submit("messages.json", &json!([{"role": "user", "content": QUESTION}]));
    let address = format!("http://{}/v1", server.address);
    let arguments = ["--base-url", &address, "--model", &reference, "--messages", text_of(&messages), "--max-tokens", MAX_TOKENS];
    let answer: Value = serde_json::from_str(&hearing.ask("openai_client.py", &arguments)).expect("an answer");
    assert_eq!(answer["text"], expected, "{answer}");
    assert_eq!(answer["streamed"], expected, "{answer}");
    assert!(answer["chunks"].as_u64() > Some(1), "{answer}");
    assert_eq!(answer["models"], json!([reference]));
    assert_eq!(answer["finish_reason"], generated["finish"]);
    for count in ["prompt_tokens", "completion_tokens"] {
        assert_eq!(answer["usage"][count], generated[count], "{answer}");
    }
}
