//! A hash table in 256 parts, so that growth comes in small steps: with a million entries a step rehashes some four
//! thousand of them (tens of microseconds), not all of them (tens of milliseconds).
//!
//! ```text
//!   hash, 64 bits:  [ tag, 32: kept in the entry, decides the place in the part ][ ... ][ part, 8 ]
//! ```

use hashbrown::HashTable;

const PARTS: usize = 256;

/// A part with room for more than this many entries is shrunk when most of it is empty.
const SHRINK_ABOVE: usize = 64;

/// What an entry must remember of its hash: the upper 32 bits, so that a rehash does not visit what the entry stands for.
pub(crate) trait Tagged {
    fn tag(&self) -> u32;
}

/// An entry that stands for something in an [`Arena`](crate::arena::Arena).
pub(crate) struct Ref {
    tag: u32,
    pub(crate) id: u32,
}

impl Ref {
    pub(crate) fn new(hash: u64, id: u32) -> Self {
        Self { tag: tag(hash), id }
    }
}

impl Tagged for Ref {
    #[inline]
    fn tag(&self) -> u32 {
        self.tag
    }
}

/// The table. Every call takes the full hash; `is` is asked only of entries with the same tag.
pub(crate) struct Table<T> {
    parts: Box<[HashTable<T>; PARTS]>,
    len: usize,
}

#[inline]
pub(crate) const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The hash inside a part, which must come from the tag alone.
#[inline]
const fn spread(tag: u32) -> u64 {
    (tag as u64) << 32 | tag as u64
}

impl<T: Tagged> Table<T> {
    pub(crate) fn new() -> Self {
        Self { parts: Box::new(std::array::from_fn(|_| HashTable::new())), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory that the table takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let parts: usize = self.parts.iter().map(HashTable::allocation_size).sum();
        parts + size_of_val(self.parts.as_ref())
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(&T) -> bool) -> Option<&T> {
        let tag = tag(hash);
        self.parts[part(hash)].find(spread(tag), |entry| entry.tag() == tag && is(entry))
    }

    pub(crate) fn find_mut(&mut self, hash: u64, mut is: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let tag = tag(hash);
        self.parts[part(hash)].find_mut(spread(tag), |entry| entry.tag() == tag && is(entry))
    }

    /// Adds an entry, beside those with the same hash.
    pub(crate) fn insert(&mut self, hash: u64, entry: T) {
        self.parts[part(hash)].insert_unique(spread(tag(hash)), entry, |entry| spread(entry.tag()));
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, hash: u64, mut is: impl FnMut(&T) -> bool) -> Option<T> {
        let tag = tag(hash);
        let table = &mut self.parts[part(hash)];
        let entry = table.find_entry(spread(tag), |entry| entry.tag() == tag && is(entry)).ok()?.remove().0;
        if table.is_empty() {
            *table = HashTable::new();
        } else if table.capacity() > SHRINK_ABOVE && table.len() < table.capacity() / 8 {
            table.shrink_to(table.len() * 2, |entry| spread(entry.tag()));
        }
        self.len -= 1;
        Some(entry)
    }
}

#[inline]
const fn part(hash: u64) -> usize {
    hash as usize % PARTS
}
