//! Which language a text is in, or that nobody can tell.
//!
//! The script of the letters decides first: most scripts belong to one language, or to a few that differ in some letters.
//! For Latin letters a linear classifier over character n-grams decides (`whichlang`), and its answer counts only when the
//! text keeps to the alphabet and the common words of that language. A text of fewer than [`MIN_LETTERS`] letters, a text in
//! two scripts, and one whose halves disagree have no language: [`detect`] never guesses there.

mod latin;
mod prose;
mod script;

use std::{collections::BTreeSet, fmt};

use script::{Hint, Letters};
use unicode_script::Script;

/// Letters below which no language is named.
pub const MIN_LETTERS: usize = 20;

/// A language by its ISO 639-1 code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(&'static str);

impl Language {
    /// Its two letters.
    pub fn code(self) -> &'static str {
        self.0
    }

    /// The language of a code, if it is one that [`detect`] can name.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::all().into_iter().find(|language| language.0 == code)
    }

    /// Every language that can be named.
    pub fn all() -> BTreeSet<Self> {
        script::languages().chain(latin::languages()).collect()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Returns the language of a text; none if it has fewer than `min_letters` letters of prose or nobody can tell.
pub fn detect(text: &str, min_letters: usize) -> Option<Language> {
    let prose = prose::prose(text);
    let letters = Letters::of(&prose);
    if letters.total < min_letters {
        return None;
    }
    let script = letters.main()?;
    match script::hint(&prose, script) {
        Hint::Is(language) => Some(language),
        Hint::Ask => latin::detect(&prose),
        Hint::Unknown => None,
    }
}

/// How many letters a text has, whatever the script.
pub fn letters(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphabetic()).count()
}

/// The script of most letters of a text, for reports.
pub fn main_script(text: &str) -> Option<Script> {
    Letters::of(text).main()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<&'static str> {
        detect(text, MIN_LETTERS).map(Language::code)
    }

    #[test]
    fn scripts_and_alphabets_tell() {
        assert_eq!(code("The printer on the third floor has been offline since Monday."), Some("en"));
        assert_eq!(code("Der Drucker im dritten Stock ist seit Montag nicht mehr erreichbar."), Some("de"));
        assert_eq!(code("L'imprimante du troisième étage ne répond plus depuis lundi matin."), Some("fr"));
        assert_eq!(code("Принтер на третьем этаже не работает с понедельника."), Some("ru"));
        assert_eq!(code("Принтер на третьому поверсі не працює з понеділка, її вимкнено."), Some("uk"));
        assert_eq!(code("三階のプリンターは月曜日の朝から動いていません。助けてください。"), Some("ja"));
        assert_eq!(code("三楼的打印机从星期一早上开始就一直无法使用，请尽快派人来修理。"), Some("zh"));
        assert_eq!(code("پرینتر طبقه سوم از صبح دوشنبه کار نمی‌کند و کسی آن را تعمیر نکرده است"), Some("fa"));
    }

    #[test]
    fn short_texts_code_and_mixed_scripts_have_no_language() {
        assert_eq!(code("ok merci"), None);
        assert_eq!(code("12 345 678 90 12 345 678 90"), None);
        assert_eq!(code("```\nfn main() { println!(\"hello\"); let language = 1; }\n```"), None);
        assert_eq!(code("Привет дорогие друзья как дела hello dear friends how are you"), None);
    }

    #[test]
    fn codes_are_known_or_refused() {
        assert_eq!(Language::from_code("de").map(Language::code), Some("de"));
        assert_eq!(Language::from_code("english"), None);
        assert!(Language::all().len() > 30);
    }
}
