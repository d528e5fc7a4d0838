//! A pipeline of seconds: a tiny untrained Llama with a byte-level tokenizer, and the twelve stages over sixty rows.

use std::{fs, path::Path, sync::Arc};

use flow_model::{Checkpoint, Family, ModelConfig, weights::save_folder};
use flow_text::tokenizer::{ChatTokenizer, TokenizerParts};

use crate::support::{TestProject, repository};

const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// The twelve stages on the rows of a library's desk, with a bar that even an untrained model takes.
pub(crate) const PIPELINE: &str = r#"# Twelve stages.
flow: 1
name: tiny
seed: 7
params:
  lr: {type: float, default: 0.01}
  steps: {type: int, default: 6, min: 1}
  bar: {type: float, default: -1.0}
stages:
  ingest:
    uses: data/ingest@1
    with: {sources: [{name: desk, path: desk.jsonl, license: CC0-1.0, map: prompt_completion}]}
  clean: {uses: data/clean@1, in: {rows: ingest.rows}}
  dedup:
    uses: data/dedup@1
    in: {rows: clean.rows}
    with: {fuzzy: {threshold: 0.7}}
  pii:
    uses: guard/pii@1
    in: {rows: dedup.rows}
    with: {default_action: redact, test_values: treat_as_pii}
  bias:
    uses: guard/bias@1
    in: {rows: pii.rows}
    with: {axes: [gender], min_mentions: 5, gates: {imbalance: {gender: 0.9}}}
  approve:
    uses: gate/approve@1
    in: {review: [pii.report, bias.report]}
    with: {who: [librarian], question: "May a model learn from this?"}
  split:
    uses: data/split@1
    needs: [approve]
    in: {rows: bias.rows}
    with:
      group_by: [topic]
      ratios: {train: 0.9, validation: 0.1, test: 0.0}
      hold_out: {field: topic, values: [rooms]}
  tokenize:
    uses: text/tokenize@1
    in: {train: split.train, validation: split.validation, test: split.test}
    with: {model: "file:tiny", max_length: 1024}
  train:
    uses: train/sft@1
    in: {train: tokenize.train, validation: tokenize.validation}
    with:
      base: "file:tiny"
      method: {rank: 2}
      optim: {lr: "${params.lr}", schedule: {name: cosine, warmup: 2}}
      batch: {global: 4, micro: 4}
      duration: {epochs: 1000, max_steps: "${params.steps}"}
      checkpoint: {every_steps: 5}
  eval:
    uses: eval/suite@1
    in: {model: train.adapter, data: split.test, shots_from: split.train}
    with: {base: "file:tiny", shots: 1, metrics: [exact_match, nll], max_new_tokens: 4}
    gate: ["metrics.delta_exact_match_low95 >= params.bar"]
  register:
    uses: registry/push@1
    in: {model: train.adapter, report: eval.report, approval: approve.approval}
    with: {name: desk, base: "file:tiny", licence: CC0-1.0, aliases: [candidate]}
  serve:
    uses: serve/http@1
    in: {model: register.ref, items: eval.items}
    with: {base: "file:tiny", max_new_tokens: 4}
"#;

/// A project with the pipeline, its rows, and its model.
pub(crate) fn desk() -> TestProject {
    let project = TestProject::new();
    tiny_llama(&project.path().join("tiny"), 1);
    let rows = fs::read_to_string(repository().join("tests/second-project/desk.jsonl")).expect("reads");
    project.write("desk.jsonl", &rows);
    project.write("workflow.yaml", PIPELINE);
    project
}

/// Writes the model as a Hugging Face folder.
pub(crate) fn tiny_llama(folder: &Path, seed: u64) {
    let config = ModelConfig {
        vocab_size: SPECIAL.len() + 256,
        intermediate_size: 64,
        context: 2048,
        tied_head: true,
        ..ModelConfig::tiny(Family::Llama)
    };
    save_folder(&Checkpoint::random(&config, seed), folder).expect("writes the weights");
    tokenizer().save(folder).expect("writes the tokenizer");
}

/// One token a byte, and ChatML.
pub(crate) fn tokenizer() -> Arc<ChatTokenizer> {
    let bytes = (0..=255_u8).map(|byte| byte_symbol(byte).to_string());
    let parts = TokenizerParts {
        model: "gpt2".to_owned(),
        pre: "smollm".to_owned(),
        tokens: SPECIAL.iter().map(ToString::to_string).chain(bytes).collect(),
        merges: Vec::new(),
        token_types: [3; SPECIAL.len()].into_iter().chain([1; 256]).collect(),
        bos: Some(1),
        eos: Some(2),
        unk: Some(0),
        pad: Some(2),
        add_bos: false,
        chat_template: Some(TEMPLATE.to_owned()),
    };
    Arc::new(ChatTokenizer::from_parts(&parts).expect("a tokenizer"))
}

/// The printable stand-in of a byte in byte-level BPE: itself where it prints, else the next letter from U+0100 on.
fn byte_symbol(byte: u8) -> char {
    let prints = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if prints(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|other| !prints(*other)).count();
    u32::try_from(rank).ok().and_then(|rank| char::from_u32(0x100 + rank)).expect("at most 68 bytes do not print")
}
