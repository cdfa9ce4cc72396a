//! A map from filters to whatever hangs on them, which finds the filters that match a topic name: those without
//! wildcards by one look-up of the whole, those with wildcards by a walk through the trie.

use super::hash::Seed;
use super::text::Text;
use super::trie::{Filters, Trie, Walk};
use crate::arena::Arena;
use crate::table::{Ref, Table};

/// A filter, in one cache line if it has up to 46 bytes and `V` up to 16.
#[repr(align(64))]
struct Entry<V> {
    value: V,
    text: Text<46>,
}

pub(crate) struct FilterMap<V> {
    seed: Seed,
    entries: Arena<Entry<V>>,
    exact: Table<Ref>,
    trie: Trie,
}

impl<V> Filters for Arena<Entry<V>> {
    #[inline]
    fn filter(&self, id: u32) -> &[u8] {
        self.get(id).map_or(&[], |entry| entry.text.as_bytes())
    }
}

/// Whether a filter holds a wildcard; the filter has been checked, so they stand where they mean something.
#[inline]
pub(crate) fn has_wildcards(filter: &str) -> bool {
    filter.bytes().any(|byte| byte == b'+' || byte == b'#')
}

impl<V: Default> FilterMap<V> {
    /// The number of `filter`, which is added with an empty value if it is not there; and whether it was there.
    pub(crate) fn find_or_insert(&mut self, filter: &str) -> (u32, bool) {
        match self.find(filter) {
            Some(id) => (id, true),
            None => (self.insert(filter), false),
        }
    }

    fn insert(&mut self, filter: &str) -> u32 {
        let id = self.entries.insert(Entry { value: V::default(), text: filter.as_bytes().into() });
        if has_wildcards(filter) {
            self.trie.insert(id, &self.entries);
        } else {
            let hash = self.seed.hash(filter.as_bytes());
            self.exact.insert(hash, Ref::new(hash, id));
        }
        id
    }
}

impl<V> FilterMap<V> {
    pub(crate) fn new(seed: Seed) -> Self {
        const { assert!(size_of::<V>() > 16 || size_of::<Option<Entry<V>>>() == 64) };
        Self { seed, entries: Arena::new(), exact: Table::new(), trie: Trie::new(seed) }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when no filter has left anything behind.
    #[cfg(test)]
    pub(crate) fn is_bare(&self) -> bool {
        self.entries.len() == 0 && self.exact.len() == 0 && self.trie.is_bare()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.entries.memory_bytes() + self.exact.memory_bytes() + self.trie.memory_bytes()
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&V> {
        self.entries.get(id).map(|entry| &entry.value)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut V> {
        self.entries.get_mut(id).map(|entry| &mut entry.value)
    }

    pub(crate) fn text(&self, id: u32) -> Option<&str> {
        self.entries.get(id).map(|entry| entry.text.as_str())
    }

    /// The number of `filter`.
    pub(crate) fn find(&self, filter: &str) -> Option<u32> {
        if has_wildcards(filter) {
            self.trie.find(filter.as_bytes(), &self.entries)
        } else {
            self.find_exact(filter, self.seed.hash(filter.as_bytes()))
        }
    }

    /// Removes a filter.
    pub(crate) fn remove(&mut self, id: u32) {
        let Some(filter) = self.text(id) else { return };
        if has_wildcards(filter) {
            self.trie.remove(id, &self.entries);
        } else {
            self.exact.remove(self.seed.hash(filter.as_bytes()), |entry| entry.id == id);
        }
        self.entries.remove(id);
    }

    /// Whether another filter without wildcards has the same hash as this one.
    pub(crate) fn has_twin(&self, id: u32) -> bool {
        let Some(filter) = self.text(id).filter(|filter| !has_wildcards(filter)) else { return false };
        let hash = self.seed.hash(filter.as_bytes());
        let twin = |entry: &Ref| {
            entry.id != id && self.text(entry.id).is_some_and(|twin| self.seed.hash(twin.as_bytes()) == hash)
        };
        self.exact.find(hash, twin).is_some()
    }

    /// Calls `found` with the number of each filter that matches `topic_name`, whose hash is `hash`.
    #[inline]
    pub(crate) fn matches(&self, topic_name: &str, hash: u64, walk: &mut Walk, mut found: impl FnMut(u32)) {
        if let Some(id) = self.find_exact(topic_name, hash) {
            found(id);
        }
        self.trie.matches(topic_name.as_bytes(), walk, &self.entries, found);
    }

    #[inline]
    fn find_exact(&self, filter: &str, hash: u64) -> Option<u32> {
        let is =
            |entry: &Ref| self.entries.get(entry.id).is_some_and(|entry| entry.text.as_bytes() == filter.as_bytes());
        self.exact.find(hash, is).map(|entry| entry.id)
    }
}
