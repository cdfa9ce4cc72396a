//! What matched a topic name, and the one delivery that each session gets for it.

use super::subscribers::{OptionBits, Place, Subscriber};
use super::subscriptions::{FilterId, Subscriptions};
use super::trie::Walk;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The filters that a topic name matched. Kept and reused, so that matching allocates nothing.
#[derive(Default)]
pub struct Matches {
    pub(crate) lists: Vec<FilterId>,
    pub(crate) walk: Walk,
    heads: BinaryHeap<Reverse<Head>>,
    subscription_ids: Vec<u32>,
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

    /// Calls `deliver` once for each session that has a matching subscription, in rising order. A subscription with No Local
    /// does not count for `publisher` [MQTT-3.8.3-3].
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
                let Some(list) = subscriptions.list(*one) else { return };
                for block in (0..).map_while(|block| list.block(block)) {
                    block.iter().for_each(|subscriber| deliver_one(subscriber, publisher, &mut deliver));
                }
            }
            _ => self.merge(subscriptions, publisher, &mut deliver),
        }
    }

    /// Merges the lists, which are sorted by session. While one list's next session is below all the others', it is
    /// delivered from without touching the heap: a long list beside short ones costs as if it were alone.
    fn merge(&mut self, subscriptions: &Subscriptions, publisher: Option<u32>, deliver: &mut impl FnMut(Delivery<'_>)) {
        let heads = &mut self.heads;
        heads.clear();
        heads.extend(self.lists.iter().filter_map(|list| head(subscriptions, *list, Place::default())));
        while let Some(Reverse(first)) = heads.pop() {
            let limit = heads.peek().map_or(u64::MAX, |Reverse(next)| u64::from(next.session));
            if u64::from(first.session) < limit {
                let mut place = first.place;
                for subscriber in rest_of_block(subscriptions, &first) {
                    if u64::from(subscriber.session) >= limit {
                        break;
                    }
                    deliver_one(subscriber, publisher, deliver);
                    place.at += 1;
                }
                heads.extend(head(subscriptions, first.list, place));
                continue;
            }
            self.subscription_ids.clear();
            let mut options: Option<OptionBits> = None;
            let mut same = Some(first);
            while let Some(next) = same {
                if let Some(subscriber) = rest_of_block(subscriptions, &next).first()
                    && !(subscriber.options.no_local() && publisher == Some(subscriber.session))
                {
                    options = Some(options.map_or(subscriber.options, |other| other.merged(subscriber.options)));
                    self.subscription_ids.extend(Some(subscriber.subscription_id).filter(|id| *id != 0));
                }
                heads.extend(head(subscriptions, next.list, Place { at: next.place.at + 1, ..next.place }));
                same = heads.peek().filter(|Reverse(head)| head.session == first.session).map(|Reverse(head)| *head);
                if same.is_some() {
                    heads.pop();
                }
            }
            if let Some(options) = options {
                deliver(Delivery { session: first.session, options, subscription_ids: &self.subscription_ids });
            }
        }
    }
}

/// Delivers by one subscription alone.
#[inline]
fn deliver_one(subscriber: &Subscriber, publisher: Option<u32>, deliver: &mut impl FnMut(Delivery<'_>)) {
    if subscriber.options.no_local() && publisher == Some(subscriber.session) {
        return; // [MQTT-3.8.3-3]
    }
    let id = std::slice::from_ref(&subscriber.subscription_id);
    let subscription_ids = if subscriber.subscription_id == 0 { &[] } else { id };
    deliver(Delivery { session: subscriber.session, options: subscriber.options, subscription_ids });
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
