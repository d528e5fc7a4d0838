//! Prints how fast a model reads and writes on this machine: `cargo run --release --example speed -- MODEL [ADAPTER]`.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::{ops::ControlFlow, path::PathBuf, time::Instant};

use flow_model::{generator::Generator, open};
use flow_text::{
    generate::{Generate, GenerateError, Sampling},
    record::Message,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), GenerateError> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let missing = || GenerateError { message: "no model was given".to_owned(), help: None };
    let (model, adapter) = (arguments.next().ok_or_else(missing)?, arguments.next());
    let opened = open(&model)?;
    let mut generator = Generator::new("speed", &opened, adapter.as_deref())?;
    let question = Message { role: "user".to_owned(), content: "What is the capital of France?".to_owned() };
    let prompt = generator.encode_chat(&[question])?;
    let answer = answer(&mut generator, std::slice::from_ref(&prompt), 32)?;
    println!("{:?}", generator.decode(&answer[0])?);

    for batch in [1, 4, 16, 32] {
        let prompts = vec![prompt.clone(); batch];
        time(&mut generator, &prompts, 1)?;
        let (short, long) = (time(&mut generator, &prompts, 1)?, time(&mut generator, &prompts, 25)?);
        let tokens = long.1.saturating_sub(short.1);
        println!("decode, batch {batch}: {:.0} tokens/s", f64::from(tokens) / (long.0 - short.0));
    }
    let long: Vec<u32> = prompt.iter().copied().cycle().take(512).collect();
    let (seconds, _) = time(&mut generator, &[long], 1)?;
    println!("prefill of 512: {:.0} tokens/s", 512.0 / seconds);
    Ok(())
}

fn answer(generator: &mut Generator, prompts: &[Vec<u32>], max_tokens: usize) -> Result<Vec<Vec<u32>>, GenerateError> {
    let sampling = Sampling { max_tokens, temperature: 0.0, top_p: 1.0, seed: 0 };
    let completions = generator.generate(prompts, &sampling, &mut |_, _| ControlFlow::Continue(()))?;
    Ok(completions.into_iter().map(|completion| completion.ids).collect())
}

/// Returns seconds and tokens.
fn time(generator: &mut Generator, prompts: &[Vec<u32>], max_tokens: usize) -> Result<(f64, u32), GenerateError> {
    let start = Instant::now();
    let mut tokens = 0;
    let sampling = Sampling { max_tokens, temperature: 1.0, top_p: 1.0, seed: 1 };
    generator.generate(prompts, &sampling, &mut |_, _| {
        tokens += 1;
        ControlFlow::Continue(())
    })?;
    Ok((start.elapsed().as_secs_f64(), tokens))
}
