//! What matched a topic name, and the one delivery that each session gets for it.

use super::subscribers::{List, OptionBits, Place, Subscriber};
use super::subscriptions::{FilterId, Subscriptions};
use super::trie::Walk;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Up to so many subscribers are sorted, more are merged: below, sorting costs less than a heap.
const SORT_MAX: usize = 64;

/// The filters that a topic name matched. Kept and reused, so that matching allocates nothing.
#[derive(Default)]
pub struct Matches {
    pub(crate) lists: Vec<FilterId>,
    pub(crate) walk: Walk,
    heads: BinaryHeap<Reverse<Head>>,
    gathered: Vec<Subscriber>,
    subscription_ids: Vec<u32>,
    copy_each: bool,
}

/// A message for one session, whatever number of its subscriptions matched [MQTT-3.3.4-2].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery<'a> {
    /// The session, as the shard numbers it.
    pub session: u32,
    /// The highest maximum QoS of the matching subscriptions, and retain-as-published if one of them has it.
    pub options: OptionBits,
    /// All their Subscription Identifiers [MQTT-3.3.4-4].
    pub subscription_ids: &'a [u32],
}

/// The next subscriber of a list; the lowest session comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    session: u32,
    list: FilterId,
    place: Place,
}

impl Matches {
    /// With `copy_each` a session gets a delivery for each of its subscriptions that matched, not one for all.
    #[must_use]
    pub fn new(copy_each: bool) -> Self {
        Self { copy_each, ..Self::default() }
    }

    /// True when nothing matched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// The filters that matched.
    #[must_use]
    pub fn filters(&self) -> &[FilterId] {
        &self.lists
    }

    /// Calls `deliver` once for each session that has a matching subscription, in rising order, or once for each such
    /// subscription (see [`Matches::new`]), which 5.0 leaves to the server (3.3.4). A subscription with No
    /// Local does not count for `publisher` [MQTT-3.8.3-3].
    ///
    /// `subscriptions` is what [`Subscriptions::matches`] was called on, unchanged since.
    pub fn for_each(
        &mut self,
        subscriptions: &Subscriptions,
        publisher: Option<u32>,
        mut deliver: impl FnMut(Delivery<'_>),
    ) {
        match self.lists.as_slice() {
            [] => {}
            [one] => {
                let blocks = subscriptions.list(*one).into_iter().flat_map(List::blocks);
                blocks.flatten().for_each(|subscriber| deliver_one(subscriber, publisher, &mut deliver));
            }
            several if self.copy_each => {
                for list in several.iter().filter_map(|list| subscriptions.list(*list)) {
                    list.blocks().flatten().for_each(|subscriber| deliver_one(subscriber, publisher, &mut deliver));
                }
            }
            several => {
                let lists = several.iter().filter_map(|list| subscriptions.list(*list));
                if lists.clone().map(List::len).sum::<usize>() <= SORT_MAX {
                    self.gathered.clear();
                    self.gathered.extend(lists.flat_map(List::blocks).flatten());
                    self.sort(publisher, &mut deliver);
                } else {
                    self.merge(subscriptions, publisher, &mut deliver);
                }
            }
        }
    }

    /// Delivers to what has been gathered.
    fn sort(&mut self, publisher: Option<u32>, deliver: &mut impl FnMut(Delivery<'_>)) {
        self.gathered.sort_unstable_by_key(|subscriber| subscriber.session);
        for same in self.gathered.chunk_by(|one, next| one.session == next.session) {
            deliver_same(same, &mut self.subscription_ids, publisher, deliver);
        }
    }

    /// Merges the lists, which are sorted by session. While one list's next session is below all the others', it is
    /// delivered from without touching the heap: a long list beside short ones costs as if it were alone.
    fn merge(&mut self, subscriptions: &Subscriptions, publisher: Option<u32>, deliver: &mut impl FnMut(Delivery<'_>)) {
        let Self { lists, heads, gathered, subscription_ids, .. } = self;
        heads.clear();
        heads.extend(lists.iter().filter_map(|list| head(subscriptions, *list, Place::default())));
        while let Some(Reverse(first)) = heads.pop() {
            let limit = heads.peek().map_or(u64::MAX, |Reverse(next)| u64::from(next.session));
            let rest = rest_of_block(subscriptions, &first);
            let alone = match rest.last() {
                Some(last) if u64::from(last.session) < limit => rest.len(),
                _ => rest.partition_point(|subscriber| u64::from(subscriber.session) < limit),
            };
            if alone > 0 {
                rest[..alone].iter().for_each(|subscriber| deliver_one(subscriber, publisher, deliver));
                let at = first.place.at + alone as u32;
                heads.extend(head(subscriptions, first.list, Place { at, ..first.place }));
                continue;
            }
            // Several lists have this session.
            gathered.clear();
            let mut same = Some(first);
            while let Some(next) = same {
                gathered.extend(rest_of_block(subscriptions, &next).first());
                heads.extend(head(subscriptions, next.list, Place { at: next.place.at + 1, ..next.place }));
                let more = heads.peek().is_some_and(|Reverse(head)| head.session == first.session);
                same = if more { heads.pop().map(|Reverse(head)| head) } else { None };
            }
            deliver_same(gathered, subscription_ids, publisher, deliver);
        }
    }
}

/// Delivers by all subscriptions of one session.
#[inline]
fn deliver_same(
    same: &[Subscriber],
    subscription_ids: &mut Vec<u32>,
    publisher: Option<u32>,
    deliver: &mut impl FnMut(Delivery<'_>),
) {
    if let [one] = same {
        return deliver_one(one, publisher, deliver);
    }
    subscription_ids.clear();
    let mut merged: Option<Subscriber> = None;
    for subscriber in same.iter().filter(|subscriber| !is_spared(subscriber, publisher)) {
        let options = merged.map_or(subscriber.options, |merged| merged.options.merged(subscriber.options));
        merged = Some(Subscriber { options, ..*subscriber });
        subscription_ids.extend(Some(subscriber.subscription_id).filter(|id| *id != 0));
    }
    if let Some(Subscriber { session, options, .. }) = merged {
        deliver(Delivery { session, options, subscription_ids });
    }
}

/// Delivers by one subscription alone.
#[inline]
fn deliver_one(subscriber: &Subscriber, publisher: Option<u32>, deliver: &mut impl FnMut(Delivery<'_>)) {
    if is_spared(subscriber, publisher) {
        return;
    }
    let id = std::slice::from_ref(&subscriber.subscription_id);
    let subscription_ids = if subscriber.subscription_id == 0 { &[] } else { id };
    deliver(Delivery { session: subscriber.session, options: subscriber.options, subscription_ids });
}

/// Whether No Local keeps the message from its publisher [MQTT-3.8.3-3].
#[inline]
fn is_spared(subscriber: &Subscriber, publisher: Option<u32>) -> bool {
    subscriber.options.no_local() && publisher == Some(subscriber.session)
}

/// The head of `list` at `place`, or at the start of the next block if `place` is at the end of one.
fn head(subscriptions: &Subscriptions, list: FilterId, place: Place) -> Option<Reverse<Head>> {
    let subscribers = subscriptions.list(list)?;
    let mut place = place;
    if place.at as usize >= subscribers.block(place.block as usize)?.len() {
        place = Place { block: place.block + 1, at: 0 };
    }
    let session = subscribers.block(place.block as usize)?.get(place.at as usize)?.session;
    Some(Reverse(Head { session, list, place }))
}

fn rest_of_block<'a>(subscriptions: &'a Subscriptions, head: &Head) -> &'a [Subscriber] {
    let block = subscriptions.list(head.list).and_then(|list| list.block(head.place.block as usize));
    block.and_then(|block| block.get(head.place.at as usize..)).unwrap_or_default()
}
