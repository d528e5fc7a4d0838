//! What a token can be.

use crate::pii::Entity;

/// Where in an entity a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// In none.
    Outside,
    /// It is the first.
    Begin,
    /// It goes on.
    Inside,
}

/// The kinds that the tagger knows, in the order of their labels.
const KINDS: [Entity; 7] =
    [Entity::Person, Entity::Location, Entity::Organization, Entity::DateTime, Entity::Age, Entity::Nrp, Entity::Title];

/// A label: 0 is outside; then the first token and the others of each kind in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(u8);

impl Label {
    /// How many there are.
    pub const COUNT: usize = 1 + 2 * KINDS.len();
    /// The label of a token that is in no entity.
    pub const OUTSIDE: Self = Self(0);

    /// The label of a token of an entity; outside for kinds that the tagger does not know.
    pub fn of(entity: Entity, mark: Mark) -> Self {
        let kind = KINDS.iter().position(|kind| *kind == entity).and_then(|at| u8::try_from(at).ok());
        match (kind, mark) {
            (Some(kind), Mark::Begin) => Self(1 + 2 * kind),
            (Some(kind), Mark::Inside) => Self(2 + 2 * kind),
            _ => Self::OUTSIDE,
        }
    }

    /// The label at a place in the order; outside beyond the last.
    pub fn at(place: usize) -> Self {
        u8::try_from(place).ok().filter(|_| place < Self::COUNT).map_or(Self::OUTSIDE, Self)
    }

    /// The place in the order.
    pub fn place(self) -> usize {
        usize::from(self.0)
    }

    /// The kind of the entity, if the token is in one.
    pub fn entity(self) -> Option<Entity> {
        self.place().checked_sub(1).and_then(|place| KINDS.get(place / 2).copied())
    }

    /// Where in the entity the token stands.
    pub fn mark(self) -> Mark {
        match self.0 {
            0 => Mark::Outside,
            odd if odd % 2 == 1 => Mark::Begin,
            _ => Mark::Inside,
        }
    }

    /// Whether one label may follow another.
    pub fn may_follow(self, before: Self) -> bool {
        self.mark() != Mark::Inside || before.entity() == self.entity()
    }
}
