//! Values that many stages have alike: equal ones that come shortly after each other are kept once.

use std::{collections::VecDeque, sync::Arc};

/// How many values are compared with.
const MOST: usize = 16;

/// The values that came last.
#[derive(Debug)]
pub(super) struct Recent<T>(VecDeque<Arc<T>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: PartialEq> Recent<T> {
    /// The value, or an equal one that is kept already.
    pub(super) fn share(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.0.iter().find(|known| ***known == value) {
            return known.clone();
        }
        let value = Arc::new(value);
        self.0.truncate(MOST - 1);
        self.0.push_front(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_kept_once_while_they_are_recent() {
        let mut recent = Recent::default();
        let first = recent.share("a".to_owned());
        assert!(Arc::ptr_eq(&first, &recent.share("a".to_owned())));
        for number in 0..MOST {
            recent.share(number.to_string());
        }
        let again = recent.share("a".to_owned());
        assert!(!Arc::ptr_eq(&first, &again) && first == again);
    }
}
