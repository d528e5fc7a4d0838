//! The decoder against itself: caches, batches, limits.

use flow_text::generate::Finish;

use super::*;
use crate::weights::config::tests::tiny;

fn engine(seed: u64) -> Engine {
    Engine::new(&Checkpoint::random(&tiny(), seed), None).expect("valid")
}

fn greedy(max_tokens: usize) -> Sampling {
    Sampling { max_tokens, temperature: 0.0, top_p: 1.0, seed: 0 }
}

fn run(engine: &mut Engine, stops: &[u32], prompts: &[Vec<u32>], sampling: &Sampling) -> Vec<Completion> {
    let mut on_token = |_: usize, _: u32| ControlFlow::Continue(());
    Batch::new(engine, stops).run(prompts, sampling, &mut on_token).expect("valid prompts")
}

fn prompt(length: u32, start: u32) -> Vec<u32> {
    (0..length).map(|index| (start + index * 31) % 97).collect()
}

#[test]
fn a_prompt_in_pieces_is_bitwise_the_prompt_in_one() {
    let (mut engine, tokens) = (engine(1), prompt(40, 5));
    let rows: Vec<Row> =
        tokens.iter().enumerate().map(|(position, token)| Row { sequence: 0, position, token: *token }).collect();
    let mut whole = [Cache::new(engine.config())];
    let together = engine.forward(&rows, &mut whole);
    let mut pieces = [Cache::new(engine.config())];
    let apart: Vec<f32> = rows.chunks(7).flat_map(|rows| engine.forward(rows, &mut pieces)).collect();
    assert_eq!(together, apart);
}

#[test]
fn an_answer_does_not_depend_on_the_batch() {
    let mut engine = engine(2);
    let prompts: Vec<Vec<u32>> = (1..50).map(|index| prompt(1 + index % 37, index)).collect();
    let together = run(&mut engine, &[3, 11], &prompts, &greedy(12));
    for (prompt, expected) in prompts.iter().zip(&together) {
        assert_eq!(run(&mut engine, &[3, 11], std::slice::from_ref(prompt), &greedy(12)), std::slice::from_ref(expected));
    }
    assert!(together.iter().any(|answer| answer.finish == Finish::Stop), "some answers stop");
    assert!(together.iter().any(|answer| answer.finish == Finish::Length), "some answers run on");
    assert!(together.iter().all(|answer| !answer.ids.contains(&3)), "stop tokens are left out");
}

#[test]
fn the_same_seed_draws_the_same_answer() {
    let mut engine = engine(3);
    let sampling = |seed| Sampling { max_tokens: 20, temperature: 1.5, top_p: 0.95, seed };
    let prompts = [prompt(5, 1)];
    assert_eq!(run(&mut engine, &[], &prompts, &sampling(1)), run(&mut engine, &[], &prompts, &sampling(1)));
    assert_ne!(run(&mut engine, &[], &prompts, &sampling(1)), run(&mut engine, &[], &prompts, &sampling(2)));
}

#[test]
fn limits_and_cancelling_end_an_answer() {
    let mut engine = engine(4);
    let none = run(&mut engine, &[], &[prompt(3, 1)], &greedy(0));
    assert_eq!(none, [Completion { ids: vec![], finish: Finish::Length }]);
    let full = run(&mut engine, &[], &[prompt(60, 1)], &greedy(100));
    assert_eq!((full[0].ids.len(), full[0].finish), (4, Finish::Length), "the context of 64 is full");
    let mut left = 2;
    let mut on_token = |_: usize, _: u32| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let cut = Batch::new(&mut engine, &[]).run(&[prompt(3, 1)], &greedy(10), &mut on_token).expect("valid");
    assert_eq!((cut[0].ids.len(), cut[0].finish), (2, Finish::Cancelled));
}

#[test]
fn impossible_prompts_are_refused() {
    let mut engine = engine(5);
    for prompt in [vec![], vec![97], vec![1; 64]] {
        let mut on_token = |_: usize, _: u32| ControlFlow::Continue(());
        assert!(Batch::new(&mut engine, &[]).run(&[prompt], &greedy(1), &mut on_token).is_err());
    }
}
