//! `toy/walk`: works in steps and keeps checkpoints, as training does, on a number instead of tensors.

use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ArtifactKind, Ports, Stage, StageContext, StageError,
    horizon::{Horizon, Milestone, Reach, Reuse},
};

/// How the size of a step depends on the length of the walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// Not at all.
    #[default]
    Steady,
    /// Only in the last fifth.
    Settling,
    /// From the first step on.
    Falling,
}

/// What may be taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resume {
    /// What a walk of this length would have passed too.
    #[default]
    Auto,
    /// Every shorter walk.
    Prefix,
}

/// A walk.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WalkConfig {
    /// How many steps it has.
    pub steps: u64,
    /// Steps between two checkpoints.
    #[serde(default = "often")]
    pub every: u64,
    /// How long a step takes.
    #[serde(default)]
    pub millis: u64,
    /// Where it starts.
    #[serde(default)]
    pub start: u64,
    /// How far a step goes.
    #[serde(default)]
    pub pace: Pace,
    /// What it goes on from.
    #[serde(default)]
    pub resume: Resume,
}

fn often() -> u64 {
    2
}

impl WalkConfig {
    fn reach(&self) -> Reach {
        let shared = match self.pace {
            Pace::Steady => u64::MAX,
            Pace::Settling => self.steps - self.steps / 5,
            Pace::Falling => 0,
        };
        Reach { total: self.steps, shared }
    }

    /// The place after one more step.
    fn step(&self, place: u64, step: u64) -> u64 {
        let length = if step < self.reach().shared { 0 } else { self.steps };
        (place ^ step).wrapping_add(length).wrapping_mul(0x0000_0100_0000_01b3)
    }
}

/// `toy/walk`: walks and writes where it ended to `out`.
pub struct Walk;

impl Stage for Walk {
    type Config = WalkConfig;
    const KIND: &'static str = "toy/walk";
    const REVISION: u32 = 1;

    fn ports(_: &WalkConfig) -> Ports {
        Ports::new().writes("out", ArtifactKind::File)
    }

    fn horizon(config: &WalkConfig) -> Option<Horizon> {
        let reuse = match (config.resume, config.pace) {
            (Resume::Prefix, _) => Reuse::Any,
            (Resume::Auto, Pace::Steady | Pace::Settling) => Reuse::Shared,
            (Resume::Auto, Pace::Falling) => Reuse::Apart {
                because: "every step of a falling pace depends on their number".to_owned(),
                help: "set `pace: steady`".to_owned(),
            },
        };
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Some(Horizon {
            length: names(&["steps"]),
            cadence: names(&["every", "millis", "resume"]),
            limits: BTreeMap::from([("steps".to_owned(), config.steps)]),
            reuse,
        })
    }

    fn run(config: &WalkConfig, cx: &mut StageContext<'_>) -> Result<(), StageError> {
        let (mut at, mut place) = resume(config, cx)?;
        while at < config.steps {
            if let Err(stop) = cx.check_cancelled() {
                save(config, cx, (at, place))?;
                return Err(stop);
            }
            thread::sleep(Duration::from_millis(config.millis));
            place = config.step(place, at);
            at += 1;
            cx.progress(at, Some(config.steps), "steps");
            if at.is_multiple_of(config.every.max(1)) || at == config.steps || at == config.reach().shared {
                save(config, cx, (at, place))?;
            }
        }
        fs::write(cx.output("out")?, format!("{at} {place:016x}\n")).map_err(StageError::from)
    }
}

fn resume(config: &WalkConfig, cx: &StageContext<'_>) -> Result<(u64, u64), StageError> {
    let mut begin = (0, config.start);
    if let Some(keeper) = cx.keeper() {
        keeper.resume(config.reach(), &mut |milestone, folder| {
            begin = (milestone.step, read(folder).ok_or("it holds no place")?);
            Ok(())
        })?;
    }
    Ok(begin)
}

fn read(folder: &Path) -> Option<u64> {
    fs::read_to_string(folder.join("place")).ok()?.trim().parse().ok()
}

fn save(config: &WalkConfig, cx: &StageContext<'_>, (step, place): (u64, u64)) -> Result<(), StageError> {
    let Some(keeper) = cx.keeper() else { return Ok(()) };
    let folder = cx.scratch().join("checkpoint");
    // A killed attempt may have left one whose files are links into the store.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("place"), place.to_string())?;
    let Reach { total, shared } = config.reach();
    let position = BTreeMap::from([("steps".to_owned(), step)]);
    keeper.save(&Milestone { step, total, position, shared: step <= shared }, &folder, 2)
}
