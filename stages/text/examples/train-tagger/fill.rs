//! Fills the slots of a template and remembers what stands where.

use flow_text::pii::Entity;

use crate::{dice::Dice, invent::Names};

const TEMPLATES: &str = include_str!("templates.txt");
const JOBS: &str = include_str!("jobs.txt");

/// The templates.
pub(crate) fn templates() -> impl Iterator<Item = &'static str> {
    TEMPLATES.lines().filter(|line| !line.is_empty() && !line.starts_with("# "))
}

/// A text with its entities: first byte, byte after the last, kind.
#[derive(Default)]
pub(crate) struct Filled {
    pub(crate) text: String,
    pub(crate) spans: Vec<(usize, usize, Entity)>,
}

impl Filled {
    fn push(&mut self, text: &str, entity: Option<Entity>) {
        let start = self.text.len();
        self.text.push_str(text);
        self.spans.extend(entity.map(|entity| (start, self.text.len(), entity)));
    }

    /// Both texts with something between.
    pub(crate) fn followed_by(mut self, between: &str, other: Self) -> Self {
        self.text.push_str(between);
        let at = self.text.len();
        self.text.push_str(&other.text);
        self.spans.extend(other.spans.into_iter().map(|(start, end, entity)| (start + at, end + at, entity)));
        self
    }
}

/// Fills slots.
#[derive(Default)]
pub(crate) struct Filler {
    names: Names,
}

impl Filler {
    /// Fills a template.
    pub(crate) fn fill(&self, template: &str, dice: &mut Dice) -> Filled {
        let chosen = choose(&template.replace("\\n", "\n"), dice);
        let mut filled = Filled::default();
        let mut rest = chosen.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            filled.push(before, None);
            let (slot, after) = after.split_once('}').expect("every slot is closed");
            let (text, entity) = self.slot(slot, dice);
            filled.push(&text, entity);
            rest = after;
        }
        filled.push(rest, None);
        filled
    }

    fn slot(&self, slot: &str, dice: &mut Dice) -> (String, Option<Entity>) {
        let names = &self.names;
        match slot {
            "per" => (names.person(dice), Some(Entity::Person)),
            "first" => (names.first(dice), Some(Entity::Person)),
            "last" => (names.last(dice), Some(Entity::Person)),
            "org" => (names.organization(dice), Some(Entity::Organization)),
            "city" => (names.city(dice), Some(Entity::Location)),
            "country" => (names.country(dice), Some(Entity::Location)),
            "addr" => (self.address(dice), Some(Entity::Location)),
            "street" => (self.street(dice), Some(Entity::Location)),
            "streetname" => (names.street_name(dice), Some(Entity::Location)),
            "corner" => {
                (format!("the corner of {} and {}", names.street_name(dice), names.street_name(dice)), Some(Entity::Location))
            }
            "zip" => (zip(dice), Some(Entity::Location)),
            "nrp" => (names.nationality(dice), Some(Entity::Nrp)),
            "nrps" => (names.nationality(dice) + "s", Some(Entity::Nrp)),
            "job" => (job(dice), Some(Entity::Title)),
            "title" => (
                dice.pick(&["Mr.", "Mrs.", "Ms.", "Miss", "Dr.", "Mr", "Mrs", "Ms", "Dr", "Prof.", "Sir"]).to_owned(),
                Some(Entity::Title),
            ),
            "date" => (date(dice), Some(Entity::DateTime)),
            "year" => (year(dice), Some(Entity::DateTime)),
            "month" => (dice.pick(&MONTHS).to_owned(), Some(Entity::DateTime)),
            "time" => (time(dice), Some(Entity::DateTime)),
            "age" => (dice.of(2, 98).to_string(), Some(Entity::Age)),
            other => (plain(other, dice), None),
        }
    }

    fn street(&self, dice: &mut Dice) -> String {
        let name = self.names.street_name(dice);
        match dice.below(100) {
            0..=39 => format!("{name} {}", dice.of(1, 300)),
            40..=79 => format!("{} {name}", dice.of(1, 9999)),
            80..=93 => format!("{} {name} {}", digits(dice, 3, 5), dice.of(1, 300)),
            _ => format!("{name} {}/{}", dice.of(1, 99), dice.of(1, 40)),
        }
    }

    /// A postal address of one line or several.
    fn address(&self, dice: &mut Dice) -> String {
        if dice.chance(8) {
            return military(dice);
        }
        if dice.chance(20) {
            return self.street(dice);
        }
        let mut parts = vec![self.street(dice)];
        let unit = format!("{} {}", dice.pick(&["Apt.", "Apt", "Suite", "Flat", "Unit", "No."]), digits(dice, 1, 3));
        if dice.chance(55) {
            parts.push(unit);
        }
        let city = self.names.city(dice);
        parts.push(if dice.chance(30) { city.to_uppercase() } else { city });
        if dice.chance(30) {
            parts.push(acronym(dice));
        }
        if dice.chance(60) {
            parts.push(self.names.country(dice));
        }
        if dice.chance(65) {
            let zip = zip(dice);
            let last = parts.pop().unwrap_or_default();
            parts.push(if dice.chance(75) { format!("{last} {zip}") } else { format!("{zip} {last}") });
        }
        let between = dice.pick(&[", ", ", ", " ", "\n", "\n ", "\n, ", ",\n"]);
        let first_gap = if dice.chance(50) { " " } else { between };
        let (head, tail) = parts.split_at(1);
        let mut text = head.concat();
        for (order, part) in tail.iter().enumerate() {
            text.push_str(if order == 0 { first_gap } else { between });
            text.push_str(part);
        }
        text
    }
}

/// Takes one of each `[a|b]`.
fn choose(template: &str, dice: &mut Dice) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('[') {
        let (choices, after) = after.split_once(']').expect("every choice is closed");
        out.push_str(before);
        out.push_str(dice.pick(&choices.split('|').collect::<Vec<_>>()));
        rest = after;
    }
    out + rest
}

fn military(dice: &mut Dice) -> String {
    let state = dice.pick(&["AA", "AE", "AP"]);
    match dice.below(3) {
        0 => format!("PSC {}, Box {}\nAPO {state} {}", digits(dice, 3, 4), digits(dice, 2, 4), digits(dice, 5, 5)),
        1 => format!("Unit {} Box {}\nDPO {state} {}", digits(dice, 4, 5), digits(dice, 3, 4), digits(dice, 5, 5)),
        _ => format!("{} {}", dice.pick(&["P.O. Box", "PO Box", "Postbox", "Box"]), digits(dice, 2, 5)),
    }
}

fn digits(dice: &mut Dice, least: usize, most: usize) -> String {
    (0..dice.of(least, most)).map(|_| char::from(b'0' + u8::try_from(dice.below(10)).unwrap_or_default())).collect()
}

fn acronym(dice: &mut Dice) -> String {
    (0..2).map(|_| char::from(b'A' + u8::try_from(dice.below(26)).unwrap_or_default())).collect()
}

fn zip(dice: &mut Dice) -> String {
    match dice.below(10) {
        0..=4 => digits(dice, 5, 5),
        5 | 6 => digits(dice, 4, 4),
        7 => format!("{} {}", digits(dice, 3, 3), digits(dice, 2, 2)),
        8 => format!("{} {}", digits(dice, 4, 4), acronym(dice)),
        _ => format!("{}-{}", digits(dice, 4, 5), digits(dice, 3, 3)),
    }
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

fn year(dice: &mut Dice) -> String {
    dice.of(1890, 2030).to_string()
}

fn time(dice: &mut Dice) -> String {
    let (hour, minute) = (dice.of(1, 12), dice.of(0, 59));
    match dice.below(3) {
        0 => format!("{hour}:{minute:02} {}", dice.pick(&["am", "pm", "a.m.", "p.m."])),
        1 => format!("{hour} {}", dice.pick(&["am", "pm"])),
        _ => format!("{hour:02}:{minute:02}"),
    }
}

fn date(dice: &mut Dice) -> String {
    let (day, month, year) = (dice.of(1, 28), dice.of(1, 12), dice.of(1930, 2030));
    let name = MONTHS[month - 1];
    match dice.below(12) {
        0 | 1 => format!("{month}/{day}/{year}"),
        2 => format!("{day:02}.{month:02}.{year}"),
        3 => format!("{year}-{month:02}-{day:02}"),
        4 => format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}", dice.of(0, 23), dice.of(0, 59), dice.of(0, 59)),
        5 => format!("{name} {day}, {year}"),
        6 => format!("{day} {name} {year}"),
        7 => format!("{name} {day}"),
        8 => format!("{name} {year}"),
        9 => format!("{day} {} {year}", &name[..3]),
        10 => dice.pick(&["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]).to_owned(),
        _ => year.to_string(),
    }
}

fn job(dice: &mut Dice) -> String {
    let all: Vec<&str> = JOBS.lines().collect();
    let job = dice.pick(&all);
    match dice.below(3) {
        0 => job.to_owned(),
        1 => job[..1].to_uppercase() + &job[1..],
        _ => job.split(' ').map(|word| word[..1].to_uppercase() + &word[1..]).collect::<Vec<_>>().join(" "),
    }
}

/// What fills a slot that is no entity here.
fn plain(slot: &str, dice: &mut Dice) -> String {
    const QUOTES: [&str; 8] = [
        "We are pleased",
        "It will rain",
        "Nobody told me",
        "That was close",
        "I had no idea",
        "Prices will rise",
        "Leave me alone",
        "This is only the beginning",
    ];
    const SONGS: [&str; 8] = [
        "Empty Rooms",
        "Walking Home",
        "The Last Train",
        "Blue Morning",
        "Never Again",
        "Under the Bridge of Sighs",
        "Golden Hour",
        "Paper Boats",
    ];
    match slot {
        "num" => match dice.below(4) {
            0 => dice.of(2, 9).to_string(),
            1 => dice.of(10, 99).to_string(),
            2 => dice.of(100, 9_999).to_string(),
            _ => format!("{}.{}", dice.of(1, 99), dice.of(1, 9)),
        },
        "quote" => dice.pick(&QUOTES).to_owned(),
        "song" => dice.pick(&SONGS).to_owned(),
        "phone" => format!("+{} {} {} {}", dice.of(1, 98), digits(dice, 2, 3), digits(dice, 3, 3), digits(dice, 3, 4)),
        "math" => math(dice),
        "words" => sentence(dice),
        "email" => format!("user{}@mail{}.com", digits(dice, 1, 3), digits(dice, 1, 2)),
        "url" => format!("https://www.site{}.org/", digits(dice, 1, 3)),
        other => panic!("a template has an unknown slot: {other}"),
    }
}

/// Common words of stories, recipes, and sums, in no order: none of them is a name.
const COMMON: &str = "the a an of to and in on for with from by at as is was are were be been has have had do does did will would can could \
    should may might must not no if then than so because while when where which who what how many much more less fewer each every all \
    some any both half twice total altogether left over under after before about into out up down off again also only just still even \
    he she it they we you his her its their our your my him them us me this that these those there here one two three four five six \
    seven eight nine ten dozen pair day days week weeks month months year years hour hours minute minutes mile miles dollar dollars cent \
    cents pound pounds gallon cup cups foot feet inch inches box boxes bag bags bottle book books page pages pencil marbles cookies cake \
    apple apples orange oranges egg eggs milk bread water juice money price cost costs spend spends spent pay pays paid earn earns earned \
    buy buys bought sell sells sold give gives gave take takes took make makes made get gets got need needs needed want wants eat eats ate \
    drive walk run runs read reads write writes work works worked play plays find finds start finish rest purpose wallet shirt shoes \
    house garden tree trees flower flowers field farm animal animals dog dogs cat cats horse fish bird birds school class student \
    students teacher friend friends brother sister mother father parents children kids family people number numbers answer question \
    group groups team game games point points score first second third last next same different new old big small large long short \
    average speed distance time times rate percent remaining another other enough between among together later now today yesterday \
    tomorrow morning night evening weekend thus therefore since although however instead";

/// Words that are no names, with a number or a sign here and there.
fn sentence(dice: &mut Dice) -> String {
    let all: Vec<&str> = COMMON.split_whitespace().collect();
    let mut out = String::new();
    for order in 0..dice.of(4, 18) {
        let word = if dice.chance(10) { plain("num", dice) } else { dice.pick(&all).to_owned() };
        if order == 0 {
            out += &(word[..1].to_uppercase() + &word[1..]);
        } else {
            out.push_str(dice.pick(&[" ", " ", " ", " ", " ", " ", " ", " ", ", ", " $"]));
            out += &word;
        }
    }
    out + dice.pick(&[".", ".", "?", "!", ":", ""])
}

/// A sum as it is written out.
fn math(dice: &mut Dice) -> String {
    let (a, b, c) = (plain("num", dice), plain("num", dice), plain("num", dice));
    let sign = dice.pick(&["+", "-", "*", "/", "x", " + ", " - ", " * ", " / ", " x "]);
    let unit = dice.pick(&["", "", "$", "%"]);
    match dice.below(4) {
        0 => format!("{a}{sign}{b} = {unit}<<{a}{sign}{b}={c}>>{c}"),
        1 => format!("{unit}{a}{sign}{unit}{b} = {unit}{c}"),
        2 => format!("({a}{sign}{b}){sign}{c}"),
        _ => format!("{a}{sign}{b}={c}"),
    }
}
