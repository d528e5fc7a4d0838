//! Picks the next token from logits.

use flow_text::generate::Sampling;

use crate::rng::Rng;

/// Returns the likeliest token of every column of `[vocabulary, columns]`; of equals the first. `None` where a column holds
/// something that is not a number.
pub(super) fn greedy(logits: &[f32], columns: usize) -> Vec<Option<u32>> {
    let mut best = vec![(f32::NEG_INFINITY, None); columns];
    let mut broken = vec![false; columns];
    for (id, row) in (0_u32..).zip(logits.chunks_exact(columns)) {
        for ((best, broken), logit) in best.iter_mut().zip(&mut broken).zip(row) {
            *broken |= logit.is_nan();
            if *logit > best.0 {
                *best = (*logit, Some(id));
            }
        }
    }
    best.into_iter().zip(broken).map(|((_, id), broken)| id.filter(|_| !broken)).collect()
}

/// Draws a token: temperature first, then the smallest set of tokens that holds `top_p` of the probability.
pub(super) fn draw(logits: &[f32], sampling: &Sampling, rng: &mut Rng) -> u32 {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |largest, logit| largest.max(*logit));
    let weight = |logit: &f32| ((logit - largest) / sampling.temperature).exp();
    let mut candidates: Vec<(u32, f32)> = (0..).zip(logits.iter().map(weight)).collect();
    let total: f64 = candidates.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let mut kept = total;
    if sampling.top_p < 1.0 {
        candidates.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let wanted = total * f64::from(sampling.top_p.max(0.0));
        kept = 0.0;
        let mut reaches = |(_, weight): &(u32, f32)| {
            kept += f64::from(*weight);
            kept >= wanted
        };
        let count = candidates.iter().position(&mut reaches).map_or(candidates.len(), |last| last + 1);
        candidates.truncate(count);
    }
    let mut point = f64::from(rng.unit()) * kept;
    let mut chosen = 0;
    for (id, weight) in candidates.iter().filter(|(_, weight)| *weight > 0.0) {
        chosen = *id;
        point -= f64::from(*weight);
        if point < 0.0 {
            break;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(temperature: f32, top_p: f32) -> Sampling {
        Sampling { max_tokens: 1, temperature, top_p, seed: 0 }
    }

    #[test]
    fn greedy_takes_the_first_of_equals_and_refuses_nan() {
        let logits = [1.0, 0.0, 3.0, f32::NAN, 3.0, 9.0];
        assert_eq!(greedy(&logits, 2), [Some(1), None]);
        assert_eq!(greedy(&[2.0, 1.0, 2.0], 1), [Some(0)]);
    }

    #[test]
    fn a_tiny_nucleus_is_greedy() {
        let mut rng = Rng::new(4);
        for _ in 0..50 {
            assert_eq!(draw(&[0.1, 2.0, 1.9], &sampling(1.0, 1e-6), &mut rng), 1);
        }
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let (mut rng, mut counts) = (Rng::new(5), [0_i32; 3]);
        let logits = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
        for _ in 0..20_000 {
            counts[draw(&logits, &sampling(1.0, 1.0), &mut rng) as usize] += 1;
        }
        assert!((counts[0] - 10_000).abs() < 300 && (counts[1] - 6_000).abs() < 300, "{counts:?}");
        let mut seen = [false; 3];
        for _ in 0..2_000 {
            seen[draw(&logits, &sampling(1.0, 0.7), &mut rng) as usize] = true;
        }
        assert_eq!(seen, [true, true, false]);
    }
}
