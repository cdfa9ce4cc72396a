//! The filters with wildcards, by level.
//!
//! A branch that leads to one filter only is not built: the filter hangs at the first place that it has for itself, as
//! a leaf, and its other levels are compared when a walk comes there. A million filters `devices/{n}/+/state` take one
//! node and a million leaves.
//!
//! ```text
//!   root -- devices --(1)-> leaf devices/1/+/state
//!                   --(2)-> node --+-> leaf devices/2/+/state
//!                                --cmd-> leaf devices/2/cmd/#
//! ```
//! The `+` child, the filter that ends with `#`, the filter that ends here and the first literal child are fields of
//! the node: a level that is the same in all topics is compared, not hashed. The other literal children stand in one
//! table for all nodes, under the hash of (node, level). So a walk follows at most two branches from each node that the
//! topic name reaches, whatever the number of filters.
//!
//! Many `+` do not make that 2 to the power of the levels: a node has two filters below it at least, and the nodes of a
//! level have different ones, so a walk reaches at most half as many nodes on a level as there are filters. What a hostile
//! client can make a walk cost is bounded by what it may subscribe to (`subscriptions_max`, `topic_levels_max`).

use super::hash::Seed;
use super::levels::{filter_matches, levels};
use super::text::Text;
use crate::arena::Arena;
use crate::table::{Entry, Table, tag};

const ROOT: u32 = 0;

/// The filters' texts, which the trie does not keep.
pub(crate) trait Filters {
    fn filter(&self, id: u32) -> &[u8];
}

/// Where a place leads: nowhere, to a node, or to a leaf, which is a filter's number with the top bit set.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Branch(u32);

enum Target {
    Nothing,
    Node(u32),
    Leaf(u32),
}

impl Branch {
    const NOTHING: Self = Self(u32::MAX);
    const LEAF: u32 = 1 << 31;

    const fn leaf(filter: u32) -> Self {
        Self(filter | Self::LEAF)
    }

    const fn node(node: u32) -> Self {
        Self(node)
    }

    #[inline]
    fn target(self) -> Target {
        match self.0 {
            u32::MAX => Target::Nothing,
            leaf if leaf & Self::LEAF != 0 => Target::Leaf(leaf & !Self::LEAF),
            node => Target::Node(node),
        }
    }
}

/// A literal child of `parent`. The level that it stands for is read from where it leads.
#[derive(Clone, Copy)]
struct Child {
    tag: u32,
    parent: u32,
    branch: Branch,
}

impl Entry for Child {
    const EMPTY: Self = Self { tag: 0, parent: 0, branch: Branch::NOTHING };

    #[inline]
    fn is_empty(&self) -> bool {
        self.branch == Branch::NOTHING
    }

    #[inline]
    fn tag(&self) -> u32 {
        self.tag
    }
}

struct Node {
    parent: u32,
    /// The filter that ends here.
    here: Branch,
    /// The filter that ends here with `#`.
    multi: Branch,
    plus: Branch,
    /// One literal child; the others are in the table.
    first: Branch,
    /// Literal children in the table.
    others: u32,
    level: Text<22>,
}

const _: () = assert!(size_of::<Node>() == 48);

impl Node {
    fn new(parent: u32, level: &[u8]) -> Self {
        let nothing = Branch::NOTHING;
        Self { parent, here: nothing, multi: nothing, plus: nothing, first: nothing, others: 0, level: level.into() }
    }

    fn is_empty(&self) -> bool {
        self.others == 0 && [self.here, self.multi, self.plus, self.first] == [Branch::NOTHING; 4]
    }
}

/// A place below a node, where a leaf or another node hangs.
#[derive(Clone, Copy)]
enum Place<'a> {
    Here,
    Multi,
    Plus,
    Literal(&'a [u8]),
}

impl<'a> Place<'a> {
    /// The place for the next level of a filter, or for its end.
    fn of(level: Option<&'a [u8]>) -> Self {
        match level {
            None => Self::Here,
            Some(b"#") => Self::Multi,
            Some(b"+") => Self::Plus,
            Some(level) => Self::Literal(level),
        }
    }
}

/// Where the way of a filter through the nodes ends, and what is there.
struct End<'a> {
    node: u32,
    /// Levels above the place.
    depth: usize,
    place: Place<'a>,
    branch: Branch,
}

/// Scratch space of a walk, kept from one to the next: the nodes reached at this level and at the next.
#[derive(Default)]
pub(crate) struct Walk {
    nodes: Vec<u32>,
    next: Vec<u32>,
}

pub(crate) struct Trie {
    seed: Seed,
    nodes: Arena<Node>,
    children: Table<Child>,
}

impl Trie {
    pub(crate) fn new(seed: Seed) -> Self {
        let mut nodes = Arena::new();
        let root = nodes.insert(Node::new(ROOT, b""));
        debug_assert_eq!(root, ROOT);
        Self { seed, nodes, children: Table::new() }
    }

    /// True when no filter has left anything behind.
    #[cfg(test)]
    pub(crate) fn is_bare(&self) -> bool {
        self.nodes.len() == 1 && self.children.len() == 0 && self.nodes.get(ROOT).is_some_and(Node::is_empty)
    }

    /// Bytes of memory that the trie takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.nodes.memory_bytes() + self.children.memory_bytes()
    }

    /// The number of `filter`, if it is there.
    pub(crate) fn find(&self, filter: &[u8], filters: &impl Filters) -> Option<u32> {
        match self.descend(ROOT, 0, filter, filters).branch.target() {
            Target::Leaf(leaf) => (filters.filter(leaf) == filter).then_some(leaf),
            _ => None,
        }
    }

    /// Adds a filter that is not there yet.
    pub(crate) fn insert(&mut self, id: u32, filters: &impl Filters) {
        let filter = filters.filter(id);
        let mut end = self.descend(ROOT, 0, filter, filters);
        while let Target::Leaf(other) = end.branch.target() {
            // The way of two filters is the same so far: a node takes the leaf's place, and the leaf moves below it.
            let Some(level) = levels(filter).nth(end.depth) else { return };
            let child = self.nodes.insert(Node::new(end.node, level));
            let below = Place::of(levels(filters.filter(other)).nth(end.depth + 1));
            self.set(end.node, end.place, end.branch, Branch::node(child));
            self.set(child, below, Branch::NOTHING, end.branch);
            end = self.descend(child, end.depth + 1, filter, filters);
        }
        self.set(end.node, end.place, Branch::NOTHING, Branch::leaf(id));
    }

    /// Removes a filter that is there, and the nodes that lead to nothing else.
    pub(crate) fn remove(&mut self, id: u32, filters: &impl Filters) {
        let End { mut node, place, branch, .. } = self.descend(ROOT, 0, filters.filter(id), filters);
        self.set(node, place, branch, Branch::NOTHING);
        while node != ROOT && self.nodes.get(node).is_some_and(Node::is_empty) {
            let Some(empty) = self.nodes.remove(node) else { return };
            let place = Place::of(Some(empty.level.as_bytes()));
            self.set(empty.parent, place, Branch::node(node), Branch::NOTHING);
            node = empty.parent;
        }
    }

    /// Follows `filter` from `node`, which stands at `depth`, to a place that does not lead to a node.
    fn descend<'a>(&self, mut node: u32, mut depth: usize, filter: &'a [u8], filters: &impl Filters) -> End<'a> {
        let mut levels = levels(filter).skip(depth);
        loop {
            let place = Place::of(levels.next());
            let branch = self.branch(node, depth, place, filters);
            let Target::Node(child) = branch.target() else { return End { node, depth, place, branch } };
            (node, depth) = (child, depth + 1);
        }
    }

    /// Where `place` below `id`, which stands at `depth`, leads.
    fn branch(&self, id: u32, depth: usize, place: Place<'_>, filters: &impl Filters) -> Branch {
        let Some(node) = self.nodes.get(id) else { return Branch::NOTHING };
        let level = match place {
            Place::Here => return node.here,
            Place::Multi => return node.multi,
            Place::Plus => return node.plus,
            Place::Literal(level) => level,
        };
        let leaf_is = |leaf| levels(filters.filter(leaf)).nth(depth) == Some(level);
        self.literal(id, node, level, || self.seed.hash(level), leaf_is)
    }

    /// Lets `place` below `node` lead from where it led to somewhere else.
    fn set(&mut self, id: u32, place: Place<'_>, from: Branch, to: Branch) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        let level = match place {
            Place::Here => return node.here = to,
            Place::Multi => return node.multi = to,
            Place::Plus => return node.plus = to,
            Place::Literal(_) if node.first == from => return node.first = to,
            Place::Literal(level) => level,
        };
        let hash = child_hash(id, self.seed.hash(level));
        if from == Branch::NOTHING {
            self.children.insert(hash, Child { tag: tag(hash), parent: id, branch: to });
            node.others += 1;
        } else if to == Branch::NOTHING {
            let removed = self.children.remove(hash, |child| child.branch == from);
            node.others -= u32::from(removed.is_some());
        } else if let Some(child) = self.children.find_mut(hash, |child| child.branch == from) {
            child.branch = to;
        }
    }

    /// The literal child of a node for `level`. `leaf_is` tells whether a leaf stands for the level; `level_hash` is
    /// asked only when the table must be.
    #[inline]
    fn literal(
        &self,
        id: u32,
        node: &Node,
        level: &[u8],
        level_hash: impl FnOnce() -> u64,
        leaf_is: impl Fn(u32) -> bool,
    ) -> Branch {
        let is = |branch: Branch| match branch.target() {
            Target::Nothing => false,
            Target::Node(child) => self.nodes.get(child).is_some_and(|child| child.level.as_bytes() == level),
            Target::Leaf(leaf) => leaf_is(leaf),
        };
        if is(node.first) {
            return node.first;
        }
        if node.others == 0 {
            return Branch::NOTHING;
        }
        let child = self.children.find(child_hash(id, level_hash()), |child| child.parent == id && is(child.branch));
        child.map_or(Branch::NOTHING, |child| child.branch)
    }

    /// Calls `found` for each filter that matches `topic_name`.
    pub(crate) fn matches(
        &self,
        topic_name: &[u8],
        walk: &mut Walk,
        filters: &impl Filters,
        mut found: impl FnMut(u32),
    ) {
        if self.nodes.get(ROOT).is_none_or(Node::is_empty) {
            return;
        }
        let Walk { nodes, next } = walk;
        nodes.clear();
        nodes.push(ROOT);
        // A topic name that begins with `$` is not matched by a filter that begins with a wildcard [MQTT-4.7.2-1].
        let mut wildcards = !topic_name.starts_with(b"$");
        let leaf_matches = |leaf| filter_matches(filters.filter(leaf), topic_name);
        for level in levels(topic_name) {
            let mut level_hash = None;
            for id in nodes.drain(..) {
                let Some(node) = self.nodes.get(id) else { continue };
                let hash = || *level_hash.get_or_insert_with(|| self.seed.hash(level));
                let literal = self.literal(id, node, level, hash, leaf_matches);
                let plus = match node.plus.target() {
                    Target::Leaf(leaf) if !leaf_matches(leaf) => Branch::NOTHING,
                    _ => node.plus,
                };
                let reached =
                    if wildcards { [literal, plus, node.multi] } else { [literal, Branch::NOTHING, Branch::NOTHING] };
                for branch in reached {
                    match branch.target() {
                        Target::Nothing => {}
                        Target::Node(child) => next.push(child),
                        Target::Leaf(leaf) => found(leaf),
                    }
                }
            }
            if next.is_empty() {
                return;
            }
            std::mem::swap(nodes, next);
            wildcards = true;
        }
        for node in nodes.iter().filter_map(|id| self.nodes.get(*id)) {
            // `a/#` also matches `a` (4.7.1.2).
            for branch in [node.here, node.multi] {
                if let Target::Leaf(leaf) = branch.target() {
                    found(leaf);
                }
            }
        }
    }
}

/// The hash of the level is secret and uniform, so mixing in the parent's number keeps it so.
#[inline]
const fn child_hash(node: u32, level_hash: u64) -> u64 {
    level_hash ^ (node as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Filters for Vec<String> {
        fn filter(&self, id: u32) -> &[u8] {
            self[id as usize].as_bytes()
        }
    }

    /// Every filter of twelve levels that are `a` or `+`, and the topic that all of them match: as many branches as can be.
    /// Of a topic that is twice as long nothing is found, and no more is visited.
    #[test]
    fn a_walk_reaches_no_more_nodes_than_there_are_filters() {
        const LEVELS: usize = 12;
        let filters: Vec<String> = (0..1 << LEVELS)
            .map(|bits| {
                (0..LEVELS).map(|level| if bits >> level & 1 == 1 { "+" } else { "a" }).collect::<Vec<_>>().join("/")
            })
            .collect();
        let mut trie = Trie::new(Seed::new([1, 2]));
        (0..filters.len() as u32).for_each(|id| trie.insert(id, &filters));
        assert!(trie.nodes.len() < filters.len());
        for (levels, expected) in [(LEVELS, filters.len()), (2 * LEVELS, 0)] {
            let (mut walk, mut found) = (Walk::default(), 0);
            trie.matches(vec!["a"; levels].join("/").as_bytes(), &mut walk, &filters, |_| found += 1);
            assert_eq!(found, expected);
            assert!(walk.nodes.capacity() <= filters.len() && walk.next.capacity() <= filters.len());
        }
    }
}
