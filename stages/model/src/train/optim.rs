//! The options of `optim`: which rule moves the parameters, how far, and how the learning rate changes.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::{
    optimizer::{Adafactor, AdamW, AdamW8bit, Algorithm, Lion, Muon, Sgd},
    ranges::{BelowOne, Positive},
    schedule::ScheduleConfig,
};

/// Update rules by the names of the field's trainers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// `AdamW` with 32-bit moments.
    #[default]
    AdamW,
    /// `AdamW` with 8-bit moments: a quarter of the memory, nearly the same steps.
    AdamW8bit,
    /// Stochastic gradient descent.
    Sgd,
    /// The sign of a running mean; wants a third to a tenth of `AdamW`'s rate.
    Lion,
    /// Second moments by row and column: hardly any memory.
    Adafactor,
    /// Orthogonalized momentum.
    Muon,
}

impl OptimizerName {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The decay rates that its authors recommend; none where it has no running means.
    fn betas(self) -> Option<[BelowOne; 2]> {
        match self {
            Self::AdamW | Self::AdamW8bit => Some([BelowOne::of(0.9), BelowOne::of(0.999)]),
            Self::Lion => Some([BelowOne::of(0.9), BelowOne::of(0.99)]),
            Self::Sgd | Self::Adafactor | Self::Muon => None,
        }
    }

    /// The momentum that its authors recommend; none where it has no velocity.
    fn momentum(self) -> Option<BelowOne> {
        match self {
            Self::Sgd => Some(BelowOne::of(0.0)),
            Self::Muon => Some(BelowOne::of(0.95)),
            Self::AdamW | Self::AdamW8bit | Self::Lion | Self::Adafactor => None,
        }
    }
}

impl fmt::Display for OptimizerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// How parameters learn from gradients.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(try_from = "OptimDocument")]
pub struct OptimConfig {
    /// The rule. Left out of the canonical form when it is `AdamW`, as it was before there were others.
    #[serde(skip_serializing_if = "OptimizerName::is_default")]
    pub name: OptimizerName,
    /// The full learning rate.
    pub lr: Positive,
    /// Decay rates of the running means, where the rule has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub betas: Option<[BelowOne; 2]>,
    /// Added to the root of the second mean.
    pub eps: Positive,
    /// Decay of the weights.
    pub weight_decay: BelowOne,
    /// The share of the last velocity that stays, where the rule has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<BelowOne>,
    /// Whether a step looks ahead along the velocity, where the rule has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// Longest gradient, over all parameters together; none switches clipping off.
    pub max_grad_norm: Option<Positive>,
    /// How the learning rate moves.
    pub schedule: ScheduleConfig,
}

/// How parameters learn from gradients, as a file says it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct OptimDocument {
    /// The rule that moves the parameters.
    name: OptimizerName,
    /// The full learning rate.
    lr: Positive,
    /// Decay rates of the running means of the gradient and of its square; `[0.9, 0.999]` if left out, for lion `[0.9, 0.99]`.
    betas: Option<[BelowOne; 2]>,
    /// Added to the root of the second mean.
    eps: Positive,
    /// Decoupled decay of the weights, times the learning rate; for sgd it is added to the gradient.
    weight_decay: BelowOne,
    /// For sgd and muon: the share of the last velocity that stays; 0 for sgd and 0.95 for muon if left out.
    momentum: Option<BelowOne>,
    /// For sgd and muon: whether a step looks ahead along the velocity; muon does if this is left out.
    nesterov: Option<bool>,
    /// Longest gradient, over all parameters together; `null` switches clipping off.
    max_grad_norm: Option<Positive>,
    /// How the learning rate moves.
    schedule: ScheduleConfig,
}

impl Default for OptimDocument {
    fn default() -> Self {
        Self {
            name: OptimizerName::default(),
            lr: Positive::of(2e-4),
            betas: None,
            eps: Positive::of(1e-8),
            weight_decay: BelowOne::default(),
            momentum: None,
            nesterov: None,
            max_grad_norm: Some(Positive::of(1.0)),
            schedule: ScheduleConfig::default(),
        }
    }
}

impl TryFrom<OptimDocument> for OptimConfig {
    type Error = String;

    fn try_from(document: OptimDocument) -> Result<Self, String> {
        let name = document.name;
        let own = name.momentum();
        if document.betas.is_some() && name.betas().is_none() {
            return Err(format!("`betas` is for adamw, adamw8bit, and lion; {name} has none"));
        }
        for (option, given) in [("momentum", document.momentum.is_some()), ("nesterov", document.nesterov.is_some())] {
            if given && own.is_none() {
                return Err(format!("`{option}` is for sgd and muon; {name} has none"));
            }
        }
        let momentum = document.momentum.or(own);
        let nesterov = own.map(|_| document.nesterov.unwrap_or(name == OptimizerName::Muon));
        if nesterov == Some(true) && momentum == Some(BelowOne::default()) {
            return Err("`nesterov` looks ahead along the velocity: set `momentum` above 0".to_owned());
        }
        Ok(Self { momentum, nesterov, betas: document.betas.or(name.betas()), ..Self::plain(&document) })
    }
}

impl Default for OptimConfig {
    fn default() -> Self {
        let document = OptimDocument::default();
        Self { betas: document.name.betas(), ..Self::plain(&document) }
    }
}

impl JsonSchema for OptimConfig {
    fn schema_name() -> Cow<'static, str> {
        "OptimConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        OptimDocument::json_schema(generator)
    }
}

impl OptimConfig {
    /// What every rule has.
    fn plain(document: &OptimDocument) -> Self {
        Self {
            name: document.name,
            lr: document.lr,
            betas: None,
            eps: document.eps,
            weight_decay: document.weight_decay,
            momentum: None,
            nesterov: None,
            max_grad_norm: document.max_grad_norm,
            schedule: document.schedule,
        }
    }

    /// The update rule with its constants.
    pub fn algorithm(&self) -> Algorithm {
        let weight_decay = self.weight_decay.into();
        let betas = self.betas.unwrap_or_default();
        let adamw = AdamW { betas, eps: self.eps.get(), weight_decay };
        let momentum = self.momentum.unwrap_or_default();
        let nesterov = self.nesterov.unwrap_or_default();
        match self.name {
            OptimizerName::AdamW => Algorithm::AdamW(adamw),
            OptimizerName::AdamW8bit => Algorithm::AdamW8bit(AdamW8bit(adamw)),
            OptimizerName::Sgd => Algorithm::Sgd(Sgd { momentum, nesterov, weight_decay }),
            OptimizerName::Lion => Algorithm::Lion(Lion { betas, weight_decay }),
            OptimizerName::Adafactor => Algorithm::Adafactor(Adafactor { weight_decay }),
            OptimizerName::Muon => Algorithm::Muon(Muon { momentum, nesterov, weight_decay }),
        }
    }

    /// The rule's constants for a reader.
    pub(super) fn constants(&self) -> String {
        let mut parts = Vec::new();
        if let Some(betas) = self.betas {
            let [beta1, beta2] = betas.map(f64::from);
            parts.push(format!("betas {beta1}, {beta2}"));
        }
        if matches!(self.name, OptimizerName::AdamW | OptimizerName::AdamW8bit) {
            parts.push(format!("eps {}", self.eps.get()));
        }
        if let Some(momentum) = self.momentum {
            let ahead = if self.nesterov == Some(true) { ", Nesterov" } else { "" };
            parts.push(format!("momentum {}{ahead}", momentum.get()));
        }
        parts.push(format!("decay {}", self.weight_decay.get()));
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<OptimConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn what_existed_before_keeps_its_canonical_form() {
        let canonical = serde_json::to_string(&parse("{}").unwrap()).unwrap();
        let known = r#"{"lr":0.0002,"betas":[0.9,0.999],"eps":1e-8,"weight_decay":0.0,"max_grad_norm":1.0,"schedule":"#;
        assert!(canonical.starts_with(known), "{canonical}");
        assert_eq!(serde_json::to_string(&OptimConfig::default()).unwrap(), canonical);
    }

    #[test]
    fn every_rule_has_its_own_defaults_and_survives_a_round_trip() {
        for name in ["adamw", "adamw8bit", "sgd", "lion", "adafactor", "muon"] {
            let config = parse(&format!(r#"{{"name": "{name}"}}"#)).unwrap();
            assert_eq!(config.name.to_string(), name);
            let again = parse(&serde_json::to_string(&config).unwrap()).unwrap();
            assert_eq!(again.algorithm(), config.algorithm());
        }
        let lion = parse(r#"{"name": "lion"}"#).unwrap();
        assert!(matches!(lion.algorithm(), Algorithm::Lion(Lion { betas: [_, second], .. }) if second == BelowOne::of(0.99)));
        let muon = parse(r#"{"name": "muon", "weight_decay": 0.1}"#).unwrap();
        assert_eq!(muon.constants(), "momentum 0.95, Nesterov, decay 0.1");
    }

    #[test]
    fn options_of_another_rule_are_refused() {
        for (wrong, said) in [
            (r#"{"momentum": 0.9}"#, "adamw has none"),
            (r#"{"name": "muon", "betas": [0.9, 0.99]}"#, "muon has none"),
            (r#"{"name": "sgd", "nesterov": true}"#, "set `momentum`"),
            (r#"{"name": "adam"}"#, "adamw8bit"),
        ] {
            assert!(parse(wrong).unwrap_err().contains(said), "{wrong}: {:?}", parse(wrong));
        }
    }
}
