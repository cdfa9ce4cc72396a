//! The subscribers of one filter: one without any allocation, many in sorted blocks.
//!
//! Sorted by session, so that adding and removing one of 100,000 moves a few kilobytes and rehashes nothing, several
//! lists merge without sorting, and the sessions are visited in the order of their places in memory.

use ringtail_mqtt::packet::{QoS, RetainHandling, SubscriptionOptions};

/// Most subscribers of a block: an insertion moves half of it, 3 KiB.
const BLOCK_MAX: usize = 512;

/// Subscription Options in the layout of their byte in SUBSCRIBE (5.0, 3.8.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct OptionBits(u8);

impl OptionBits {
    const QOS: u8 = 0b11;
    const NO_LOCAL: u8 = 1 << 2;
    const RETAIN_AS_PUBLISHED: u8 = 1 << 3;

    /// The byte.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The options of a byte that [`OptionBits::bits`] gave; `None` for one that stands for none.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & Self::QOS != Self::QOS && bits >> 4 <= 2 { Some(Self(bits)) } else { None }
    }

    /// The highest QoS that a message is delivered with.
    #[inline]
    #[must_use]
    pub const fn maximum_qos(self) -> QoS {
        match self.0 & Self::QOS {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        }
    }

    /// Whether the client's own messages are kept from it.
    #[inline]
    #[must_use]
    pub const fn no_local(self) -> bool {
        self.0 & Self::NO_LOCAL != 0
    }

    /// Whether the RETAIN flag is forwarded as published.
    #[inline]
    #[must_use]
    pub const fn retain_as_published(self) -> bool {
        self.0 & Self::RETAIN_AS_PUBLISHED != 0
    }

    /// The options of one delivery that stands for two subscriptions: the higher QoS [MQTT-3.3.4-2], and the RETAIN
    /// flag as published if either asks for it.
    #[inline]
    pub(crate) const fn merged(self, other: Self) -> Self {
        let qos = if self.0 & Self::QOS > other.0 & Self::QOS { self.0 } else { other.0 } & Self::QOS;
        Self((self.0 | other.0) & !Self::QOS | qos)
    }
}

impl From<SubscriptionOptions> for OptionBits {
    fn from(options: SubscriptionOptions) -> Self {
        Self(
            options.maximum_qos as u8
                | u8::from(options.no_local) << 2
                | u8::from(options.retain_as_published) << 3
                | (options.retain_handling as u8) << 4,
        )
    }
}

impl From<OptionBits> for SubscriptionOptions {
    fn from(bits: OptionBits) -> Self {
        Self {
            maximum_qos: bits.maximum_qos(),
            no_local: bits.no_local(),
            retain_as_published: bits.retain_as_published(),
            retain_handling: match bits.0 >> 4 {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                _ => RetainHandling::DoNotSend,
            },
        }
    }
}

/// A session's subscription to one filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscriber {
    /// The session, as the shard numbers it.
    pub session: u32,
    /// The Subscription Identifier; 0 for none.
    pub subscription_id: u32,
    /// The Subscription Options.
    pub options: OptionBits,
}

const _: () = assert!(size_of::<Subscriber>() == 12 && size_of::<List>() == 16);

/// The subscribers of one filter, each session once.
#[derive(Default)]
pub(crate) enum List {
    #[default]
    Empty,
    One(Subscriber),
    Many(Box<Blocks>),
}

/// Two subscribers or more. Invariant: no block is empty, and the sessions rise through the blocks.
pub(crate) struct Blocks {
    blocks: Vec<Vec<Subscriber>>,
    len: usize,
}

/// The place of a subscriber in a list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Place {
    pub(crate) block: u32,
    pub(crate) at: u32,
}

impl List {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(_) => 1,
            Self::Many(many) => many.len,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The subscribers of a block, sorted by session; `None` past the last block.
    #[inline]
    pub(crate) fn block(&self, block: usize) -> Option<&[Subscriber]> {
        match self {
            Self::One(subscriber) if block == 0 => Some(std::slice::from_ref(subscriber)),
            Self::Many(many) => many.blocks.get(block).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The blocks, in rising order of the sessions.
    #[inline]
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &[Subscriber]> {
        (0..).map_while(|block| self.block(block))
    }

    pub(crate) fn get(&self, session: u32) -> Option<&Subscriber> {
        let place = self.place_of(session);
        self.block(place.block as usize)?.get(place.at as usize).filter(|subscriber| subscriber.session == session)
    }

    /// The place of `session`, or of the next higher one; past the end of the last block when there is none.
    pub(crate) fn place_of(&self, session: u32) -> Place {
        match self {
            Self::Many(many) => many.place_of(session),
            _ => Place { block: 0, at: self.block(0).map_or(0, |block| u32::from(block[0].session < session)) },
        }
    }

    /// The place of the subscriber with so many before it.
    pub(crate) fn place_at(&self, mut position: usize) -> Place {
        let mut block = 0;
        while let Some(subscribers) = self.block(block)
            && position >= subscribers.len()
        {
            position -= subscribers.len();
            block += 1;
        }
        Place { block: block as u32, at: position as u32 }
    }

    /// Every subscriber once, from `place` on and round.
    pub(crate) fn round_from(&self, place: Place) -> impl Iterator<Item = &Subscriber> {
        let (first, at) = (place.block as usize, place.at as usize);
        let split = self.block(first).unwrap_or_default();
        let (before, after) = split.split_at(at.min(split.len()));
        let rest = (first + 1..).map_while(|block| self.block(block)).flatten();
        let start = self.blocks().take(first).flatten();
        after.iter().chain(rest).chain(start).chain(before)
    }

    /// Adds a subscriber, or replaces the one of the same session, which is returned.
    pub(crate) fn insert(&mut self, subscriber: Subscriber) -> Option<Subscriber> {
        match self {
            Self::Empty => *self = Self::One(subscriber),
            Self::One(one) if one.session == subscriber.session => return Some(std::mem::replace(one, subscriber)),
            Self::One(one) => {
                let pair =
                    if one.session < subscriber.session { vec![*one, subscriber] } else { vec![subscriber, *one] };
                *self = Self::Many(Box::new(Blocks { blocks: vec![pair], len: 2 }));
            }
            Self::Many(many) => return many.insert(subscriber),
        }
        None
    }

    pub(crate) fn remove(&mut self, session: u32) -> Option<Subscriber> {
        match self {
            Self::Empty => None,
            Self::One(one) => {
                let removed = (one.session == session).then_some(*one)?;
                *self = Self::Empty;
                Some(removed)
            }
            Self::Many(many) => {
                let removed = many.remove(session)?;
                if let [block] = many.blocks.as_slice()
                    && let [one] = block.as_slice()
                {
                    *self = Self::One(*one);
                }
                Some(removed)
            }
        }
    }
}

impl Blocks {
    fn place_of(&self, session: u32) -> Place {
        // The last block is also the place of what is higher than everything.
        let block = self
            .blocks
            .partition_point(|block| block.last().is_some_and(|last| last.session < session))
            .min(self.blocks.len() - 1);
        let at = self.blocks[block].partition_point(|subscriber| subscriber.session < session);
        Place { block: block as u32, at: at as u32 }
    }

    fn insert(&mut self, subscriber: Subscriber) -> Option<Subscriber> {
        let Place { block, at } = self.place_of(subscriber.session);
        let (mut block, mut at) = (block as usize, at as usize);
        if let Some(same) = self.blocks[block].get_mut(at).filter(|same| same.session == subscriber.session) {
            return Some(std::mem::replace(same, subscriber));
        }
        if self.blocks[block].len() == BLOCK_MAX {
            // Sessions that come in rising order leave full blocks behind.
            let keep = if at == BLOCK_MAX { BLOCK_MAX } else { BLOCK_MAX / 2 };
            let upper = self.blocks[block].split_off(keep);
            self.blocks[block].shrink_to_fit();
            self.blocks.insert(block + 1, upper);
            if at >= keep {
                (block, at) = (block + 1, at - keep);
            }
        }
        self.blocks[block].insert(at, subscriber);
        self.len += 1;
        None
    }

    fn remove(&mut self, session: u32) -> Option<Subscriber> {
        let Place { block, at } = self.place_of(session);
        let (block, at) = (block as usize, at as usize);
        self.blocks[block].get(at).filter(|subscriber| subscriber.session == session)?;
        let removed = self.blocks[block].remove(at);
        self.len -= 1;
        self.tidy(block);
        Some(removed)
    }

    /// Gives memory back: joins a block that has become small with the next, and shrinks one that is mostly room.
    fn tidy(&mut self, block: usize) {
        let len = self.blocks[block].len();
        if len == 0 && self.blocks.len() > 1 {
            self.blocks.remove(block);
        } else if let Some(next) = self.blocks.get(block + 1)
            && len + next.len() <= BLOCK_MAX / 2
        {
            let next = self.blocks.remove(block + 1);
            self.blocks[block].extend(next);
        } else if self.blocks[block].capacity() > 4 * len.max(4) {
            self.blocks[block].shrink_to(2 * len);
        }
        if self.blocks.capacity() > 4 * self.blocks.len() {
            self.blocks.shrink_to_fit();
        }
    }
}
