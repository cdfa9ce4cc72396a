//! Topic Aliases of one connection, both ways (section 3.3.2.3.4 of MQTT 5.0). They die with the connection
//! [MQTT-3.3.2-7]; both tables hold nothing until an alias is used.

use crate::reason::ReasonCode;
use hashbrown::HashTable;
use std::num::NonZeroU16;
use std::rc::Rc;

/// The aliases that a client has set: at most as many as the server announced.
#[derive(Debug, Default)]
pub(super) struct InboundAliases {
    topic_names: Vec<Option<Rc<str>>>,
}

impl InboundAliases {
    /// Sets or replaces what `alias` stands for.
    ///
    /// # Errors
    /// [`ReasonCode::TopicAliasInvalid`] above `maximum`, the Topic Alias Maximum that was announced [MQTT-3.3.2-9].
    pub(super) fn set(&mut self, alias: NonZeroU16, maximum: u16, topic_name: &str) -> Result<(), ReasonCode> {
        let index = index_of(alias, maximum)?;
        if self.topic_names.len() <= index {
            self.topic_names.resize(index + 1, None);
        }
        // A client that sends topic and alias every time costs no allocation.
        let slot = &mut self.topic_names[index];
        if slot.as_deref() != Some(topic_name) {
            *slot = Some(topic_name.into());
        }
        Ok(())
    }

    /// What `alias` stands for.
    ///
    /// # Errors
    /// [`ReasonCode::TopicAliasInvalid`] above `maximum`, [`ReasonCode::ProtocolError`] for one that was never set.
    pub(super) fn get(&self, alias: NonZeroU16, maximum: u16) -> Result<Rc<str>, ReasonCode> {
        let index = index_of(alias, maximum)?;
        self.topic_names.get(index).and_then(Clone::clone).ok_or(ReasonCode::ProtocolError)
    }

    pub(super) fn len(&self) -> usize {
        self.topic_names.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let names: usize = self.topic_names.iter().flatten().map(|name| name.len()).sum();
        names + self.topic_names.capacity() * size_of::<Option<Rc<str>>>()
    }
}

fn index_of(alias: NonZeroU16, maximum: u16) -> Result<usize, ReasonCode> {
    if alias.get() > maximum { Err(ReasonCode::TopicAliasInvalid) } else { Ok(usize::from(alias.get()) - 1) }
}

/// A topic name shorter than this is sent as it is: the property of an alias takes three bytes.
const WORTH_BYTES: usize = 4;

/// The aliases that the server has set towards a client: the first topics that are worth it, at most as many as the
/// client allows [MQTT-3.1.2-26].
#[derive(Debug)]
pub(super) struct OutboundAliases {
    maximum: u16,
    topic_names: Vec<Box<str>>,
    by_hash: HashTable<NonZeroU16>,
}

/// How a topic goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutboundAlias {
    /// As it is.
    None,
    /// With the name, which sets the alias; call [`OutboundAliases::assign`] once the packet is written.
    New(NonZeroU16),
    /// With an empty name.
    Known(NonZeroU16),
}

impl OutboundAliases {
    pub(super) fn new(maximum: u16) -> Self {
        Self { maximum, topic_names: Vec::new(), by_hash: HashTable::new() }
    }

    /// The alias of a topic, or the one that it may get. `hash` is [`topic_hash`] of the name.
    pub(super) fn lookup(&self, topic_name: &str, hash: u64) -> OutboundAlias {
        if topic_name.len() < WORTH_BYTES {
            return OutboundAlias::None;
        }
        let same = |alias: &NonZeroU16| &*self.topic_names[usize::from(alias.get()) - 1] == topic_name;
        if let Some(&alias) = self.by_hash.find(hash, same) {
            return OutboundAlias::Known(alias);
        }
        match NonZeroU16::new((self.topic_names.len() + 1) as u16) {
            Some(alias) if self.topic_names.len() < usize::from(self.maximum) => OutboundAlias::New(alias),
            _ => OutboundAlias::None,
        }
    }

    /// The alias that [`OutboundAliases::lookup`] proposed was sent.
    pub(super) fn assign(&mut self, topic_name: &str, hash: u64) {
        self.topic_names.push(topic_name.into());
        let Some(alias) = NonZeroU16::new(self.topic_names.len() as u16) else { return };
        let topic_names = &self.topic_names;
        let hash_of = |alias: &NonZeroU16| topic_hash(&topic_names[usize::from(alias.get()) - 1]);
        self.by_hash.insert_unique(hash, alias, hash_of);
    }

    pub(super) fn len(&self) -> usize {
        self.topic_names.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let names: usize = self.topic_names.iter().map(|name| name.len()).sum();
        names + self.topic_names.capacity() * size_of::<Box<str>>() + self.by_hash.allocation_size()
    }
}

/// A quick hash of a topic name. An adversary who makes names collide turns one lookup into a walk of at most
/// `topic_alias_outbound_max` names, so it needs no secret.
pub(super) fn topic_hash(topic_name: &str) -> u64 {
    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15; // 2^64 / golden ratio
    let (words, rest) = topic_name.as_bytes().as_chunks::<8>();
    let fold = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(MULTIPLIER);
        (product as u64) ^ (product >> 64) as u64
    };
    let hash = words.iter().fold(topic_name.len() as u64, |hash, word| fold(hash, u64::from_le_bytes(*word)));
    fold(hash, rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(n: u16) -> NonZeroU16 {
        NonZeroU16::new(n).expect("not 0")
    }

    #[test]
    fn inbound_is_bounded_and_replaced() {
        let mut aliases = InboundAliases::default();
        assert_eq!(aliases.set(alias(3), 2, "a"), Err(ReasonCode::TopicAliasInvalid));
        assert_eq!(aliases.get(alias(3), 2), Err(ReasonCode::TopicAliasInvalid));
        assert_eq!(aliases.get(alias(1), 2), Err(ReasonCode::ProtocolError));
        aliases.set(alias(2), 2, "a").expect("in range");
        aliases.set(alias(2), 2, "b").expect("in range");
        assert_eq!(aliases.get(alias(2), 2).as_deref(), Ok("b"));
        assert_eq!(aliases.get(alias(1), 2), Err(ReasonCode::ProtocolError));
    }

    #[test]
    fn outbound_gives_the_first_topics_an_alias() {
        let mut aliases = OutboundAliases::new(2);
        let short = "a/b";
        assert_eq!(aliases.lookup(short, topic_hash(short)), OutboundAlias::None);
        for (i, name) in ["rooms/one", "rooms/two"].iter().enumerate() {
            let expected = alias(i as u16 + 1);
            assert_eq!(aliases.lookup(name, topic_hash(name)), OutboundAlias::New(expected));
            aliases.assign(name, topic_hash(name));
            assert_eq!(aliases.lookup(name, topic_hash(name)), OutboundAlias::Known(expected));
        }
        let third = "rooms/three";
        assert_eq!(aliases.lookup(third, topic_hash(third)), OutboundAlias::None);
    }

    #[test]
    fn names_that_share_a_hash_are_told_apart() {
        let mut aliases = OutboundAliases::new(4);
        aliases.assign("rooms/one", 7);
        assert_eq!(aliases.lookup("rooms/two", 7), OutboundAlias::New(alias(2)));
    }
}
