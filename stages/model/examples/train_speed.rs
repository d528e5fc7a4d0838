//! Prints how fast a LoRA step is on this machine: `cargo run --release --example train_speed -- MODEL [ROWS] [TOKENS]`.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::{path::PathBuf, time::Instant};

use flow_engine::StageError;
use flow_model::{
    Adapter, Network, device, open,
    rng::Rng,
    schedule::{Schedule, ScheduleConfig},
    train::{OptimConfig, Recompute, Trainer, TrainerOptions},
};
use flow_rows::TokenRow;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), StageError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let missing = || StageError::input("no model was given");
    let model = PathBuf::from(arguments.first().ok_or_else(missing)?);
    let number = |index: usize, default| arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rows, tokens) = (number(1, 4_usize), number(2, 128_usize));

    let opened = open(&model)?;
    let network = Network::from_checkpoint(&opened.checkpoint, &device::open("cpu")?)?;
    let method = flow_model::train::MethodConfig::default();
    let adapter = Adapter::fresh(method.lora(network.config()).map_err(StageError::input)?, &network, 1);
    let mut rng = Rng::new(1);
    let ids: Vec<u32> = (0..rows * tokens).map(|_| u32::try_from(rng.next_u64() % 40_000).unwrap_or(0)).collect();
    let labels: Vec<i32> = ids.iter().map(|id| i32::try_from(*id).unwrap_or(0)).collect();
    let batch: Vec<TokenRow<'_>> = ids
        .chunks(tokens)
        .zip(labels.chunks(tokens))
        .map(|(input_ids, labels)| TokenRow { row_id: "", input_ids, labels })
        .collect();
    for recompute in [Recompute::None, Recompute::Block] {
        let optim = OptimConfig::default();
        let options = TrainerOptions {
            algorithm: optim.algorithm(),
            schedule: Schedule::new(&ScheduleConfig::default(), 2e-4, 100),
            max_grad_norm: Some(1.0),
            micro: rows,
            recompute,
            seed: 1,
        };
        let mut trainer = Trainer::new(&network, &adapter, options);
        for step in 0..4 {
            let start = Instant::now();
            let record = trainer.step(&batch)?;
            let seconds = start.elapsed().as_secs_f64();
            println!("{recompute:?}, step {step}: loss {:.3}, {:.0} tokens/s", record.loss, speed(rows * tokens, seconds));
        }
    }
    Ok(())
}

fn speed(tokens: usize, seconds: f64) -> f64 {
    u32::try_from(tokens).map_or(f64::NAN, f64::from) / seconds
}
