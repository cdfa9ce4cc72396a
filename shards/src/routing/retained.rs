//! The retained messages of the topics that this shard owns (3.3.1.3).

use super::filters::has_wildcards;
use super::levels::filter_matches;
use super::text::Text;
use ringtail_mqtt::message::Message;
use ringtail_mqtt::time::Millis;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::rc::Rc;

/// The store is full; the message is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Full {
    /// No room for another topic.
    #[error("the most retained messages are kept already")]
    Messages,
    /// No room for so many bytes.
    #[error("the most bytes of retained messages are kept already")]
    Bytes,
}

/// How much one slice of a scan takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slice {
    /// Topics that are looked at.
    pub topics_max: usize,
    /// Bytes of the messages found ([`Message::memory_bytes`]) from which on no more is looked for.
    pub bytes_max: usize,
}

/// Where a scan or a sweep goes on: after a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor(Box<[u8]>);

impl Cursor {
    fn at(topic: &Topic) -> Self {
        Self(topic.as_bytes().into())
    }

    fn after(&self) -> Bound<&[u8]> {
        Bound::Excluded(&self.0)
    }
}

/// A topic as the key: compared where it lies in the tree.
struct Topic(Text<38>);

const _: () = assert!(size_of::<Topic>() == 40);

/// The retained messages, in the order of their topics, each with a note of the owner's.
pub struct Retained<N = ()> {
    messages: BTreeMap<Topic, Kept<N>>,
    bytes: u64,
    /// How many of them expire at some time.
    expiring: usize,
    messages_max: u64,
    bytes_max: u64,
}

/// A message, and what the owner notes about its topic.
struct Kept<N> {
    message: Rc<Message>,
    note: N,
}

impl<N: Default> Retained<N> {
    /// An empty store of at most so many messages and bytes ([`Message::memory_bytes`]).
    #[must_use]
    pub fn new(messages_max: u64, bytes_max: u64) -> Self {
        Self { messages: BTreeMap::new(), bytes: 0, expiring: 0, messages_max, bytes_max }
    }

    /// Messages kept, those expired but not yet swept included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// True when nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of the messages kept.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps `message` in place of the one that its topic had [MQTT-3.3.1-5]; the topic keeps its note, which is returned.
    /// That an empty payload means [`Retained::remove`] [MQTT-3.3.1-6] is the caller's to see.
    ///
    /// # Errors
    /// [`Full`]; the topic's old message stays.
    pub fn set(&mut self, message: Rc<Message>) -> Result<&mut N, Full> {
        let old_bytes = self.messages.get(message.topic_name().as_bytes()).map(|old| old.message.memory_bytes() as u64);
        if old_bytes.is_none() && self.messages.len() as u64 >= self.messages_max {
            return Err(Full::Messages);
        }
        let bytes = self.bytes - old_bytes.unwrap_or(0) + message.memory_bytes() as u64;
        if bytes > self.bytes_max {
            return Err(Full::Bytes);
        }
        self.bytes = bytes;
        self.expiring += usize::from(expires(&message));
        let kept = match self.messages.entry(Topic(message.topic_name().as_bytes().into())) {
            Entry::Vacant(entry) => entry.insert(Kept { message, note: N::default() }),
            Entry::Occupied(entry) => {
                let kept = entry.into_mut();
                self.expiring -= usize::from(expires(&kept.message));
                kept.message = message;
                kept
            }
        };
        Ok(&mut kept.note)
    }

    /// The note of a topic, whether its message has expired or not.
    pub fn note_mut(&mut self, topic_name: &str) -> Option<(&Rc<Message>, &mut N)> {
        self.messages.get_mut(topic_name.as_bytes()).map(|kept| (&kept.message, &mut kept.note))
    }

    /// Removes the message of a topic [MQTT-3.3.1-6].
    pub fn remove(&mut self, topic_name: &str) -> Option<(Rc<Message>, N)> {
        let Kept { message, note } = self.messages.remove(topic_name.as_bytes())?;
        self.bytes -= message.memory_bytes() as u64;
        self.expiring -= usize::from(expires(&message));
        Some((message, note))
    }

    /// The message of a topic, unless it has expired.
    #[must_use]
    pub fn get(&self, topic_name: &str, now: Millis) -> Option<&Rc<Message>> {
        self.kept(topic_name, now).map(|kept| &kept.message)
    }

    fn kept(&self, topic_name: &str, now: Millis) -> Option<&Kept<N>> {
        self.messages.get(topic_name.as_bytes()).filter(|kept| kept.message.expires_at > now)
    }

    /// Calls `found` with each message, and its note, whose topic matches `filter`, in the order of the topics, for one slice; what it
    /// returns is where to go on, `None` at the end. Between two slices messages may be set and removed: what stays is
    /// found once.
    #[must_use]
    pub fn scan(
        &self,
        filter: &str,
        cursor: Option<&Cursor>,
        slice: Slice,
        now: Millis,
        mut found: impl FnMut(&Rc<Message>, &N),
    ) -> Option<Cursor> {
        if !has_wildcards(filter) {
            if let Some(Kept { message, note }) = self.kept(filter, now) {
                found(message, note);
            }
            return None;
        }
        let mut bytes = 0;
        if let Some(parent) = filter.strip_suffix("/#").filter(|parent| cursor.is_none() && !has_wildcards(parent)) {
            // `a/#` also matches `a` (4.7.1.2), which does not stand beside `a/`: `a!` comes between.
            if let Some(Kept { message, note }) = self.kept(parent, now) {
                found(message, note);
                bytes += message.memory_bytes();
                // A slice of its own when it is large: the topics below it are greater.
                if bytes >= slice.bytes_max {
                    return Some(Cursor(parent.as_bytes().into()));
                }
            }
        }
        let prefix = literal_prefix(filter).as_bytes();
        let start = cursor.filter(|cursor| *cursor.0 >= *prefix).map_or(Bound::Included(prefix), Cursor::after);
        let range = self.messages.range::<[u8], _>((start, Bound::Unbounded));
        let mut range = range.take_while(|(topic, _)| topic.as_bytes().starts_with(prefix));
        let mut last = None;
        for (topic, Kept { message, note }) in range.by_ref().take(slice.topics_max.max(1)) {
            // [MQTT-4.7.2-1]
            let spared = prefix.is_empty() && topic.as_bytes().starts_with(b"$");
            if !spared && message.expires_at > now && filter_matches(filter.as_bytes(), topic.as_bytes()) {
                found(message, note);
                bytes += message.memory_bytes();
            }
            last = Some(topic);
            if bytes >= slice.bytes_max {
                break;
            }
        }
        range.next().and(last).map(Cursor::at)
    }

    /// Removes the expired ones among the next `slice_max` messages, and hands each to `expired`; what it returns is
    /// where to go on.
    #[must_use]
    pub fn sweep(
        &mut self,
        cursor: Option<&Cursor>,
        slice_max: usize,
        now: Millis,
        mut expired: impl FnMut((Rc<Message>, N)),
    ) -> Option<Cursor> {
        if self.expiring == 0 {
            return None;
        }
        let start = cursor.map_or(Bound::Unbounded, Cursor::after);
        let mut range = self.messages.range::<[u8], _>((start, Bound::Unbounded));
        let mut gone = Vec::new();
        let mut last = None;
        for (topic, Kept { message, .. }) in range.by_ref().take(slice_max.max(1)) {
            if message.expires_at <= now {
                gone.push(Rc::clone(message));
            }
            last = Some(topic);
        }
        let next = range.next().and(last).map(Cursor::at);
        for message in gone {
            self.remove(message.topic_name()).into_iter().for_each(&mut expired);
        }
        next
    }
}

fn expires(message: &Message) -> bool {
    message.expires_at != Millis::NEVER
}

/// What every topic name that `filter` matches begins with, but for the parent level of a final `/#`.
fn literal_prefix(filter: &str) -> &str {
    &filter[..filter.find(['+', '#']).unwrap_or(filter.len())]
}

impl Topic {
    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Borrow<[u8]> for Topic {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Topic {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Topic {}

impl PartialOrd for Topic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Topic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
