//! The learning rate as a function of the step: the formulas of transformers' schedules, step 0 first. Knows no optimizer.

use std::{f64::consts::PI, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ranges::{BelowOne, Positive};

/// The shape of the learning rate over the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Half a cosine from the full rate down to 0.
    #[default]
    Cosine,
    /// A straight line from the full rate down to 0.
    Linear,
    /// The full rate to the end.
    Constant,
    /// The same as `constant`, by its name in other trainers.
    ConstantWithWarmup,
    /// The full rate, then at the end half a cosine down to 0: warm-up, stable, decay.
    Wsd,
    /// A power of the remaining share of the steps, see `power`.
    Polynomial,
    /// Slow at first and fast at the end: the remaining share over the mean of it and 1 (Chen et al. 2022).
    Rex,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cosine => "cosine",
            Self::Linear => "linear",
            Self::Constant => "constant",
            Self::ConstantWithWarmup => "constant_with_warmup",
            Self::Wsd => "wsd",
            Self::Polynomial => "polynomial",
            Self::Rex => "rex",
        })
    }
}

/// How the learning rate moves: a warm-up from 0, then a shape.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// The shape after the warm-up.
    pub name: Shape,
    /// How long the rate climbs from 0: a share of all steps such as `3%`, or a number of steps.
    pub warmup: Portion,
    /// How long `wsd` falls at the end: a share of all steps or a number of steps.
    pub decay: Portion,
    /// What is left of the full rate after the last step, as a share of it.
    #[serde(skip_serializing_if = "is_nothing")]
    pub min_ratio: BelowOne,
    /// The exponent of `polynomial`; 1 is a straight line.
    #[serde(skip_serializing_if = "is_straight")]
    pub power: Positive,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            name: Shape::default(),
            warmup: Portion::Percent(3.0),
            decay: Portion::Percent(20.0),
            min_ratio: BelowOne::of(0.0),
            power: STRAIGHT,
        }
    }
}

const STRAIGHT: Positive = Positive::of(1.0);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_nothing(ratio: &BelowOne) -> bool {
    *ratio == BelowOne::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_straight(power: &Positive) -> bool {
    *power == STRAIGHT
}

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Portion {
    /// A number of optimizer steps.
    Steps(u64),
    /// A share of all optimizer steps in percent, rounded up.
    Percent(f64),
}

impl Portion {
    /// Whether it is the same in a run of any length.
    pub fn is_fixed(self) -> bool {
        match self {
            Self::Steps(_) => true,
            Self::Percent(percent) => percent <= 0.0,
        }
    }

    /// The number of steps it takes in a run of `total` steps.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the product lies between 0 and total")]
    pub fn steps(self, total: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Percent(percent) => (float(total) * (percent / 100.0)).ceil() as u64,
        }
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "{steps}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for Portion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("expected a share of the steps such as `3%`, or a number of steps, got {text:?}");
        let percent = text.strip_suffix('%').ok_or_else(wrong)?.trim().parse::<f64>().map_err(|_| wrong())?;
        if (0.0..=100.0).contains(&percent) { Ok(Self::Percent(percent)) } else { Err(wrong()) }
    }
}

impl Serialize for Portion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Steps(steps) => serializer.serialize_u64(*steps),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Portion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortionVisitor)
    }
}

struct PortionVisitor;

impl de::Visitor<'_> for PortionVisitor {
    type Value = Portion;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share of the steps such as `3%`, or a number of steps")
    }

    fn visit_u64<E: de::Error>(self, steps: u64) -> Result<Portion, E> {
        Ok(Portion::Steps(steps))
    }

    fn visit_i64<E: de::Error>(self, steps: i64) -> Result<Portion, E> {
        u64::try_from(steps).map(Portion::Steps).map_err(|_| E::invalid_value(de::Unexpected::Signed(steps), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Portion, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for Portion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Portion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*%$"}]})
    }
}

/// The schedule of one run.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    peak: f64,
    shape: Shape,
    warmup: u64,
    /// The first step of the decay of `wsd`.
    stable: u64,
    total: u64,
    fixed_warmup: bool,
    /// The factor after the last step, of shapes that fall.
    least: f64,
    power: f64,
}

impl Schedule {
    /// Fixes a configuration to a run of `total` optimizer steps and a full rate of `peak`.
    pub fn new(config: &ScheduleConfig, peak: f64, total: u64) -> Self {
        let warmup = config.warmup.steps(total);
        let stable = total.saturating_sub(config.decay.steps(total)).max(warmup);
        let (least, power) = (config.min_ratio.get(), config.power.get());
        Self { peak, shape: config.name, warmup, stable, total, fixed_warmup: config.warmup.is_fixed(), least, power }
    }

    /// The number of first steps whose rates are the same in every longer run.
    pub fn shared(&self) -> u64 {
        match self.shape {
            _ if !self.fixed_warmup => 0,
            Shape::Constant | Shape::ConstantWithWarmup => u64::MAX,
            Shape::Wsd => self.stable,
            Shape::Cosine | Shape::Linear | Shape::Polynomial | Shape::Rex => 0,
        }
    }

    /// The rate of the optimizer step with this number, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        self.peak * self.factor(step)
    }

    fn factor(&self, step: u64) -> f64 {
        if step < self.warmup {
            return float(step) / float(self.warmup.max(1));
        }
        if matches!(self.shape, Shape::Constant | Shape::ConstantWithWarmup) {
            return 1.0;
        }
        let falling = self.falling(step);
        // Without a floor nothing is computed, so that old rates stay the same to the bit.
        if self.least > 0.0 { falling * (1.0 - self.least) + self.least } else { falling }
    }

    /// From 1 at the end of the warm-up to 0 after the last step.
    fn falling(&self, step: u64) -> f64 {
        let decay = float(self.total.saturating_sub(self.warmup).max(1));
        let left = float(self.total.saturating_sub(step)) / decay;
        match self.shape {
            Shape::Constant | Shape::ConstantWithWarmup => 1.0,
            Shape::Wsd if step < self.stable => 1.0,
            Shape::Wsd => half_cosine(float(step - self.stable) / float(self.total.saturating_sub(self.stable).max(1))),
            Shape::Linear => left,
            Shape::Polynomial => left.powf(self.power),
            Shape::Rex => left / (0.5 + 0.5 * left),
            Shape::Cosine => half_cosine(float(step - self.warmup) / decay),
        }
    }
}

fn half_cosine(progress: f64) -> f64 {
    (0.5 * (1.0 + (PI * progress).cos())).max(0.0)
}

#[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(name: Shape, warmup: Portion, total: u64) -> Vec<f64> {
        let schedule = Schedule::new(&ScheduleConfig { name, warmup, ..ScheduleConfig::default() }, 1.0, total);
        (0..=total).map(|step| schedule.rate(step)).collect()
    }

    #[test]
    fn cosine_equals_transformers() {
        // transformers.get_cosine_schedule_with_warmup(optimizer, 2, 6), lr 1.0
        let expected = [0.0, 0.5, 1.0, 0.853_553_390_593_273_7, 0.5, 0.146_446_609_406_726_24, 0.0];
        for (got, want) in rates(Shape::Cosine, Portion::Steps(2), 6).iter().zip(expected) {
            assert!((got - want).abs() < 1e-15, "{got} is not {want}");
        }
    }

    #[test]
    fn linear_and_constant_equal_transformers() {
        assert_eq!(rates(Shape::Linear, Portion::Steps(2), 6), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]);
        assert_eq!(rates(Shape::Constant, Portion::Steps(2), 4), [0.0, 0.5, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn wsd_equals_transformers() {
        // transformers.get_wsd_schedule(optimizer, 2, 2, num_training_steps=10), lr 1.0
        assert_eq!(rates(Shape::Wsd, Portion::Steps(2), 10), [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn a_floor_and_a_power_equal_transformers() {
        let with = |name, min_ratio, power| {
            let (min_ratio, power) = (BelowOne::of(min_ratio), Positive::of(power));
            let config = ScheduleConfig { name, warmup: Portion::Steps(2), min_ratio, power, ..ScheduleConfig::default() };
            let schedule = Schedule::new(&config, 1.0, 6);
            (0..=6).map(|step| schedule.rate(step)).collect::<Vec<_>>()
        };
        // transformers.get_polynomial_decay_schedule_with_warmup(optimizer, 2, 6, lr_end=0.25, power=2.0), lr 1.0
        assert_eq!(with(Shape::Polynomial, 0.25, 2.0), [0.0, 0.5, 1.0, 0.671_875, 0.4375, 0.296_875, 0.25]);
        // transformers.get_cosine_with_min_lr_schedule_with_warmup(optimizer, 2, 6, min_lr_rate=0.25), lr 1.0
        let cosine = [0.0, 0.5, 1.0, 0.890_165_042_944_955_3, 0.625, 0.359_834_957_055_044_7, 0.25];
        for (got, want) in with(Shape::Cosine, 0.25, 1.0).iter().zip(cosine) {
            assert!((got - want).abs() < 1e-15, "{got} is not {want}");
        }
    }

    #[test]
    fn rex_falls_as_published() {
        // (1 - z) / (1/2 + 1/2 (1 - z)) at z = 0, 1/4, 1/2, 3/4, 1: equation 2 of the paper.
        let expected = [1.0, 0.75 / 0.875, 0.5 / 0.75, 0.25 / 0.625, 0.0];
        for (got, want) in rates(Shape::Rex, Portion::Steps(0), 4).iter().zip(expected) {
            assert!((got - want).abs() < 1e-15, "{got} is not {want}");
        }
    }

    #[test]
    fn the_shared_steps_have_the_same_rates_in_every_longer_run() {
        for name in
            [Shape::Cosine, Shape::Linear, Shape::Polynomial, Shape::Rex, Shape::Constant, Shape::ConstantWithWarmup, Shape::Wsd]
        {
            for warmup in [Portion::Steps(3), Portion::Percent(10.0), Portion::Percent(0.0)] {
                let config = ScheduleConfig { name, warmup, ..ScheduleConfig::default() };
                for (short, long) in [(20, 30), (20, 21), (7, 50)] {
                    let (one, other) = (Schedule::new(&config, 0.1, short), Schedule::new(&config, 0.1, long));
                    let shared = one.shared().min(short);
                    assert!(other.shared() >= one.shared());
                    assert!((0..shared).all(|step| one.rate(step).to_bits() == other.rate(step).to_bits()), "{config:?}");
                }
                let horizonless = matches!(name, Shape::Constant | Shape::ConstantWithWarmup | Shape::Wsd);
                assert_eq!(Schedule::new(&config, 0.1, 20).shared() > 0, horizonless && warmup.is_fixed(), "{config:?}");
            }
        }
    }

    #[test]
    fn no_warmup_starts_at_the_full_rate() {
        assert_eq!(rates(Shape::Cosine, Portion::Steps(0), 2), [1.0, 0.5, 0.0]);
    }

    #[test]
    fn a_percentage_is_rounded_up() {
        assert_eq!(Portion::Percent(3.0).steps(101), 4);
        assert_eq!(Portion::Percent(0.0).steps(101), 0);
    }

    #[test]
    fn warmup_reads_percent_and_steps_and_refuses_the_rest() {
        let parse = |json: &str| serde_json::from_str::<Portion>(json);
        assert_eq!(parse("\"2.5%\"").unwrap(), Portion::Percent(2.5));
        assert_eq!(parse("10").unwrap(), Portion::Steps(10));
        for wrong in ["\"10\"", "\"120%\"", "-1", "0.03", "true"] {
            assert!(parse(wrong).is_err(), "{wrong} was accepted");
        }
        assert_eq!(serde_json::to_string(&Portion::Percent(3.0)).unwrap(), "\"3%\"");
    }
}
