//! The filters with wildcards, by level.
//!
//! A branch that leads to one filter only is not built: the filter hangs at the first place that it has for itself, as a
//! leaf, and its other levels are compared when a walk comes there. A million filters `devices/{n}/+/state` take one node
//! and a million leaves.
//!
//! ```text
//!   root -- devices --(1)-> leaf devices/1/+/state
//!                   --(2)-> node --+-> leaf devices/2/+/state
//!                                --cmd-> leaf devices/2/cmd/#
//! ```
//! The children that are literal levels stand in one table for all nodes, under the hash of (node, level); the `+` child, the
//! filter that ends with `#` and the filter that ends here are fields of the node. So a walk looks at each node that the
//! topic name reaches at most three times a level, whatever the number of filters.

use super::hash::Seed;
use super::text::Text;
use crate::arena::Arena;
use crate::table::{Table, Tagged, tag};
use ringtail_mqtt::topic::matches;

const ROOT: u32 = 0;
const NO_FILTER: u32 = u32::MAX;

/// The filters' texts, which the trie does not keep.
pub(crate) trait Filters {
    fn filter(&self, id: u32) -> &str;
}

/// Where a branch leads: nowhere, to a node, or to a leaf, which is a filter's number with the top bit set.
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
struct Child {
    tag: u32,
    parent: u32,
    branch: Branch,
}

impl Tagged for Child {
    #[inline]
    fn tag(&self) -> u32 {
        self.tag
    }
}

struct Node {
    parent: u32,
    plus: Branch,
    /// The filter that ends here with `#`.
    multi: u32,
    /// The filter that ends here.
    here: u32,
    /// Literal children.
    literals: u32,
    level: Text<22>,
}

const _: () = assert!(size_of::<Node>() == 48);

impl Node {
    fn new(parent: u32, level: &str) -> Self {
        Self { parent, plus: Branch::NOTHING, multi: NO_FILTER, here: NO_FILTER, literals: 0, level: level.into() }
    }

    fn is_empty(&self) -> bool {
        self.literals == 0 && self.plus == Branch::NOTHING && self.multi == NO_FILTER && self.here == NO_FILTER
    }
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
        let root = nodes.insert(Node::new(ROOT, ""));
        debug_assert_eq!(root, ROOT);
        Self { seed, nodes, children: Table::new() }
    }

    /// Nodes beside the root, and literal branches.
    #[cfg(test)]
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.nodes.len() - 1, self.children.len())
    }

    /// Bytes of memory that the trie takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.nodes.memory_bytes() + self.children.memory_bytes()
    }

    /// The number of `filter`, if it is there.
    pub(crate) fn find(&self, filter: &str, filters: &impl Filters) -> Option<u32> {
        let mut node = ROOT;
        for (depth, level) in filter.split('/').enumerate() {
            if level == "#" {
                return some_filter(self.nodes.get(node)?.multi);
            }
            match self.branch(node, depth, level, filters).target() {
                Target::Nothing => return None,
                Target::Leaf(leaf) => return (filters.filter(leaf) == filter).then_some(leaf),
                Target::Node(child) => node = child,
            }
        }
        some_filter(self.nodes.get(node)?.here)
    }

    /// Adds a filter that is not there yet.
    pub(crate) fn insert(&mut self, id: u32, filters: &impl Filters) {
        let filter = filters.filter(id);
        let mut node = ROOT;
        for (depth, level) in filter.split('/').enumerate() {
            match self.branch(node, depth, level, filters).target() {
                Target::Nothing => return self.attach(node, Some(level), id),
                Target::Node(child) => node = child,
                Target::Leaf(other) => {
                    let child = self.nodes.insert(Node::new(node, level));
                    self.set_branch(node, level, Branch::leaf(other), Branch::node(child));
                    self.attach(child, filters.filter(other).split('/').nth(depth + 1), other);
                    node = child;
                }
            }
        }
        self.attach(node, None, id);
    }

    /// Removes a filter that is there, and the nodes that lead to nothing else.
    pub(crate) fn remove(&mut self, id: u32, filters: &impl Filters) {
        let filter = filters.filter(id);
        let mut node = ROOT;
        let mut last = None;
        for (depth, level) in filter.split('/').enumerate() {
            match self.branch(node, depth, level, filters).target() {
                Target::Node(child) => node = child,
                _ => {
                    last = Some(level);
                    break;
                }
            }
        }
        self.detach(node, last, Branch::leaf(id));
        self.prune(node);
    }

    /// Where `level` leads to from `node`, which stands at `depth`. `#` leads nowhere: it is a field of the node.
    fn branch(&self, node: u32, depth: usize, level: &str, filters: &impl Filters) -> Branch {
        match level {
            "+" => self.nodes.get(node).map_or(Branch::NOTHING, |node| node.plus),
            "#" => Branch::NOTHING,
            _ => self
                .children
                .find(child_hash(node, self.level_hash(level)), |child| {
                    child.parent == node
                        && match child.branch.target() {
                            Target::Nothing => false,
                            Target::Node(id) => self.is_level(id, level),
                            Target::Leaf(id) => filters.filter(id).split('/').nth(depth) == Some(level),
                        }
                })
                .map_or(Branch::NOTHING, |child| child.branch),
        }
    }

    /// Points the branch of `level`, which leads to `from`, to a node.
    fn set_branch(&mut self, node: u32, level: &str, from: Branch, to: Branch) {
        if level != "+" {
            let hash = child_hash(node, self.level_hash(level));
            if let Some(child) = self.children.find_mut(hash, |child| child.branch == from) {
                child.branch = to;
            }
        } else if let Some(node) = self.nodes.get_mut(node) {
            node.plus = to;
        }
    }

    /// Hangs a filter below `node`, whose place for `level` (`None`: the filter ends here) is free.
    fn attach(&mut self, node: u32, level: Option<&str>, id: u32) {
        let hash = level.map_or(0, |level| self.level_hash(level));
        let Some(parent) = self.nodes.get_mut(node) else { return };
        match level {
            None => parent.here = id,
            Some("#") => parent.multi = id,
            Some("+") => parent.plus = Branch::leaf(id),
            Some(_) => {
                parent.literals += 1;
                let hash = child_hash(node, hash);
                self.children.insert(hash, Child { tag: tag(hash), parent: node, branch: Branch::leaf(id) });
            }
        }
    }

    /// Frees the place for `level` below `node`, which `branch` holds.
    fn detach(&mut self, node: u32, level: Option<&str>, branch: Branch) {
        let hash = level.map_or(0, |level| self.level_hash(level));
        let Some(parent) = self.nodes.get_mut(node) else { return };
        match level {
            None => parent.here = NO_FILTER,
            Some("#") => parent.multi = NO_FILTER,
            Some("+") => parent.plus = Branch::NOTHING,
            Some(_) => {
                let removed = self.children.remove(child_hash(node, hash), |child| child.branch == branch);
                parent.literals -= u32::from(removed.is_some());
            }
        }
    }

    fn prune(&mut self, mut node: u32) {
        while node != ROOT && self.nodes.get(node).is_some_and(Node::is_empty) {
            let Some(empty) = self.nodes.remove(node) else { return };
            self.detach(empty.parent, Some(empty.level.as_str()), Branch::node(node));
            node = empty.parent;
        }
    }

    #[inline]
    fn level_hash(&self, level: &str) -> u64 {
        self.seed.hash(level.as_bytes())
    }

    #[inline]
    fn is_level(&self, id: u32, level: &str) -> bool {
        self.nodes.get(id).is_some_and(|node| node.level.as_bytes() == level.as_bytes())
    }

    /// Calls `found` for each filter that matches `topic_name`.
    pub(crate) fn matches(
        &self,
        topic_name: &str,
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
        let mut wildcards = !topic_name.starts_with('$');
        for level in topic_name.split('/') {
            let level_hash = self.level_hash(level);
            for id in nodes.drain(..) {
                let Some(node) = self.nodes.get(id) else { continue };
                if wildcards {
                    match node.plus.target() {
                        Target::Node(child) => next.push(child),
                        Target::Leaf(leaf) if matches(filters.filter(leaf), topic_name) => found(leaf),
                        _ => {}
                    }
                    some_filter(node.multi).into_iter().for_each(&mut found);
                }
                if node.literals == 0 {
                    continue;
                }
                let literal = self.children.find(child_hash(id, level_hash), |child| {
                    child.parent == id
                        && match child.branch.target() {
                            Target::Nothing => false,
                            Target::Node(child) => self.is_level(child, level),
                            Target::Leaf(leaf) => matches(filters.filter(leaf), topic_name),
                        }
                });
                match literal.map_or(Target::Nothing, |child| child.branch.target()) {
                    Target::Nothing => {}
                    Target::Node(child) => next.push(child),
                    Target::Leaf(leaf) => found(leaf),
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
            [node.here, node.multi].into_iter().filter_map(some_filter).for_each(&mut found);
        }
    }
}

#[inline]
fn some_filter(filter: u32) -> Option<u32> {
    (filter != NO_FILTER).then_some(filter)
}

/// The hash of the level is secret and uniform, so adding the parent's number keeps it so.
#[inline]
const fn child_hash(node: u32, level_hash: u64) -> u64 {
    level_hash ^ (node as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
