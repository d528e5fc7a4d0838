//! Makes sentences from templates of our own and learns the weights of `flow_text::pii::tagger` from them, the same on every run.
//!
//! `cargo run --release -p flow-text --example train-tagger` writes `stages/text/src/pii/tagger/weights.bin`.

mod dice;
mod fill;
mod invent;

use std::{env, fs, path::PathBuf, process::ExitCode};

use dice::Dice;
use fill::{Filled, Filler};
use flow_text::pii::tagger::{
    Label, Mark, tokens,
    train::{Example, Training},
};

/// Sentences of each template.
const TIMES: usize = 90;
/// Rounds over all sentences.
const ROUNDS: usize = 8;
const SEED: u64 = 20_261_124;

fn main() -> ExitCode {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let target = env::args().nth(1).map_or_else(|| folder.join("src/pii/tagger/weights.bin"), PathBuf::from);
    match fs::write(&target, train()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {}: {error}", target.display());
            ExitCode::FAILURE
        }
    }
}

fn train() -> Vec<u8> {
    let mut dice = Dice::new(SEED);
    let filler = Filler::default();
    let mut examples: Vec<Example> = (0..TIMES).flat_map(|_| round(&filler, &mut dice)).collect();
    eprintln!("{} sentences", examples.len());
    let mut training = Training::default();
    for round in 1..=ROUNDS {
        dice.shuffle(&mut examples);
        for example in &examples {
            training.learn(example);
        }
        eprintln!("round {round}: {} wrong labels", training.take_errors());
    }
    training.finish().write()
}

/// A sentence of every template; some stand behind another, as sentences do.
fn round(filler: &Filler, dice: &mut Dice) -> Vec<Example> {
    let templates: Vec<&str> = fill::templates().collect();
    let mut examples = Vec::new();
    for template in &templates {
        let mut made = filler.fill(template, dice);
        if dice.chance(25) {
            let other = filler.fill(templates[dice.below(templates.len())], dice);
            made = made.followed_by(if dice.chance(70) { " " } else { "\n" }, other);
        }
        examples.extend(labelled(&made));
    }
    examples
}

fn labelled(filled: &Filled) -> Option<Example> {
    let label = |start: usize| {
        let span = filled.spans.iter().find(|(from, to, _)| (*from..*to).contains(&start));
        span.map_or(Label::OUTSIDE, |(from, _, entity)| {
            Label::of(*entity, if *from == start { Mark::Begin } else { Mark::Inside })
        })
    };
    let labels = tokens(&filled.text).iter().map(|token| label(token.start)).collect();
    Example::new(&filled.text, labels)
}
