//! Patterns over the paths of projections, as PEFT reads them: Python's `re`, of which the common part is the same here.

use regex::Regex;

/// A regular expression over paths such as `model.layers.0.self_attn.q_proj`.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// Matches a whole path, as `target_modules` does.
    pub fn whole(text: &str) -> Result<Self, String> {
        Self::anchored(text, &format!("^(?:{text})$"))
    }

    /// Matches a whole path or what follows one of its dots, as the keys of `rank_pattern` and `alpha_pattern` do.
    pub fn end(text: &str) -> Result<Self, String> {
        Self::anchored(text, &format!(r"^(?:.*\.)?(?:{text})$"))
    }

    fn anchored(text: &str, anchored: &str) -> Result<Self, String> {
        match (Regex::new(text), Regex::new(anchored)) {
            (Ok(_), Ok(regex)) => Ok(Self { text: text.to_owned(), regex }),
            _ => Err(format!("{text:?} is not a regular expression")),
        }
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a path matches.
    pub fn matches(&self, path: &str) -> bool {
        self.regex.is_match(path)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_path_or_its_end() {
        let path = "model.layers.10.self_attn.q_proj";
        assert!(Pattern::whole(r".*\.(q|v)_proj").unwrap().matches(path));
        assert!(!Pattern::whole("q_proj").unwrap().matches(path));
        for end in ["q_proj", "self_attn.q_proj", "layers.10.self_attn.q_proj", path, r"layers\.1\d\..*"] {
            assert!(Pattern::end(end).unwrap().matches(path), "{end}");
        }
        for other in ["proj", "layers.1", "0.self_attn.q_pro", "k_proj|v_proj"] {
            assert!(!Pattern::end(other).unwrap().matches(path), "{other}");
        }
        assert!(Pattern::whole("(").is_err() && Pattern::whole("a)(b").is_err());
    }
}
