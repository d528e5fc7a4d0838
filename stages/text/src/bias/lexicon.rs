//! Which words mention which group. Whole words and phrases, case folded but where a small letter means something else.

use std::collections::BTreeMap;

use super::Axis;

/// A group of the lexicon; smaller numbers come first in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIndex(pub usize);

/// Mentions in one text by group.
pub type Mentions = BTreeMap<GroupIndex, u32>;

/// Axis, group, and its words separated by bars. A word with a capital counts only when written so.
const GROUPS: [(Axis, &str, &str); 63] = [
    (
        Axis::Gender,
        "female",
        "she|her|hers|herself|woman|women|female|females|girl|girls|lady|ladies|mother|mothers|mom|mum|mommy|wife|wives|daughter|daughters|sister|sisters|aunt|aunts|grandmother|grandma|niece|girlfriend|queen|princess|actress|waitress|businesswoman|saleswoman|chairwoman|policewoman|congresswoman|housewife|bride|Mrs|Ms|Miss|madam|ma'am",
    ),
    (
        Axis::Gender,
        "male",
        "he|him|his|himself|man|men|male|males|boy|boys|gentleman|gentlemen|father|fathers|dad|daddy|husband|husbands|son|sons|brother|brothers|uncle|uncles|grandfather|grandpa|nephew|boyfriend|king|prince|actor|waiter|businessman|salesman|chairman|policeman|congressman|groom|Mr|sir",
    ),
    (
        Axis::Gender,
        "non_binary",
        "nonbinary|non-binary|genderqueer|genderfluid|agender|themself|Mx|transgender|trans people|trans person",
    ),
    (
        Axis::Age,
        "young",
        "young people|young person|young man|young woman|young adult|young adults|youth|youths|teenager|teenagers|teen|teens|millennial|millennials|gen z|toddler|toddlers|child|children|kid|kids|youngster|youngsters|adolescent|adolescents|student|students",
    ),
    (
        Axis::Age,
        "old",
        "old people|old person|old man|old woman|older people|older adults|elderly|senior citizen|senior citizens|seniors|pensioner|pensioners|retiree|retirees|boomer|boomers|octogenarian|grandparent|grandparents|the aged",
    ),
    (
        Axis::Religion,
        "christian",
        "Christian|Christians|Christianity|Catholic|Catholics|Protestant|Protestants|Evangelical|Evangelicals|Mormon|Mormons|church|churches|priest|bishop|pastor",
    ),
    (Axis::Religion, "muslim", "Muslim|Muslims|Islam|Islamic|mosque|mosques|imam|Sunni|Shia|hijab"),
    (Axis::Religion, "jewish", "Jew|Jews|Jewish|Judaism|synagogue|synagogues|rabbi"),
    (Axis::Religion, "hindu", "Hindu|Hindus|Hinduism"),
    (Axis::Religion, "buddhist", "Buddhist|Buddhists|Buddhism"),
    (Axis::Religion, "sikh", "Sikh|Sikhs|Sikhism|gurdwara"),
    (Axis::Religion, "none", "atheist|atheists|atheism|agnostic|agnostics|secular people"),
    (Axis::Nationality, "american", "American|Americans"),
    (Axis::Nationality, "argentine", "Argentine|Argentines|Argentinian|Argentinians"),
    (Axis::Nationality, "australian", "Australian|Australians"),
    (Axis::Nationality, "brazilian", "Brazilian|Brazilians"),
    (Axis::Nationality, "british", "British|Briton|Britons|Englishman|Englishwoman|Scottish|Welsh"),
    (Axis::Nationality, "canadian", "Canadian|Canadians"),
    (Axis::Nationality, "chinese", "Chinese"),
    (Axis::Nationality, "egyptian", "Egyptian|Egyptians"),
    (Axis::Nationality, "ethiopian", "Ethiopian|Ethiopians"),
    (Axis::Nationality, "french", "French|Frenchman|Frenchwoman"),
    (Axis::Nationality, "german", "German|Germans"),
    (Axis::Nationality, "greek", "Greek|Greeks"),
    (Axis::Nationality, "indian", "Indian|Indians"),
    (Axis::Nationality, "indonesian", "Indonesian|Indonesians"),
    (Axis::Nationality, "iranian", "Iranian|Iranians"),
    (Axis::Nationality, "iraqi", "Iraqi|Iraqis"),
    (Axis::Nationality, "irish", "Irish|Irishman|Irishwoman"),
    (Axis::Nationality, "israeli", "Israeli|Israelis"),
    (Axis::Nationality, "italian", "Italian|Italians"),
    (Axis::Nationality, "japanese", "Japanese"),
    (Axis::Nationality, "korean", "Korean|Koreans"),
    (Axis::Nationality, "mexican", "Mexican|Mexicans"),
    (Axis::Nationality, "nigerian", "Nigerian|Nigerians"),
    (Axis::Nationality, "pakistani", "Pakistani|Pakistanis"),
    (Axis::Nationality, "polish", "Polish people|Pole|Poles"),
    (Axis::Nationality, "romanian", "Romanian|Romanians"),
    (Axis::Nationality, "russian", "Russian|Russians"),
    (Axis::Nationality, "saudi", "Saudi|Saudis"),
    (Axis::Nationality, "spanish", "Spanish|Spaniard|Spaniards"),
    (Axis::Nationality, "syrian", "Syrian|Syrians"),
    (Axis::Nationality, "turkish", "Turkish|Turks"),
    (Axis::Nationality, "ukrainian", "Ukrainian|Ukrainians"),
    (Axis::Nationality, "vietnamese", "Vietnamese"),
    (
        Axis::RaceEthnicity,
        "white",
        "white people|white person|white man|white men|white woman|white women|white family|Caucasian|Caucasians|European American",
    ),
    (
        Axis::RaceEthnicity,
        "black",
        "black people|black person|black man|black men|black woman|black women|black family|Black people|African American|African Americans|Afro-American",
    ),
    (Axis::RaceEthnicity, "asian", "Asian|Asians|Asian American|Asian Americans"),
    (Axis::RaceEthnicity, "hispanic", "Hispanic|Hispanics|Latino|Latinos|Latina|Latinas|Latinx|Chicano"),
    (
        Axis::RaceEthnicity,
        "indigenous",
        "Native American|Native Americans|indigenous people|indigenous peoples|First Nations|Aboriginal|Inuit|Maori",
    ),
    (Axis::RaceEthnicity, "arab", "Arab|Arabs|Middle Eastern"),
    (Axis::RaceEthnicity, "roma", "Romani|Roma people|Sinti"),
    (
        Axis::Disability,
        "disabled",
        "disabled|disability|disabilities|wheelchair|wheelchair user|deaf|hard of hearing|blind person|blind people|visually impaired|autistic|autism|adhd|dyslexia|dyslexic|cerebral palsy|down syndrome|amputee|paraplegic|chronic illness|mentally ill|bipolar|schizophrenia|schizophrenic",
    ),
    (Axis::Disability, "not_disabled", "able-bodied|non-disabled|nondisabled|neurotypical|sighted people"),
    (Axis::Orientation, "homosexual", "gay|gays|lesbian|lesbians|homosexual|homosexuals|same-sex|queer"),
    (Axis::Orientation, "bisexual", "bisexual|bisexuals|pansexual"),
    (Axis::Orientation, "asexual", "asexual|asexuals"),
    (Axis::Orientation, "heterosexual", "heterosexual|heterosexuals|straight people|straight man|straight woman|straight couple"),
    (
        Axis::Socioeconomic,
        "poor",
        "poor people|poor family|poor families|the poor|homeless|low-income|working class|working-class|unemployed|welfare recipient|welfare recipients|impoverished|slum",
    ),
    (Axis::Socioeconomic, "middle_class", "middle class|middle-class"),
    (
        Axis::Socioeconomic,
        "rich",
        "rich people|the rich|wealthy|millionaire|millionaires|billionaire|billionaires|upper class|upper-class|high-income|affluent|aristocrat|aristocrats",
    ),
    (Axis::Socioeconomic, "migrant", "immigrant|immigrants|migrant|migrants|refugee|refugees|asylum seeker|asylum seekers"),
    (Axis::Socioeconomic, "native_born", "native-born|locals born here"),
];

/// Groups that the imbalance of an axis compares when no reference names others.
const COMPARED: [(Axis, [&str; 2]); 4] = [
    (Axis::Gender, ["female", "male"]),
    (Axis::Age, ["old", "young"]),
    (Axis::Disability, ["disabled", "not_disabled"]),
    (Axis::Socioeconomic, ["poor", "rich"]),
];

/// The lexicon, indexed by first word.
pub struct Lexicon {
    by_first: BTreeMap<String, Vec<Term>>,
}

struct Term {
    words: Vec<String>,
    group: GroupIndex,
}

impl Lexicon {
    /// The lexicon of the wanted axes.
    pub fn new(axes: &[Axis]) -> Self {
        let mut by_first: BTreeMap<String, Vec<Term>> = BTreeMap::new();
        for (index, (axis, _, terms)) in GROUPS.iter().enumerate() {
            for term in terms.split('|').filter(|_| axes.contains(axis)) {
                let words: Vec<String> = split(term).map(str::to_owned).collect();
                if let Some(first) = words.first() {
                    by_first.entry(first.to_lowercase()).or_default().push(Term { words, group: GroupIndex(index) });
                }
            }
        }
        // Longest first: "African American" is one mention, not also one of "American".
        for terms in by_first.values_mut() {
            terms.sort_by(|a, b| b.words.len().cmp(&a.words.len()).then(a.words.cmp(&b.words)));
        }
        Self { by_first }
    }

    /// Counts the mentions in a text.
    pub fn mentions(&self, text: &str) -> Mentions {
        let words: Vec<&str> = split(text).collect();
        let mut mentions = Mentions::new();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let terms = self.by_first.get(&word.to_lowercase()).map_or(&[][..], Vec::as_slice);
            let found =
                terms.iter().find(|term| words.get(at..at + term.words.len()).is_some_and(|here| matches(&term.words, here)));
            if let Some(term) = found {
                *mentions.entry(term.group).or_default() += 1;
            }
            at += found.map_or(1, |term| term.words.len());
        }
        mentions
    }

    /// The groups of an axis.
    pub fn groups(axis: Axis) -> impl Iterator<Item = (GroupIndex, &'static str)> {
        GROUPS.iter().enumerate().filter(move |(_, group)| group.0 == axis).map(|(index, group)| (GroupIndex(index), group.1))
    }

    /// The groups that the imbalance of an axis compares when no reference names others.
    pub fn compared(axis: Axis) -> Vec<&'static str> {
        let pair = COMPARED.iter().find(|(of, _)| *of == axis).map(|(_, groups)| groups.to_vec());
        pair.unwrap_or_else(|| Self::groups(axis).map(|(_, name)| name).collect())
    }
}

/// Cuts a text into words; apostrophes and hyphens inside a word belong to it.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    let pieces = text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’' | '-')));
    pieces.map(|piece| piece.trim_matches(['\'', '’', '-'])).map(without_possessive).filter(|word| !word.is_empty())
}

fn without_possessive(word: &str) -> &str {
    word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word)
}

fn matches(term: &[String], words: &[&str]) -> bool {
    term.iter().zip(words).all(|(want, word)| {
        let capital = want.chars().next().is_some_and(char::is_uppercase);
        if capital { want == word || *word == want.to_uppercase() } else { word.to_lowercase() == *want }
    })
}
