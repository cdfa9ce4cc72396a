//! throwaway
use crate::{ShardId, ShardSet};
use ringtail_mqtt::message::Message;
use ringtail_mqtt::packet::SubscriptionOptions;
use ringtail_mqtt::time::Millis;
use ringtail_mqtt::topic::{Filter, matches};
use std::collections::{BTreeMap, HashMap};
pub type FilterId = u32;
pub fn hash_topic(seed: u64, t: &str) -> u64 {
    use std::hash::Hasher;
    let mut h = std::hash::DefaultHasher::new();
    h.write_u64(seed);
    h.write(t.as_bytes());
    h.finish()
}
#[derive(Clone)]
pub enum Announcement { Add(Box<str>), Remove(Box<str>) }
#[derive(Clone, Copy)]
pub struct GroupRef(u32);
pub struct Subscriber { pub session: u32, o: SubscriptionOptions, pub id: u32 }
impl Subscriber { pub fn options(&self) -> SubscriptionOptions { self.o } }
pub struct Subscribed { pub filter: FilterId, pub existed: bool, pub announcement: Option<Announcement> }
pub struct Unsubscribed { pub filter: FilterId, pub announcement: Option<Announcement> }
pub struct Subscriptions { by: HashMap<String, FilterId>, lists: Vec<(String, Vec<Subscriber>)>, wild: Vec<FilterId> }
#[derive(Default)]
pub struct Matches(Vec<FilterId>);
impl Matches {
    pub fn is_empty(&self) -> bool { self.0.is_empty() }
    pub fn for_each(&self, s: &Subscriptions, mut f: impl FnMut(&Subscriber, &[u32])) {
        for l in &self.0 { for x in &s.lists[*l as usize].1 { if x.id == 0 { f(x, &[]) } else { f(x, &[x.id]) } } }
    }
}
impl Subscriptions {
    pub fn new(_: u64) -> Self { Self { by: HashMap::new(), lists: vec![], wild: vec![] } }
    pub fn has(&self, _: &Filter<'_>, _: u32) -> bool { false }
    pub fn subscribe(&mut self, f: &Filter<'_>, session: u32, o: SubscriptionOptions, id: u32) -> Subscribed {
        let t = f.filter;
        let n = self.lists.len() as u32;
        let fid = *self.by.entry(t.into()).or_insert(n);
        if fid == n { self.lists.push((t.into(), vec![])); if f.has_wildcards { self.wild.push(fid) } }
        let l = &mut self.lists[fid as usize].1;
        let first = l.is_empty();
        let existed = l.iter().any(|s| s.session == session);
        l.retain(|s| s.session != session);
        l.push(Subscriber { session, o, id });
        Subscribed { filter: fid, existed, announcement: first.then(|| Announcement::Add(t.into())) }
    }
    pub fn unsubscribe(&mut self, f: &Filter<'_>, session: u32) -> Option<Unsubscribed> {
        let fid = *self.by.get(f.filter)?;
        if !self.lists[fid as usize].1.iter().any(|s| s.session == session) { return None }
        Some(Unsubscribed { filter: fid, announcement: self.remove(fid, session) })
    }
    pub fn remove(&mut self, f: FilterId, session: u32) -> Option<Announcement> {
        let (t, l) = &mut self.lists[f as usize];
        l.retain(|s| s.session != session);
        l.is_empty().then(|| Announcement::Remove(t.as_str().into()))
    }
    pub fn matches(&self, topic: &str, _: u64, m: &mut Matches) {
        m.0.clear();
        if let Some(f) = self.by.get(topic) && !self.lists[*f as usize].1.is_empty() { m.0.push(*f) }
        for w in &self.wild { let (t, l) = &self.lists[*w as usize]; if !l.is_empty() && matches(t, topic) { m.0.push(*w) } }
    }
}
pub struct Remote(HashMap<String, ShardSet>);
impl Remote {
    pub fn new(_: u64) -> Self { Self(HashMap::new()) }
    pub fn apply(&mut self, from: ShardId, a: &Announcement) {
        match a { Announcement::Add(f) => self.0.entry(f.to_string()).or_default().insert(from),
            Announcement::Remove(f) => self.0.entry(f.to_string()).or_default().remove(from) }
    }
    pub fn shards_for(&self, topic: &str, _: u64) -> ShardSet {
        let mut s = ShardSet::default();
        for (f, x) in &self.0 { if matches(f, topic) { s = s.union(*x) } }
        s
    }
    pub fn has_groups(&self) -> bool { false }
}
pub struct Slice { pub topics_max: usize, pub messages_max: usize }
pub struct Retained(BTreeMap<String, Message>);
impl Retained {
    pub fn new(_: u64, _: u64) -> Self { Self(BTreeMap::new()) }
    pub fn len(&self) -> usize { self.0.len() }
    pub fn remove(&mut self, t: &str) { self.0.remove(t); }
    pub fn set(&mut self, m: Message) -> Result<(), &'static str> { self.0.insert(m.topic_name().into(), m); Ok(()) }
    pub fn scan(&self, f: &str, _a: Option<&str>, _s: Slice, _: Millis, mut found: impl FnMut(&Message)) -> Option<Box<str>> {
        for (t, m) in &self.0 { if matches(f, t) { found(m) } }
        None
    }
}
