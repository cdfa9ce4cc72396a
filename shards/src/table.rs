//! A hash table of small entries that costs one cache miss and grows in small steps.
//!
//! ```text
//!   hash, 64 bits:  [ tag, 32: kept in the entry, decides its place in the part ][ 24 unused ][ part, 8 ]
//!
//!   a part:         home of a tag = tag * homes / 2^32
//!   [2][5][6][ ][11][ ][14][14][15]|[15]      sorted by tag; an entry stands at its home or in the run after it
//!                          homes __/    \__ overflow of the last run
//! ```
//! There is no second array to look into, and a tag is known absent at the first higher one. Growing copies a part from
//! front to back, hashing nothing and visiting nothing that an entry stands for. There are 256 parts: with a million
//! entries, one insertion copies at most some five thousand of them.

const PARTS: usize = 256;

/// Homes of the smallest part that is not empty.
const HOMES_MIN: usize = 4;

/// What is kept in a [`Table`].
pub(crate) trait Entry: Copy {
    /// What stands where there is no entry.
    const EMPTY: Self;

    fn is_empty(&self) -> bool;

    /// The [`tag`] of the hash under which the entry was inserted.
    fn tag(&self) -> u32;
}

/// The part of a hash that an entry keeps.
#[inline]
pub(crate) const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// An entry that stands for something in an [`Arena`](crate::arena::Arena).
#[derive(Clone, Copy)]
pub(crate) struct Ref {
    tag: u32,
    pub(crate) id: u32,
}

impl Ref {
    pub(crate) fn new(hash: u64, id: u32) -> Self {
        Self { tag: tag(hash), id }
    }
}

impl Entry for Ref {
    const EMPTY: Self = Self { tag: 0, id: u32::MAX };

    #[inline]
    fn is_empty(&self) -> bool {
        self.id == u32::MAX
    }

    #[inline]
    fn tag(&self) -> u32 {
        self.tag
    }
}

/// The table. Every call takes the full hash; `is` is asked only of entries with the same tag.
pub(crate) struct Table<T> {
    parts: Box<[Part<T>; PARTS]>,
    len: usize,
}

struct Part<T> {
    slots: Vec<T>,
    homes: u32,
    len: u32,
}

#[inline]
const fn part(hash: u64) -> usize {
    hash as usize % PARTS
}

impl<T: Entry> Table<T> {
    pub(crate) fn new() -> Self {
        Self { parts: Box::new(std::array::from_fn(|_| Part { slots: Vec::new(), homes: 0, len: 0 })), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory that the table takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let slots: usize = self.parts.iter().map(|part| part.slots.capacity()).sum();
        slots * size_of::<T>() + size_of_val(self.parts.as_ref())
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&T> {
        let part = &self.parts[part(hash)];
        part.slots.get(part.position(tag(hash), is)?)
    }

    pub(crate) fn find_mut(&mut self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let part = &mut self.parts[part(hash)];
        let position = part.position(tag(hash), is)?;
        part.slots.get_mut(position)
    }

    /// Adds an entry with the tag of `hash`, beside those that have it already.
    pub(crate) fn insert(&mut self, hash: u64, entry: T) {
        debug_assert!(entry.tag() == tag(hash) && !entry.is_empty());
        self.parts[part(hash)].insert(entry);
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<T> {
        let part = &mut self.parts[part(hash)];
        let position = part.position(tag(hash), is)?;
        self.len -= 1;
        Some(part.remove(position))
    }
}

impl<T: Entry> Part<T> {
    #[inline]
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * u64::from(self.homes)) >> 32) as usize
    }

    #[inline]
    fn position(&self, tag: u32, mut is: impl FnMut(&T) -> bool) -> Option<usize> {
        let home = self.home(tag);
        let run = self.slots.get(home..)?.iter().take_while(|entry| !entry.is_empty() && entry.tag() <= tag);
        run.into_iter().position(|entry| entry.tag() == tag && is(entry)).map(|offset| home + offset)
    }

    fn insert(&mut self, entry: T) {
        // At seven eighths of the homes taken a run has some five entries: still a cache line.
        if (self.len as usize + 1) * 8 > self.homes as usize * 7 {
            self.resize((self.homes as usize * 3 / 2).max(HOMES_MIN));
        }
        let home = self.home(entry.tag());
        let run = self.slots[home..].iter().take_while(|other| !other.is_empty() && other.tag() <= entry.tag());
        let at = home + run.count();
        let empty = self.slots[at..].iter().position(T::is_empty).map_or(self.slots.len(), |offset| at + offset);
        if empty == self.slots.len() {
            self.slots.push(T::EMPTY);
        }
        self.slots.copy_within(at..empty, at + 1);
        self.slots[at] = entry;
        self.len += 1;
    }

    fn remove(&mut self, at: usize) -> T {
        let removed = self.slots[at];
        let displaced = (at + 1..).zip(&self.slots[at + 1..]);
        let run = displaced.take_while(|(place, entry)| !entry.is_empty() && self.home(entry.tag()) < *place).count();
        self.slots.copy_within(at + 1..at + 1 + run, at);
        self.slots[at + run] = T::EMPTY;
        while self.slots.len() > self.homes as usize && self.slots.last().is_some_and(T::is_empty) {
            self.slots.pop();
        }
        self.len -= 1;
        if self.len == 0 {
            self.resize(0);
        } else if self.homes as usize > HOMES_MIN * 2 && self.len < self.homes / 4 {
            self.resize((self.homes / 2) as usize);
        }
        removed
    }

    fn resize(&mut self, homes: usize) {
        let old = std::mem::take(&mut self.slots);
        self.homes = homes as u32;
        // Room for the last run, so that it seldom reallocates.
        self.slots.reserve_exact(if homes == 0 { 0 } else { homes + homes / 64 + 2 });
        self.slots.resize(homes, T::EMPTY);
        let mut next = 0;
        for entry in old.into_iter().filter(|entry| !entry.is_empty()) {
            let at = self.home(entry.tag()).max(next);
            if at == self.slots.len() {
                self.slots.push(entry);
            } else {
                self.slots[at] = entry;
            }
            next = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Few different tags and parts, the highest of them included, so that runs are long and reach the end.
        #[test]
        fn holds_what_a_set_holds(steps in vec((0..6u64, 0..3u64, 0..40u32, 0..3u8), 1..600)) {
            let mut table = Table::new();
            let mut model = BTreeSet::new();
            for (tag, part, id, step) in steps {
                let hash = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff][tag as usize] << 32 | part;
                let is = |entry: &Ref| entry.id == id;
                if step == 0 {
                    prop_assert_eq!(table.remove(hash, is).is_some(), model.remove(&(hash, id)));
                } else if model.insert((hash, id)) {
                    prop_assert!(table.find(hash, is).is_none());
                    table.insert(hash, Ref::new(hash, id));
                }
                prop_assert_eq!(table.len(), model.len());
                for (hash, id) in &model {
                    prop_assert!(table.find(*hash, |entry| entry.id == *id).is_some());
                }
            }
            let empty = Table::<Ref>::new().memory_bytes();
            for (hash, id) in model {
                prop_assert!(table.remove(hash, |entry| entry.id == id).is_some());
            }
            prop_assert_eq!((table.len(), table.memory_bytes()), (0, empty));
        }
    }
}
