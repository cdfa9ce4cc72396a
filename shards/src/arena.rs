//! Cells with small numbers for names, in chunks: growing never moves what is there, and a chunk that empties gives its
//! memory back.
//!
//! ```text
//!   id = chunk number << 8 | cell in the chunk
//!   chunk: [used][free -> 3][used][free -> none] ... 256 cells
//! ```

const CHUNK_CELLS: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 8;
const NONE: u32 = u32::MAX;

/// Cells of `T`, each named by the `u32` that [`Arena::insert`] returned until it is removed.
pub(crate) struct Arena<T> {
    chunks: Vec<Chunk<T>>,
    /// The chunks with a free cell, each once.
    open: Vec<u32>,
    len: usize,
}

struct Chunk<T> {
    cells: Vec<Cell<T>>,
    free: u32,
    used: u32,
}

enum Cell<T> {
    Used(T),
    /// Empty, but its name is not to be given again yet.
    Retired,
    Free {
        next: u32,
    },
}

impl<T> Arena<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory that the cells take.
    pub(crate) fn memory_bytes(&self) -> usize {
        let cells: usize = self.chunks.iter().map(|chunk| chunk.cells.capacity()).sum();
        cells * size_of::<Cell<T>>() + self.chunks.capacity() * size_of::<Chunk<T>>() + self.open.capacity() * 4
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let number = self.open.last().copied().unwrap_or_else(|| {
            let number = self.chunks.len() as u32;
            self.chunks.push(Chunk { cells: Vec::new(), free: NONE, used: 0 });
            self.open.push(number);
            number
        });
        let chunk = &mut self.chunks[number as usize];
        let cell = chunk.insert(value);
        if chunk.used as usize == CHUNK_CELLS {
            self.open.pop();
        }
        self.len += 1;
        number << CHUNK_BITS | cell
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        let value = self.retire(id)?;
        self.release(id);
        Some(value)
    }

    /// Removes a value whose name others still use: it is not given again before [`Arena::release`].
    pub(crate) fn retire(&mut self, id: u32) -> Option<T> {
        let chunk = self.chunks.get_mut((id >> CHUNK_BITS) as usize)?;
        let cell = chunk.cells.get_mut(id as usize % CHUNK_CELLS)?;
        if !matches!(cell, Cell::Used(_)) {
            return None;
        }
        self.len -= 1;
        match std::mem::replace(cell, Cell::Retired) {
            Cell::Used(value) => Some(value),
            Cell::Retired | Cell::Free { .. } => None,
        }
    }

    /// Lets the name of a retired value be given again.
    pub(crate) fn release(&mut self, id: u32) {
        let number = id >> CHUNK_BITS;
        let Some(chunk) = self.chunks.get_mut(number as usize) else { return };
        let was_full = chunk.used as usize == CHUNK_CELLS;
        if chunk.release(id & (CHUNK_CELLS as u32 - 1)) && was_full {
            self.open.push(number);
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        let chunk = self.chunks.get((id >> CHUNK_BITS) as usize)?;
        match chunk.cells.get(id as usize % CHUNK_CELLS)? {
            Cell::Used(value) => Some(value),
            Cell::Retired | Cell::Free { .. } => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        let chunk = self.chunks.get_mut((id >> CHUNK_BITS) as usize)?;
        match chunk.cells.get_mut(id as usize % CHUNK_CELLS)? {
            Cell::Used(value) => Some(value),
            Cell::Retired | Cell::Free { .. } => None,
        }
    }
}

impl<T> Arena<T> {
    /// The ids in use, in no order that means anything.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let used = chunk.cells.iter().enumerate().filter(|(_, cell)| matches!(cell, Cell::Used(_)));
            used.map(move |(cell, _)| (number << CHUNK_BITS | cell) as u32)
        })
    }
}

impl<T> Chunk<T> {
    /// The caller knows that there is room.
    fn insert(&mut self, value: T) -> u32 {
        self.used += 1;
        let cell = self.free;
        if let Some(slot) = self.cells.get_mut(cell as usize) {
            if let Cell::Free { next } = *slot {
                self.free = next;
            }
            *slot = Cell::Used(value);
            return cell;
        }
        // All at once: cells that grew by doubling would leave as much behind in the allocator as they take.
        self.cells.reserve_exact(CHUNK_CELLS - self.cells.len());
        self.cells.push(Cell::Used(value));
        self.cells.len() as u32 - 1
    }

    /// Frees a retired cell; false if it is not one.
    fn release(&mut self, cell: u32) -> bool {
        let Some(slot) = self.cells.get_mut(cell as usize).filter(|slot| matches!(slot, Cell::Retired)) else {
            return false;
        };
        *slot = Cell::Free { next: self.free };
        self.free = cell;
        self.used -= 1;
        if self.used == 0 {
            self.cells = Vec::new();
            self.free = NONE;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_memory_returns() {
        let mut arena = Arena::new();
        let ids: Vec<u32> = (0..5_000u64).map(|value| arena.insert(value)).collect();
        assert!(ids.iter().zip(0..).all(|(id, value)| arena.get(*id) == Some(&value)));
        for id in ids.iter().step_by(3) {
            assert!(arena.remove(*id).is_some());
            assert_eq!(arena.remove(*id), None);
            assert_eq!(arena.get(*id), None);
        }
        let before = arena.memory_bytes();
        let again: Vec<u32> = ids.iter().step_by(3).map(|_| arena.insert(7)).collect();
        assert_eq!(arena.memory_bytes(), before, "free cells are taken first");
        assert!(again.iter().all(|id| arena.get(*id) == Some(&7)));
        for id in &ids {
            assert!(arena.remove(*id).is_some());
        }
        assert_eq!(arena.len(), 0);
        assert!(arena.memory_bytes() < 4_096, "what is left is the list of chunks");
    }

    #[test]
    fn a_retired_name_is_not_given_again_before_its_release() {
        let mut arena = Arena::new();
        let [first, second] = [1, 2].map(|value| arena.insert(value));
        assert_eq!(arena.retire(first), Some(1));
        assert_eq!((arena.retire(first), arena.remove(first)), (None, None));
        assert_eq!((arena.get(first), arena.len()), (None, 1));
        let third = arena.insert(3);
        assert_ne!(third, first);
        arena.release(second);
        assert_eq!(arena.get(second), Some(&2), "only what was retired is released");
        arena.release(first);
        arena.release(first);
        assert_eq!(arena.insert(4), first);
        assert_ne!(arena.insert(5), first);
    }
}
