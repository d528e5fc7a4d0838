//! Names of people, places, and organisations: from the common lists, and made of syllables, so that no name is learned by heart.

use flow_text::pii::tagger::words;

use crate::dice::Dice;

/// The common words by list.
pub(crate) struct Names {
    firsts: Vec<&'static str>,
    lasts: Vec<&'static str>,
    cities: Vec<&'static str>,
    long_cities: Vec<&'static str>,
    states: Vec<&'static str>,
    countries: Vec<&'static str>,
    long_countries: Vec<&'static str>,
    nrps: Vec<&'static str>,
    particles: Vec<&'static str>,
}

impl Default for Names {
    fn default() -> Self {
        let list = |name| words(name).collect();
        Self {
            firsts: list("first"),
            lasts: list("last"),
            cities: list("city"),
            long_cities: list("city2"),
            states: list("state"),
            countries: list("country"),
            long_countries: list("country2"),
            nrps: list("nrp"),
            particles: list("particle"),
        }
    }
}

const STARTS: &str =
    "B Br C Ch D Dr F Fl G Gr H J K Kr L M N P Pr R S Sch Sh St Sv T Th Tr V W Y Z Zh Á É Ó Ö Ø Š Č Ž Þ Kh Dz Ts Qu Ll";
const MIDDLES: &str = "a e i o u aa ei ie ou ai á é í ó ö ø ü å y ia io ue oa";
const JOINTS: &str = "l r n m s t d k g b v z ll rr nn st nd rk lm ns ss tt sk nt rg ld zs gy cz ł š č ž ð ñ ç rt mb";
const FIRST_ENDS: &str = "a o e i us an en in el ette ina ko mi ya ito ika ín ür ald bert rik mund lde ja as is";
const LAST_ENDS: &str = "son sen ssen sson ov ova ev eva in ski ska czyk ak ek vić ić escu eanu nen la ez es ini etti elli o i y kis dis ou as ian yan dze man mann berg stein er ner ler ardt eau ard et aux ham ton ley field by strand dal gren quist ö ács ós ványi ury moto mura";
const CITY_ENDS: &str = "ville ton burg berg heim dorf stadt hausen au ow owo ice no grad sk sko by sund vik fors havn köping stad borg minne vaara lahti joki järvi ham shire bury ford mouth ester ia ona aro eda ães inho ito sur mer y ac ieux court igny elle a o";
const STREET_ENDS: &str =
    "straße strasse weg gasse allee platz gatan vägen gata gade vej veien gate katu tie kuja straat laan plein dreef utca";

const STREET_KINDS: &str = "Street|St|St.|Road|Rd|Avenue|Ave|Ave.|Lane|Drive|Boulevard|Blvd|Court|Place|Square|Terrace|Way|Close|Crescent|\
    Hill|Row|Walk";
const STREET_LEADS: &str = "Rue|Rue de|Rue du|Avenue|Calle|Avenida|Av.|Via|Viale|Piazza|Rua|Praça|Travessa|ul.|Ulica|Plaza|Strada|Jalan|\
    Chemin de|Quai";
const STREET_TAILS: &str = "utca|u.|út|tér|Str.|sokak|ulice|tee|Gate|Vei|gt.|rkp.";
const COMPANY_ENDS: &str = "Inc|Inc.|LLC|Ltd|Ltd.|Corp|Corp.|Corporation|Company|Group|Holdings|Partners|Bank|Insurance|Technologies|\
    Systems|Solutions|Software|Labs|Media|Records|Capital|Energy|Airlines|Foundation|Association|Institute|\
    Consulting|Research|GmbH|AG|SA|plc|& Sons|& Co|International|Services|Industries";
const FIELDS: &str = "Data|Cloud|Health|Green|Solar|Smart|Blue|Red|Open|Net|Pay|Geo|Bio|Agri|Edu|Fleet|Food|Home|Job|Lumen|Metro|Nova|\
    Omni|Penta|Quick|Rapid|Sky|Terra|Urban|Vita|Web|Zen|Air|Ever|True|Civic|Legal|Market|Crowd|Energy";
const TAILS: &str = "ly|ify|scope|works|metrics|bridge|base|point|wire|hub|lytics|logic|soft|tech|nest|loop|verse|cast|wise|mind|\
    gram|path|line|ware|io|ium|ex|on|ster|watch|map|Labs|Box|Works|Time";
const TOPICS: &str = "Medical|National|Federal|American|Royal|Global|United|General|First|Central|International|Public|Western|\
    Northern";
const BODIES: &str = "Hospital|University|Bank|Museum|Library|Times|Post|Council|Railway|Orchestra|Health Service|Standards Board|\
    Trade Union|Space Agency|Red Cross|Electric|Motors|Airlines";
const STREET_WORDS: &str = "Oak|Maple|Cedar|Park|Mill|Church|Station|High|King|Queen|Lake|River|Elm|Pine|Hill|First|Second|Third|5th|42nd|\
    North|South Main|Old Mill|West End";

/// One of the choices between bars.
fn one(dice: &mut Dice, choices: &'static str) -> &'static str {
    let all: Vec<&str> = choices.split('|').collect();
    dice.pick(&all)
}

fn part(dice: &mut Dice, parts: &'static str) -> &'static str {
    let all: Vec<&str> = parts.split(' ').collect();
    dice.pick(&all)
}

fn stem(dice: &mut Dice, joints: usize) -> String {
    let mut word = part(dice, STARTS).to_owned() + part(dice, MIDDLES);
    for _ in 0..joints {
        word += part(dice, JOINTS);
        word += part(dice, MIDDLES);
    }
    word
}

fn ended(dice: &mut Dice, most_joints: usize, ends: &'static str) -> String {
    let joints = dice.of(0, most_joints);
    stem(dice, joints) + part(dice, JOINTS) + part(dice, ends)
}

fn spaced(word: &str) -> String {
    word.replace('-', " ")
}

impl Names {
    pub(crate) fn first(&self, dice: &mut Dice) -> String {
        match dice.below(100) {
            0..=54 => dice.pick(&self.firsts).to_owned(),
            55..=94 => ended(dice, 1, FIRST_ENDS),
            _ => format!("{}-{}", dice.pick(&self.firsts), dice.pick(&self.firsts)),
        }
    }

    pub(crate) fn last(&self, dice: &mut Dice) -> String {
        match dice.below(100) {
            0..=39 => spaced(dice.pick(&self.lasts)),
            40..=86 => ended(dice, 2, LAST_ENDS),
            87..=91 => format!("{}{}", ["Mc", "O'", "Mac", "D'", "Al-"][dice.below(5)], dice.pick(&self.lasts)),
            92..=95 => format!("{}-{}", dice.pick(&self.lasts), ended(dice, 1, LAST_ENDS)),
            _ => format!("{} {}", dice.pick(&self.particles), ended(dice, 1, LAST_ENDS)),
        }
    }

    /// A full name, a first name, or a last name, as people write them.
    pub(crate) fn person(&self, dice: &mut Dice) -> String {
        let (first, last) = (self.first(dice), self.last(dice));
        let initial = char::from(b'A' + u8::try_from(dice.below(26)).unwrap_or_default());
        let name = match dice.below(100) {
            0..=47 => format!("{first} {last}"),
            48..=57 => format!("{first} {initial}. {last}"),
            58..=64 => format!("{first} {initial} {last}"),
            65..=68 => format!("{first} {last} {}", self.last(dice)),
            69..=70 => format!("{first} {last}{}", [" MD", " PhD", " Jr.", ", Jr.", " III"][dice.below(5)]),
            71 => format!("{initial}. {last}"),
            72..=86 => first,
            _ => last,
        };
        dressed(dice, name)
    }

    pub(crate) fn city(&self, dice: &mut Dice) -> String {
        let name = match dice.below(100) {
            0..=34 => dice.pick(&self.cities).to_owned(),
            35..=40 => spaced(dice.pick(&self.long_cities)),
            41..=45 => dice.pick(&self.states).to_owned(),
            46..=80 => ended(dice, 1, CITY_ENDS),
            81..=90 => format!(
                "{} {}",
                [
                    "Santa", "San", "São", "Saint", "New", "Bad", "Sankt", "Villa", "Port", "Fort", "Lake", "Mount", "Great",
                    "Lower"
                ][dice.below(14)],
                ended(dice, 1, CITY_ENDS)
            ),
            91..=95 => format!(
                "{} {} {}",
                ended(dice, 1, CITY_ENDS),
                ["de", "am", "an der", "upon", "v", "u", "do", "sur", "di", "nad"][dice.below(10)],
                ended(dice, 1, CITY_ENDS)
            ),
            _ => format!(
                "{}{}{}",
                ended(dice, 0, CITY_ENDS),
                ["-", "-le-", "-sur-", "-"][dice.below(4)],
                ended(dice, 0, CITY_ENDS)
            ),
        };
        if dice.chance(8) { name.to_uppercase() } else { dressed(dice, name) }
    }

    pub(crate) fn country(&self, dice: &mut Dice) -> String {
        let name = if dice.chance(72) { dice.pick(&self.countries).to_owned() } else { spaced(dice.pick(&self.long_countries)) };
        dressed(dice, name)
    }

    pub(crate) fn nationality(&self, dice: &mut Dice) -> String {
        let name = if dice.chance(94) {
            dice.pick(&self.nrps).to_owned()
        } else {
            stem(dice, 1) + ["ian", "ese", "ish", "an", "i", "er"][dice.below(6)]
        };
        if dice.chance(12) { name.to_lowercase() } else { name }
    }

    pub(crate) fn street_name(&self, dice: &mut Dice) -> String {
        match dice.below(100) {
            0..=19 => format!("{} {}", self.last(dice), one(dice, STREET_KINDS)),
            20..=30 => format!("{} {}", one(dice, STREET_WORDS), one(dice, STREET_KINDS)),
            31..=52 => format!(
                "{} {}",
                one(dice, STREET_LEADS),
                if dice.chance(50) { self.person_plain(dice) } else { ended(dice, 2, CITY_ENDS) }
            ),
            53..=72 => {
                let joints = dice.of(0, 1);
                stem(dice, joints) + part(dice, JOINTS) + part(dice, STREET_ENDS)
            }
            73..=84 => format!("{} {}", ended(dice, 1, CITY_ENDS), one(dice, STREET_TAILS)),
            85..=94 => ended(dice, 2, CITY_ENDS),
            _ => format!("{} {}", ended(dice, 1, CITY_ENDS), ended(dice, 1, CITY_ENDS)),
        }
    }

    fn person_plain(&self, dice: &mut Dice) -> String {
        format!("{} {}", self.first(dice), self.last(dice))
    }

    pub(crate) fn organization(&self, dice: &mut Dice) -> String {
        let name = match dice.below(100) {
            0..=15 => format!("{} {}", self.last_plain(dice), one(dice, COMPANY_ENDS)),
            16..=23 => format!("{}-{}", self.last_plain(dice), self.last_plain(dice)),
            24..=29 => format!("{}, {} and {}", self.last_plain(dice), self.last_plain(dice), self.last_plain(dice)),
            30..=32 => format!("{} & {}", self.last_plain(dice), self.last_plain(dice)),
            33..=52 => format!("{}{}", one(dice, FIELDS), one(dice, TAILS)),
            53..=60 => format!("{}{} {}", one(dice, FIELDS), one(dice, TAILS), one(dice, COMPANY_ENDS)),
            61..=66 => format!("{} {} {}", one(dice, FIELDS), one(dice, BODIES), one(dice, COMPANY_ENDS)),
            67..=72 => format!("{} {}", one(dice, TOPICS), one(dice, BODIES)),
            73..=77 => format!("{} {}", self.city_plain(dice), one(dice, BODIES)),
            78..=80 => format!("University of {}", self.city_plain(dice)),
            81..=83 => format!(
                "{} of {}",
                ["Bank", "Ministry", "Department", "Museum", "Academy", "Institute"][dice.below(6)],
                ["Health", "Justice", "Art", "Labour", "Trade", "Education", "Finance"][dice.below(7)]
            ),
            84..=90 => acronym(dice),
            91..=96 => {
                stem(dice, 1) + part(dice, JOINTS) + ["o", "a", "ia", "ex", "is", "us", "um", "era", "ity", "ics"][dice.below(10)]
            }
            _ => format!("{}{}", acronym(dice), [" Group", " Inc.", " Bank", ""][dice.below(4)]),
        };
        dressed(dice, name)
    }

    fn last_plain(&self, dice: &mut Dice) -> String {
        spaced(dice.pick(&self.lasts))
    }

    fn city_plain(&self, dice: &mut Dice) -> String {
        dice.pick(&self.cities).to_owned()
    }
}

fn acronym(dice: &mut Dice) -> String {
    (0..dice.of(2, 5)).map(|_| char::from(b'A' + u8::try_from(dice.below(26)).unwrap_or_default())).collect()
}

/// A few people write all in small letters or in capitals.
fn dressed(dice: &mut Dice, name: String) -> String {
    match dice.below(100) {
        0 => name.to_lowercase(),
        1 | 2 => name.to_uppercase(),
        _ => name,
    }
}
