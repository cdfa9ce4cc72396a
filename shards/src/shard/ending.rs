//! How connections and sessions end.

use crate::routing::Announcement;
use crate::shard::connection::Phase;
use crate::shard::mail::Mail;
use crate::shard::sessions::Membership;
use crate::shard::timers::Timer;
use crate::shard::{Core, Request};
use ringtail_mqtt::message::Message;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::DetachCause;

/// How long a client that is being disconnected may take to read what was said to it, milliseconds.
const DRAIN_MS: u64 = 2_000;

impl Core {
    /// Ends a live connection from this side: tells the client why, unbinds the session, closes when all is sent.
    pub(crate) fn disconnect(&mut self, number: u32, reason: ReasonCode, cause: DetachCause) {
        if let Some((entry, outbox)) = self.local.live(number) {
            tracing::debug!(client_id = entry.session.client_id(), ?reason, "disconnected");
            let elsewhere = self.config.server_reference.as_deref().filter(|_| names_another_server(reason));
            entry.session.disconnect(reason, elsewhere, outbox);
            self.detach(number, cause);
        }
        self.drain(number);
    }

    /// Nothing more is read or routed; what the outbox holds is sent, then the descriptor is closed.
    pub(crate) fn drain(&mut self, number: u32) {
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        if connection.phase == Phase::Closing {
            return;
        }
        if std::mem::take(&mut connection.held) {
            self.holds.forget(number);
        }
        connection.phase = Phase::Draining;
        connection.partial = Vec::new();
        connection.deadline = self.local.now.plus_ms(DRAIN_MS);
        self.timers.file(Timer::Connection(number), connection.deadline);
        self.requests.push(Request::Close(number));
    }

    /// The connection of a session is gone: its will, its expiry, and what it left behind.
    pub(crate) fn detach(&mut self, number: u32, cause: DetachCause) {
        let Some(session) = self.unbind(number) else { return };
        self.scans.forget(session);
        let now = self.local.now;
        let Some(entry) = self.local.sessions.get_mut(session) else { return };
        let detached = entry.session.detach(cause, now);
        if let Some(will) = detached.will {
            self.publish_will(&will);
        }
        // After the will, which is not to be missing in both places.
        self.note_session(session);
        if detached.ends_now {
            self.end_session(session);
        } else {
            self.set_members_online(session, false);
            self.file_timer(session);
        }
    }

    /// Ends a session: its subscriptions go, and a will that was still waiting is published [MQTT-3.1.3-9].
    pub(crate) fn end_session(&mut self, session: u32) {
        let Some(mut entry) = self.local.sessions.retire(session) else { return };
        self.scans.forget(session);
        self.verdicts.forget(session);
        self.end_memberships(session, std::mem::take(&mut entry.memberships));
        if let Some(will) = entry.session.end(self.local.now) {
            self.publish_will(&will);
        }
        self.forget_session(entry.log);
    }

    /// Its shared subscriptions learn that a session has got, or lost, its connection.
    pub(crate) fn set_members_online(&mut self, session: u32, online: bool) {
        let Some(entry) = self.local.sessions.get(session) else { return };
        let groups: Vec<_> = entry
            .memberships
            .iter()
            .filter_map(|membership| match membership {
                Membership::Group(group) => Some(*group),
                Membership::Filter(_) => None,
            })
            .collect();
        for group in groups {
            if let Some(announcement) = self.shared.set_online(group, session, online) {
                self.announce(announcement);
            }
        }
    }

    pub(crate) fn publish_will(&mut self, will: &Message) {
        self.publish(&will.as_ref(), None);
        self.local.full.clear(); // there is nobody left to hold back
    }

    /// Tells every shard what it has to know of a change here. What a shared subscription has come to is told once a turn,
    /// however many members came and went; this shard, which chooses among the members of all shards, knows it at once.
    pub(crate) fn announce(&mut self, announcement: Announcement) {
        if matches!(announcement, Announcement::Group { .. }) {
            self.remote.apply(self.id, &announcement);
        }
        match announcement {
            _ if self.shards == 1 => {}
            Announcement::Group { group, filter, online, offline } => {
                self.changed_groups.insert((group, filter), (online, offline));
            }
            announcement => self.tell_all(|| Mail::Announce(Box::new(announcement.clone()))),
        }
    }

    /// Puts what has changed of shared subscriptions into the rings, before they are published.
    pub(crate) fn tell_changed_groups(&mut self) {
        if self.changed_groups.is_empty() {
            return;
        }
        for ((group, filter), (online, offline)) in std::mem::take(&mut self.changed_groups) {
            let announcement = Announcement::Group { group, filter, online, offline };
            self.tell_all(|| Mail::Announce(Box::new(announcement.clone())));
        }
    }
}

/// True for the reasons that a Server Reference belongs to (4.11).
pub(crate) fn names_another_server(reason: ReasonCode) -> bool {
    matches!(reason, ReasonCode::UseAnotherServer | ReasonCode::ServerMoved)
}
