//! The shape of an adapter: which projections carry a pair, how wide each is, and how much it counts.

use std::collections::BTreeSet;

use super::{Pattern, Target};
use crate::ModelConfig;

/// The shape of an adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Width of the bottleneck.
    pub rank: usize,
    /// The pair's product is scaled by this over a function of the rank, see [`Scaling`].
    pub alpha: f64,
    /// Share of the pair's inputs dropped in training.
    pub dropout: f64,
    /// The projections that carry a pair.
    pub targets: BTreeSet<Target>,
    /// Of those, only the paths that match, in whichever blocks.
    pub only: Option<Pattern>,
    /// What the scale is over.
    pub scaling: Scaling,
    /// Whether rows have a length of their own.
    pub kind: AdapterKind,
    /// Other ranks of some paths. Where several match they agree, see [`LoraConfig::check`].
    pub ranks: Vec<(Pattern, usize)>,
    /// Other alphas of some paths.
    pub alphas: Vec<(Pattern, f64)>,
}

/// What a pair is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdapterKind {
    /// An addend of low rank (Hu et al. 2021).
    #[default]
    Lora,
    /// `LoRA` for the direction of every row of the sum, beside a trained length of the row (`DoRA`, Liu et al. 2024).
    Dora,
}

/// What alpha is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scaling {
    /// The rank.
    #[default]
    Rank,
    /// Its square root: the update stays as large at any rank (Kalajdzievski 2023).
    RootOfRank,
}

/// The shape of one pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Site {
    /// Width of the bottleneck.
    pub rank: usize,
    /// The factor on the pair's product.
    pub scale: f64,
}

impl Default for LoraConfig {
    /// Rank 16, alpha 32, no dropout, and no projection yet.
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            targets: BTreeSet::new(),
            only: None,
            scaling: Scaling::default(),
            kind: AdapterKind::default(),
            ranks: Vec::new(),
            alphas: Vec::new(),
        }
    }
}

impl LoraConfig {
    /// The shape of the pair of a projection of block `layer`, if it carries one.
    pub fn site(&self, target: Target, layer: usize) -> Option<Site> {
        let path = target.path(layer);
        if !self.targets.contains(&target) || self.only.as_ref().is_some_and(|only| !only.matches(&path)) {
            return None;
        }
        let rank = matching(&self.ranks, &path).next().unwrap_or(self.rank);
        let alpha = matching(&self.alphas, &path).next().unwrap_or(self.alpha);
        Some(Site { rank, scale: self.scaling.scale(alpha, rank) })
    }

    /// Refuses patterns that match no projection, and two that want different things of one: nothing would say which holds.
    pub fn check(&self, model: &ModelConfig) -> Result<(), String> {
        let sites = self.targets.iter().flat_map(|target| (0..model.layers).map(move |layer| (*target, layer)));
        let paths: Vec<String> = sites
            .filter(|(target, layer)| self.site(*target, *layer).is_some())
            .map(|(target, layer)| target.path(layer))
            .collect();
        if paths.is_empty() {
            let pattern = self.only.as_ref().map_or("", Pattern::text);
            return Err(format!("{pattern:?} matches no projection, such as {}", example(model)));
        }
        agree(&self.ranks, &paths)?;
        agree(&self.alphas, &paths)
    }
}

impl Scaling {
    /// The factor on a pair's product.
    #[expect(clippy::cast_precision_loss, reason = "ranks are far below 2^52")]
    fn scale(self, alpha: f64, rank: usize) -> f64 {
        match self {
            Self::Rank => alpha / rank as f64,
            Self::RootOfRank => alpha / (rank as f64).sqrt(),
        }
    }
}

fn matching<T: Copy>(patterns: &[(Pattern, T)], path: &str) -> impl Iterator<Item = T> {
    patterns.iter().filter(move |(pattern, _)| pattern.matches(path)).map(|(_, value)| *value)
}

fn agree<T: Copy + PartialEq>(patterns: &[(Pattern, T)], paths: &[String]) -> Result<(), String> {
    if let Some((pattern, _)) = patterns.iter().find(|(pattern, _)| !paths.iter().any(|path| pattern.matches(path))) {
        return Err(format!("{:?} matches no adapted projection", pattern.text()));
    }
    for path in paths {
        let mut values = matching(patterns, path);
        if let Some(first) = values.next()
            && values.any(|other| other != first)
        {
            let all: Vec<&str> =
                patterns.iter().filter(|(pattern, _)| pattern.matches(path)).map(|(pattern, _)| pattern.text()).collect();
            return Err(format!("{} match {path} and want different things of it", all.join(" and ")));
        }
    }
    Ok(())
}

fn example(model: &ModelConfig) -> String {
    model.family.projections().first().map_or_else(String::new, |target| target.path(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::config::tests::tiny;

    fn config() -> LoraConfig {
        LoraConfig { rank: 4, alpha: 8.0, targets: Target::LLAMA.into(), ..LoraConfig::default() }
    }

    #[test]
    fn the_scale_is_alpha_over_the_rank_or_over_its_root() {
        let scale = |config: LoraConfig| config.site(Target::QProj, 0).unwrap().scale;
        assert!((scale(config()) - 2.0).abs() < f64::EPSILON);
        assert!((scale(LoraConfig { scaling: Scaling::RootOfRank, ..config() }) - 4.0).abs() < f64::EPSILON);
    }

    #[test]
    fn patterns_change_rank_and_alpha_of_what_they_match() {
        let ranks = vec![(Pattern::end("layers.1.self_attn.q_proj").unwrap(), 2), (Pattern::end("[qk]_proj").unwrap(), 2)];
        let config = LoraConfig { ranks, alphas: vec![(Pattern::end("down_proj").unwrap(), 1.0)], ..config() };
        config.check(&tiny()).unwrap();
        assert_eq!(config.site(Target::QProj, 1).unwrap(), Site { rank: 2, scale: 4.0 });
        assert_eq!(config.site(Target::VProj, 1).unwrap(), Site { rank: 4, scale: 2.0 });
        assert_eq!(config.site(Target::DownProj, 0).unwrap(), Site { rank: 4, scale: 0.25 });
    }

    #[test]
    fn a_pattern_picks_blocks() {
        let only = Some(Pattern::whole(r".*layers\.1\..*_proj").unwrap());
        let config = LoraConfig { only, ..config() };
        config.check(&tiny()).unwrap();
        assert!(config.site(Target::QProj, 0).is_none() && config.site(Target::QProj, 1).is_some());
    }

    #[test]
    fn patterns_that_match_nothing_or_contradict_are_refused() {
        let refusal = |config: LoraConfig| config.check(&tiny()).unwrap_err();
        let only = Some(Pattern::whole("q_proj").unwrap());
        let said = refusal(LoraConfig { only, ..config() });
        assert!(said.contains("\"q_proj\"") && said.contains("model.layers.0.self_attn.q_proj"), "{said}");
        let said = refusal(LoraConfig { ranks: vec![(Pattern::end("layers.9.*").unwrap(), 2)], ..config() });
        assert!(said.contains("layers.9"), "{said}");
        let ranks = vec![(Pattern::end("q_proj").unwrap(), 2), (Pattern::end("layers.0.*").unwrap(), 3)];
        let said = refusal(LoraConfig { ranks, ..config() });
        assert!(said.contains("q_proj and layers.0.* match model.layers.0.self_attn.q_proj"), "{said}");
    }
}
