//! Conversations written down as one text: turns begin with the speaker's name after an empty line.

use flow_text::record::Message;

use super::{map::message, reject::Reject};

const SPEAKERS: [(&str, &str); 2] = [("\n\nHuman:", "user"), ("\n\nAssistant:", "assistant")];

/// Returns the turns of a transcript.
pub(super) fn turns(text: &str) -> Result<Vec<Message>, Reject> {
    // The first turn may stand at the very start.
    let text = format!("\n\n{}", text.trim_start());
    let mut starts: Vec<(usize, usize, &str)> = SPEAKERS
        .iter()
        .flat_map(|(mark, role)| text.match_indices(mark).map(move |(at, mark)| (at, at + mark.len(), *role)))
        .collect();
    starts.sort_unstable();
    if starts.first().is_none_or(|(at, _, _)| *at != 0) {
        return Err(Reject::BadTranscript);
    }
    let ends = starts.iter().skip(1).map(|(at, _, _)| *at).chain([text.len()]);
    let turn = |((_, from, role), to): (&(usize, usize, &str), usize)| {
        message(role, text.get(*from..to).unwrap_or_default().trim().to_owned())
    };
    Ok(starts.iter().zip(ends).map(turn).collect())
}
