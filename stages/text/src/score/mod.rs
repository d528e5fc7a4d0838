//! Scores of generated text against a reference, and what a difference of two models over the same items is worth.

mod fields;
mod paired;
mod rouge;
mod text;

pub use fields::{FieldScore, match_fields, parse_fields};
pub use paired::{Bootstrap, PairedDifference, SplitMix64, paired_difference};
pub use rouge::{Overlap, Rouge, rouge};
pub use text::{Normalizer, exact_match, token_f1};
