//! Logits of the real model, as it is and with an adapter that we trained, against `transformers` and `peft`.

use std::{fs, path::Path};

use flow_model::{
    Adapter, Checkpoint, Network, Padding, device, generator,
    train::{Replay, replay},
};

use super::{
    Hearing,
    answers::{Answers, Verdict, apart, top_five},
    smollm2, text_of,
    training::{Row, STEPS, fresh_adapter, options, ticket_rows},
};
use crate::support::repository;

/// Largest difference from float32 logits of PyTorch.
const BOUND: f64 = 5e-4;
/// The same, as a multiple of PyTorch's own distance to its float64 self.
const OWN_DISTANCES: f64 = 3.0;
/// What an adapter must move for the comparison to mean something.
const MOVED: f64 = 0.1;
const LENGTHS: [usize; 3] = [1, 64, 512];

/// The first tokens of a long English text, at each of the lengths.
fn prompts() -> Vec<Vec<u32>> {
    let text = fs::read_to_string(repository().join("LICENSE-APACHE")).expect("reads");
    let ids = flow_model::open(&smollm2()).expect("opens").tokenizer.encode(text.trim()).expect("encodes");
    LENGTHS.iter().map(|length| ids[..*length].to_vec()).collect()
}

/// Our two networks: the one that decodes and the one that trains.
struct Ours {
    checkpoint: Checkpoint,
    network: Network,
}

impl Ours {
    fn open() -> Self {
        let checkpoint = Checkpoint::open(&smollm2()).expect("opens");
        let network = Network::from_checkpoint(&checkpoint, &device::open("cpu").expect("a processor")).expect("loads");
        Self { checkpoint, network }
    }

    /// The logits of both after every token of a prompt: `(name, [tokens, vocabulary])`.
    fn logits(&self, adapter: Option<&Path>, prompt: &[u32]) -> [(&'static str, Vec<f32>); 2] {
        let decoder = generator::logits(&self.checkpoint, adapter, prompt).expect("decodes");
        let (ids, cx) = self.network.batch(&[prompt], Padding::Right);
        let laid =
            adapter.map(|folder| Adapter::load(folder, self.network.config(), &self.network.device()).expect("the adapter fits"));
        let trainer = self.network.logits(ids, &cx, laid.as_ref()).into_data().iter::<f32>().collect();
        [("decoder", decoder), ("network", trainer)]
    }

    /// Holds both against the referee, prompt by prompt.
    fn face(&self, answers: &Answers, adapter: Option<&Path>) {
        for (number, prompt) in prompts().iter().enumerate() {
            let verdict = answers.verdict(number);
            for (name, logits) in self.logits(adapter, prompt) {
                judge(
                    &format!("{name}, {} tokens", prompt.len()),
                    &at(&logits, &verdict, self.network.config().vocab_size),
                    &verdict,
                );
            }
        }
    }
}

/// The rows of `[tokens, vocabulary]` at the positions that the referee kept.
fn at(logits: &[f32], verdict: &Verdict, vocabulary: usize) -> Vec<f64> {
    let row = |position: &usize| logits[position * vocabulary..(position + 1) * vocabulary].iter().copied().map(f64::from);
    verdict.positions.iter().flat_map(row).collect()
}

fn judge(what: &str, ours: &[f64], verdict: &Verdict) {
    let (distance, own) = (apart(ours, &verdict.float32), apart(&verdict.float32, &verdict.float64));
    let exact = apart(ours, &verdict.float64);
    eprintln!("{what}: {distance:.2e} from float32, {exact:.2e} from float64; the referee itself {own:.2e}");
    assert!(distance <= BOUND, "{what}: {distance:e}");
    assert!(distance <= OWN_DISTANCES * own, "{what}: {distance:e}, the referee itself {own:e}");
    let vocabulary = ours.len() / verdict.positions.len();
    for (position, (our, their)) in ours.chunks(vocabulary).zip(verdict.float32.chunks(vocabulary)).enumerate() {
        assert_eq!(top_five(our), top_five(their), "{what}: position {}", verdict.positions[position]);
    }
}

#[test]
fn the_base_agrees_with_transformers() {
    let Some(hearing) = Hearing::open() else { return };
    let out = hearing.path("logits.safetensors");
    let asked = hearing.submit("prompts.json", &prompts());
    hearing.ask_about_smollm2("logits.py", &["--prompts", text_of(&asked), "--out", text_of(&out)]);
    Ours::open().face(&Answers::read(&out), None);
}

#[test]
fn a_trained_adapter_agrees_with_peft() {
    let Some(hearing) = Hearing::open() else { return };
    let (start, trained) = (hearing.path("start"), hearing.path("trained"));
    let ours = Ours::open();
    fresh_adapter(&ours.network).save(&start, "base").expect("saves");
    let rows = ticket_rows();
    let rows: Vec<_> = rows.iter().map(Row::get).collect();
    let request =
        Replay { base: &smollm2(), adapter: &start, rows: &rows, batch: 4, steps: STEPS / 2, options: options(2e-3, STEPS / 2) };
    replay(&request).expect("trains").adapter.save(&trained, "base").expect("saves");

    let out = hearing.path("logits.safetensors");
    let asked = hearing.submit("prompts.json", &prompts());
    let arguments = ["--adapter", text_of(&trained), "--prompts", text_of(&asked), "--out", text_of(&out)];
    hearing.ask_about_smollm2("peft_logits.py", &arguments);
    let answers = Answers::read(&out);
    for number in 0..LENGTHS.len() {
        let moved = apart(&answers.numbers(&format!("base.{number}")), &answers.numbers(&format!("float32.{number}")));
        assert!(moved >= MOVED, "the adapter moves logits by {moved:e} only");
    }
    ours.face(&answers, Some(&trained));
}
