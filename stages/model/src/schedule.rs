//! The learning rate as a function of the step: the formulas of transformers' schedules, step 0 first. Knows no optimizer.

use std::{f64::consts::PI, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The shape of the learning rate over the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Half a cosine from the full rate down to 0.
    #[default]
    Cosine,
    /// A straight line from the full rate down to 0.
    Linear,
    /// The full rate throughout.
    Constant,
}

/// How the learning rate moves: a warm-up from 0, then a shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// The shape after the warm-up.
    pub name: Shape,
    /// How long the rate climbs from 0: a share of all steps such as `3%`, or a number of steps.
    pub warmup: Warmup,
}

/// The length of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warmup {
    /// A number of optimizer steps.
    Steps(u64),
    /// A share of all optimizer steps in percent, rounded up.
    Percent(f64),
}

impl Default for Warmup {
    fn default() -> Self {
        Self::Percent(3.0)
    }
}

impl Warmup {
    /// The number of steps it takes in a run of `total` steps.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the product lies between 0 and total")]
    pub fn steps(self, total: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Percent(percent) => (float(total) * (percent / 100.0)).ceil() as u64,
        }
    }
}

impl fmt::Display for Warmup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "{steps}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for Warmup {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("expected a share of the steps such as `3%`, or a number of steps, got {text:?}");
        let percent = text.strip_suffix('%').ok_or_else(wrong)?.trim().parse::<f64>().map_err(|_| wrong())?;
        if (0.0..=100.0).contains(&percent) { Ok(Self::Percent(percent)) } else { Err(wrong()) }
    }
}

impl Serialize for Warmup {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Steps(steps) => serializer.serialize_u64(*steps),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Warmup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WarmupVisitor)
    }
}

struct WarmupVisitor;

impl de::Visitor<'_> for WarmupVisitor {
    type Value = Warmup;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share of the steps such as `3%`, or a number of steps")
    }

    fn visit_u64<E: de::Error>(self, steps: u64) -> Result<Warmup, E> {
        Ok(Warmup::Steps(steps))
    }

    fn visit_i64<E: de::Error>(self, steps: i64) -> Result<Warmup, E> {
        u64::try_from(steps).map(Warmup::Steps).map_err(|_| E::invalid_value(de::Unexpected::Signed(steps), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Warmup, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for Warmup {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Warmup".into()
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
    total: u64,
}

impl Schedule {
    /// Fixes a configuration to a run of `total` optimizer steps and a full rate of `peak`.
    pub fn new(config: &ScheduleConfig, peak: f64, total: u64) -> Self {
        Self { peak, shape: config.name, warmup: config.warmup.steps(total), total }
    }

    /// The rate of the optimizer step with this number, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        self.peak * self.factor(step)
    }

    fn factor(&self, step: u64) -> f64 {
        if step < self.warmup {
            return float(step) / float(self.warmup.max(1));
        }
        let decay = float(self.total.saturating_sub(self.warmup).max(1));
        match self.shape {
            Shape::Constant => 1.0,
            Shape::Linear => float(self.total.saturating_sub(step)) / decay,
            Shape::Cosine => {
                let progress = float(step - self.warmup) / decay;
                (0.5 * (1.0 + (PI * progress).cos())).max(0.0)
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(name: Shape, warmup: Warmup, total: u64) -> Vec<f64> {
        let schedule = Schedule::new(&ScheduleConfig { name, warmup }, 1.0, total);
        (0..=total).map(|step| schedule.rate(step)).collect()
    }

    #[test]
    fn cosine_equals_transformers() {
        // transformers.get_cosine_schedule_with_warmup(optimizer, 2, 6), lr 1.0
        let expected = [0.0, 0.5, 1.0, 0.853_553_390_593_273_7, 0.5, 0.146_446_609_406_726_24, 0.0];
        for (got, want) in rates(Shape::Cosine, Warmup::Steps(2), 6).iter().zip(expected) {
            assert!((got - want).abs() < 1e-15, "{got} is not {want}");
        }
    }

    #[test]
    fn linear_and_constant_equal_transformers() {
        assert_eq!(rates(Shape::Linear, Warmup::Steps(2), 6), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]);
        assert_eq!(rates(Shape::Constant, Warmup::Steps(2), 4), [0.0, 0.5, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn no_warmup_starts_at_the_full_rate() {
        assert_eq!(rates(Shape::Cosine, Warmup::Steps(0), 2), [1.0, 0.5, 0.0]);
    }

    #[test]
    fn a_percentage_is_rounded_up() {
        assert_eq!(Warmup::Percent(3.0).steps(101), 4);
        assert_eq!(Warmup::Percent(0.0).steps(101), 0);
    }

    #[test]
    fn warmup_reads_percent_and_steps_and_refuses_the_rest() {
        let parse = |json: &str| serde_json::from_str::<Warmup>(json);
        assert_eq!(parse("\"2.5%\"").unwrap(), Warmup::Percent(2.5));
        assert_eq!(parse("10").unwrap(), Warmup::Steps(10));
        for wrong in ["\"10\"", "\"120%\"", "-1", "0.03", "true"] {
            assert!(parse(wrong).is_err(), "{wrong} was accepted");
        }
        assert_eq!(serde_json::to_string(&Warmup::Percent(3.0)).unwrap(), "\"3%\"");
    }
}
