//! Gates: a measured number against a limit, with the courage to say that the data does not tell.

use serde::Serialize;

use super::Interval;

/// The outcome of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateResult {
    /// The number is within the limit.
    Pass,
    /// The whole interval is beyond the limit.
    Fail,
    /// Too few mentions, or the number is beyond the limit but its interval reaches back over it.
    Inconclusive,
}

/// Judges the size of a number. `enough` tells whether there was enough data.
pub fn judge(measured: Option<Interval>, limit: f64, enough: bool) -> GateResult {
    let Some(Interval { low, value, high }) = measured.filter(|_| enough) else { return GateResult::Inconclusive };
    let least = if low <= 0.0 && high >= 0.0 { 0.0 } else { low.abs().min(high.abs()) };
    if value.abs() <= limit {
        GateResult::Pass
    } else if least > limit {
        GateResult::Fail
    } else {
        GateResult::Inconclusive
    }
}
