//! This shard's own subscriptions, exact.

use super::filters::FilterMap;
use super::hash::Seed;
use super::matches::Matches;
use super::subscribers::{List, OptionBits, Subscriber};

/// A filter that has subscribers on this shard; the number is free again when it has none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct FilterId(pub(crate) u32);

/// What [`Subscriptions::subscribe`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscribed {
    /// The filter, to be kept by the session.
    pub filter: FilterId,
    /// The session had the subscription already; the new options replaced the old [MQTT-3.8.4-3].
    pub existed: bool,
    /// The other shards must hear [`Announcement::Add`](super::Announcement::Add) before the SUBACK leaves.
    pub announce: bool,
}

/// What [`Subscriptions::unsubscribe`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsubscribed {
    /// The filter that the session has no more.
    pub filter: FilterId,
    /// The other shards may hear [`Announcement::Remove`](super::Announcement::Remove).
    pub announce: bool,
}

/// What [`Subscriptions::remove`] did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removed {
    /// The filter that the other shards may hear [`Announcement::Remove`](super::Announcement::Remove) of.
    pub announce: Option<Box<str>>,
}

/// The subscriptions of the sessions of one shard. Filters are taken as checked.
pub struct Subscriptions {
    filters: FilterMap<List>,
    len: usize,
}

impl Subscriptions {
    /// None yet.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self { filters: FilterMap::new(seed), len: 0 }
    }

    /// Subscriptions: pairs of a session and a filter.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without any subscription.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Different filters.
    #[must_use]
    pub fn filters(&self) -> usize {
        self.filters.len()
    }

    /// Bytes of memory that the tables take, without those that lists and long filters have allocated.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.filters.memory_bytes()
    }

    /// Makes or replaces a subscription [MQTT-3.8.4-3]. `subscription_id` is 0 for none.
    pub fn subscribe(
        &mut self,
        filter: &str,
        session: u32,
        options: impl Into<OptionBits>,
        subscription_id: u32,
    ) -> Subscribed {
        let (id, known) = self.filters.find_or_insert(filter);
        let subscriber = Subscriber { session, subscription_id, options: options.into() };
        let existed = self.filters.get_mut(id).is_some_and(|list| list.insert(subscriber).is_some());
        self.len += usize::from(!existed);
        Subscribed { filter: FilterId(id), existed, announce: !known && !self.filters.has_twin(id) }
    }

    /// Ends a subscription; `None` when there was none.
    pub fn unsubscribe(&mut self, filter: &str, session: u32) -> Option<Unsubscribed> {
        let filter = FilterId(self.filters.find(filter)?);
        let announce = self.remove(filter, session)?.announce.is_some();
        Some(Unsubscribed { filter, announce })
    }

    /// Ends a subscription by the number of its filter, as when the session ends; `None` when there was none.
    pub fn remove(&mut self, filter: FilterId, session: u32) -> Option<Removed> {
        let list = self.filters.get_mut(filter.0)?;
        list.remove(session)?;
        let was_last = list.is_empty();
        self.len -= 1;
        if !was_last {
            return Some(Removed { announce: None });
        }
        // The others know a filter without wildcards by its hash only: while a twin is here, the hash stays.
        let announce = (!self.filters.has_twin(filter.0)).then(|| self.filters.text(filter.0).map(Box::from)).flatten();
        self.filters.remove(filter.0);
        Some(Removed { announce })
    }

    /// The text of a filter.
    #[must_use]
    pub fn filter(&self, filter: FilterId) -> Option<&str> {
        self.filters.text(filter.0)
    }

    /// The number of a filter that has subscribers.
    #[must_use]
    pub fn find(&self, filter: &str) -> Option<FilterId> {
        self.filters.find(filter).map(FilterId)
    }

    /// True when a session has a subscription to a filter.
    #[must_use]
    pub fn contains(&self, filter: &str, session: u32) -> bool {
        self.find(filter).is_some_and(|filter| self.subscriber(filter, session).is_some())
    }

    /// A session's subscription to a filter.
    #[must_use]
    pub fn subscriber(&self, filter: FilterId, session: u32) -> Option<&Subscriber> {
        self.filters.get(filter.0)?.get(session)
    }

    /// Finds the filters that match `topic_name`, whose [`hash_topic`](super::hash_topic) is `hash`; what `found` held
    /// is forgotten.
    #[inline]
    pub fn matches(&self, topic_name: &str, hash: u64, found: &mut Matches) {
        let Matches { lists, walk, .. } = found;
        lists.clear();
        self.filters.matches(topic_name, hash, walk, |id| lists.push(FilterId(id)));
    }

    /// True when no subscription has left anything behind.
    #[cfg(test)]
    pub(crate) fn is_bare(&self) -> bool {
        self.len == 0 && self.filters.is_bare()
    }

    #[inline]
    pub(crate) fn list(&self, filter: FilterId) -> Option<&List> {
        self.filters.get(filter.0)
    }
}
