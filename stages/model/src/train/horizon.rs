//! How far a training goes along a way that trainings of other lengths share.

use flow_engine::horizon::{Horizon, Reuse};

use super::{Resume, SftConfig};
use crate::schedule::Shape;

/// The unit of `duration.epochs`.
pub(super) const EPOCHS: &str = "epochs";
/// The unit of `duration.max_steps`.
pub(super) const STEPS: &str = "steps";

/// Which options only say where training ends or how often it is looked at, and what it may take over.
pub(super) fn of(config: &SftConfig) -> Horizon {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let epochs = (EPOCHS.to_owned(), u64::from(config.duration.epochs.get()));
    let steps = config.duration.max_steps.map(|most| (STEPS.to_owned(), most.get()));
    Horizon {
        length: names(&["duration.epochs", "duration.max_steps"]),
        cadence: names(&["checkpoint", "eval"]),
        limits: std::iter::once(epochs).chain(steps).collect(),
        reuse: reuse(config),
    }
}

fn reuse(config: &SftConfig) -> Reuse {
    let schedule = &config.optim.schedule;
    let apart = |because: String, help: &str| Reuse::Apart { because, help: help.to_owned() };
    let fixed = "give `optim.schedule.warmup` as a number of steps";
    match (config.checkpoint.resume, schedule.name) {
        (Resume::Prefix, _) => Reuse::Any,
        (Resume::Never, _) => apart("`checkpoint.resume` is `never`".to_owned(), "set it to `auto`"),
        (Resume::Auto, Shape::Cosine | Shape::Linear | Shape::Polynomial | Shape::Rex) => apart(
            format!("under the {} schedule the learning rate depends on the number of steps", schedule.name),
            "set `optim.schedule.name: constant_with_warmup` or `wsd`, or `checkpoint.resume: prefix` to go on all the same",
        ),
        (Resume::Auto, Shape::Constant | Shape::ConstantWithWarmup | Shape::Wsd) if !schedule.warmup.is_fixed() => {
            apart(format!("the warm-up takes {} of all steps", schedule.warmup), fixed)
        }
        (Resume::Auto, Shape::Constant | Shape::ConstantWithWarmup | Shape::Wsd) => Reuse::Shared,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reused(name: &str, warmup: &serde_json::Value, resume: &str) -> Reuse {
        let config = json!({
            "base": "file:m",
            "optim": {"schedule": {"name": name, "warmup": warmup}},
            "duration": {"epochs": 3, "max_steps": 70},
            "checkpoint": {"resume": resume},
        });
        of(&serde_json::from_value(config).unwrap()).reuse
    }

    #[test]
    fn only_a_schedule_that_does_not_look_ahead_shares_its_steps() {
        for name in ["constant", "constant_with_warmup", "wsd"] {
            assert_eq!(reused(name, &json!(5), "auto"), Reuse::Shared);
            assert!(matches!(reused(name, &json!("3%"), "auto"), Reuse::Apart { because, .. } if because.contains("3%")));
        }
        for name in ["cosine", "linear", "polynomial", "rex"] {
            assert!(matches!(reused(name, &json!(5), "auto"), Reuse::Apart { because, .. } if because.contains(name)));
            assert_eq!(reused(name, &json!(5), "prefix"), Reuse::Any);
        }
    }

    #[test]
    fn the_limits_are_those_of_the_duration() {
        let config = |duration: &str| serde_json::from_str(&format!(r#"{{"base": "file:m", "duration": {duration}}}"#)).unwrap();
        let limits = |duration| of(&config(duration)).limits.into_iter().collect::<Vec<_>>();
        assert_eq!(limits(r#"{"epochs": 5}"#), [(EPOCHS.to_owned(), 5)]);
        assert_eq!(limits(r#"{"epochs": 5, "max_steps": 9}"#), [(EPOCHS.to_owned(), 5), (STEPS.to_owned(), 9)]);
    }
}
