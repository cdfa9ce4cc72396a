//! The one loop of a shard.
//!
//! A turn: reap, drain, handle, timers, flush. The order is what makes routing across shards consistent:
//!
//! ```text
//!   shard A: SUBSCRIBE -> announcement into every ring -> rings published -> SUBACK submitted
//!   client:                                                      SUBACK read -> tells another client -> PUBLISH
//!   shard B:                                                                      reap PUBLISH -> drain the rings -> handle
//! ```
//!
//! B reaps before it drains and drains before it handles, so a PUBLISH that a SUBACK caused is routed by a trie that has
//! the subscription. Every step is bounded: the reap by the completion queue, the drain by what the rings held when it
//! began, the rest by what those brought.

use crate::ShardId;
use crate::executor::{Background, yield_now};
use crate::journal::Exchange;
use crate::shard::connection::Phase;
use crate::shard::mail::Mail;
use crate::shard::sessions::NONE;
use crate::shard::timers::Timer;
use crate::shard::turn_wire::{Joined, TurnWire};
use crate::shard::{Core, Request, Shard};
use crate::wire::{Event, SendBuffer, Wait};
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::{DetachCause, Timeout};
use ringtail_mqtt::time::Millis;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// How often a shard that does not sleep publishes its counters, milliseconds.
const PUBLISH_COUNTERS_MS: u64 = 100;
/// How long a stopping shard lets clients take their last bytes, milliseconds.
const STOP_GRACE_MS: u64 = 2_000;

impl Shard {
    /// Turns until it is told to stop, then says goodbye to its clients. The shard is borrowed for a turn at a time, so
    /// that background jobs have it in between.
    pub(crate) async fn run(shard: Rc<RefCell<Self>>, background: Background) -> io::Result<()> {
        let mut stop_at = Millis::NEVER;
        loop {
            if shard.borrow_mut().turn_or_stop(&background, &mut stop_at)? {
                return Ok(());
            }
            Self::start_sweep(&shard, &background);
            if !background.is_idle() {
                yield_now().await;
            }
        }
    }

    /// A turn, or what there is to do about stopping. True when the shard has stopped.
    fn turn_or_stop(&mut self, background: &Background, stop_at: &mut Millis) -> io::Result<bool> {
        let ending = self.control.end.load(Ordering::Acquire);
        // The bell that says so has rung already.
        let may_wait = background.is_idle() && !ending;
        let wait = if may_wait { self.idle.wait(&mut self.core, &self.clock) } else { Wait::No };
        self.publish_counters(wait);
        self.turn(wait)?;
        if self.control.stop.load(Ordering::Relaxed) && !self.core.stopping {
            *stop_at = self.core.local.now.plus_ms(STOP_GRACE_MS);
            self.wire.stop_listening();
            self.core.say_goodbye();
            self.flush();
        }
        if self.core.stopping && (self.core.local.connections.len() == 0 || self.core.local.now >= *stop_at) {
            self.quiet.say();
        }
        // The neighbours were quiet before this turn, which took what they had left.
        let stopped = ending && self.core.has_no_mail();
        if stopped {
            self.close_journal()?;
            self.control.counters.store(&self.core.counted());
        }
        Ok(stopped)
    }

    /// One turn.
    fn turn(&mut self, wait: Wait) -> io::Result<()> {
        self.wire.turn(wait, &mut self.events)?;
        self.core.port.awake();
        let now_us = self.clock.now_us();
        self.idle.woke(now_us, &self.clock, &self.core.local.counters);
        self.core.local.now = self.clock.at(now_us);
        let Self { core, wire, events, neighbours, .. } = self;
        let done = core.turn(events, &mut Joined { wire, neighbours });
        self.idle.note(done.work, done.input, done.more);
        Ok(())
    }

    /// Sends what the shard has to say outside a turn.
    fn flush(&mut self) {
        let Self { core, wire, neighbours, .. } = self;
        core.flush(&mut Joined { wire, neighbours });
    }

    /// Publishes the counters when they are due, and before a sleep, which may be long.
    fn publish_counters(&mut self, wait: Wait) {
        let now = self.core.local.now;
        if now >= self.counters_at || matches!(wait, Wait::Park { .. }) {
            self.counters_at = now.plus_ms(PUBLISH_COUNTERS_MS);
            self.control.counters.store(&self.core.counted());
        }
    }
}

/// What a turn did.
#[derive(Clone, Copy)]
pub(super) struct Done {
    /// Completions and mails.
    pub work: usize,
    /// Those that came from clients and other shards.
    pub input: usize,
    /// There is more to do at once.
    pub more: bool,
}

impl Core {
    /// A turn, once the wire was reaped: drain, handle, timers, commit, flush.
    pub(super) fn turn(&mut self, events: &mut Vec<Event>, wire: &mut impl TurnWire) -> Done {
        self.local.counters.turns += 1;
        let mails = self.drain_mesh();
        let work = events.len() + mails;
        let input = events.iter().filter(|event| matches!(event, Event::Received { .. })).count() + mails;
        for event in events.drain(..) {
            self.handle_event(event, wire);
        }
        let arrived = self.take_arrived();
        self.take_due_timers();
        let more = self.take_steps() || arrived || !self.inbox.is_empty();
        self.end_turn(wire);
        self.flush(wire);
        Done { work, input, more }
    }

    fn handle_event(&mut self, event: Event, wire: &mut impl TurnWire) {
        match event {
            Event::Received { token, buffer } => {
                self.take_bytes(token, &buffer);
            }
            Event::Sent { token, buffer, result } => {
                if let SendBuffer::Bytes(bytes) = buffer {
                    self.local.pool.give(bytes);
                }
                self.take_sent(token, result.is_ok());
            }
            Event::Accepted { slot, peer, .. } => {
                self.local.counters.connections_accepted += 1;
                let number = self.admit(slot, peer.into());
                self.requests.push(Request::Receive(number));
            }
            Event::AcceptFailed { full: true, .. } => self.local.counters.connections_refused_full += 1,
            Event::AcceptFailed { full: false, .. } => self.local.counters.connections_aborted += 1,
            Event::Ended { token, .. } => self.take_end(token),
            Event::Stopped { token } => self.take_stopped(token),
            Event::Closed { token, .. } => {
                self.leaving.remove(&token);
                self.authenticating.remove(&token);
                self.local.connections.remove(token);
            }
            Event::Arrived { slot, token } => self.take_descriptor(slot, token),
            Event::HandoverFailed { token, error, .. } => self.take_hand_over_failed(token, &error),
            Event::Wrote { result, .. } => self.take_wrote(result, wire),
            Event::Synced { token, result } => self.take_synced(token, result),
            Event::Rung | Event::Connected { .. } => {}
        }
    }

    /// Carries out what the core wants of the wire and sends what the connections have to say; the next turn submits it.
    fn flush(&mut self, wire: &mut impl TurnWire) {
        let mut requests = std::mem::take(&mut self.requests);
        for request in requests.drain(..) {
            self.carry_out(&request, wire);
        }
        self.requests = requests;
        self.tell_changed_groups();
        // The rings are published before anything is submitted: see the top of this file.
        for shard in self.port.flush() {
            wire.ring_neighbour(shard);
        }
        let mut dirty = std::mem::take(&mut self.local.connections.dirty);
        for number in dirty.drain(..) {
            self.flush_connection(number, wire);
        }
        // Those that wait for the mesh or for retained messages were marked again while the list was out.
        dirty.append(&mut self.local.connections.dirty);
        self.local.connections.dirty = dirty;
    }

    pub(super) fn flush_connection(&mut self, number: u32, wire: &mut impl TurnWire) {
        let mesh_is_congested = !self.port.congested().is_empty();
        let awaits_retained = self.local.connections.get(number).is_some_and(|c| self.is_awaiting_retained(c));
        let (opened, outbox_bytes_max) = (self.local.opened(), self.local.limits.outbox_bytes_max);
        let connections = &mut self.local.connections;
        let Some(connection) = connections.get_mut(number) else { return };
        connection.dirty = false;
        if awaits_retained || connection.awaits_mesh && mesh_is_congested {
            connections.mark_dirty(number);
            return;
        }
        (connection.awaits_mesh, connection.awaits_retained) = (false, false);
        if connection.sending || connection.phase == Phase::Closing {
            return;
        }
        if let Some(bytes) = connection.take_send(opened, outbox_bytes_max) {
            connection.sending = true;
            wire.send(connection.slot, number, bytes);
            return;
        }
        if !connection.is_silent() || connection.held_back.is_some() {
            let session = connection.session;
            self.local.note_held_back(number);
            // What the log holds back has left the outbox. There the scan has room again, for which the next SUBACK may wait.
            self.wake_scan(session);
            return;
        }
        // Nothing came of the buffer that the outbox was lent: an idle connection holds none.
        let unused = std::mem::take(connection.outbox.bytes_mut());
        if connection.phase == Phase::Draining {
            connection.phase = Phase::Closing;
            if connection.over {
                wire.close_now(connection.slot);
            } else {
                wire.close(connection.slot);
            }
        }
        self.local.pool.give(unused);
    }

    fn carry_out(&mut self, request: &Request, wire: &mut impl TurnWire) {
        let connections = &mut self.local.connections;
        match *request {
            Request::Adopt(number) => {
                if let Some(connection) = connections.get(number) {
                    wire.adopt(connection.slot, number);
                }
            }
            Request::Receive(number) => {
                let Some(connection) = connections.get_mut(number) else { return };
                if connection.receiving || connection.held {
                    return;
                }
                match connection.phase {
                    Phase::Connecting => wire.receive_once(connection.slot, number),
                    Phase::Live => wire.receive(connection.slot, number),
                    Phase::Draining | Phase::Closing => return,
                }
                connection.receiving = true;
            }
            Request::Hold(number) => {
                if let Some(connection) = connections.get(number)
                    && connection.receiving
                {
                    wire.stop_receiving(connection.slot, number);
                }
            }
            Request::Close(number) => connections.mark_dirty(number),
            Request::CloseNow(number) => {
                if let Some(connection) = connections.get_mut(number) {
                    connection.phase = Phase::Closing;
                    wire.close_now(connection.slot);
                }
            }
            Request::HandOver { connection: number, to, token } => {
                let Some(connection) = connections.get(number) else { return };
                wire.send_descriptor(connection.slot, to, token);
            }
        }
    }

    /// Takes everything that the rings held when the call began, and returns how much it was.
    ///
    /// What changes what this shard knows (announcements, retained messages) comes before what asks or uses it, whichever
    /// ring brought it: a question on one ring may have been caused by a change that was put in another one before. The
    /// rings are read one after another, so they are read twice: the second time finds every change that was there before
    /// the first time ended. Other mail of the second time waits for the next turn.
    pub(super) fn drain_mesh(&mut self) -> usize {
        if self.shards == 1 {
            return 0;
        }
        let mut changes = std::mem::take(&mut self.changes);
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut next = std::mem::take(&mut self.next_inbox);
        for mails in [&mut inbox, &mut next] {
            self.port.drain(usize::MAX, |from, mail| match mail {
                Mail::Announce(_) | Mail::Retain(_) | Mail::Durable(_) | Mail::Refused(..) => {
                    changes.push((from, mail))
                }
                mail => mails.push((from, mail)),
            });
        }
        let taken = changes.len() + inbox.len();
        for (from, mail) in changes.drain(..).chain(inbox.drain(..)) {
            self.take_mail(from, mail);
        }
        // What came late is first in the next turn; the emptied list takes what comes late then.
        (self.changes, self.inbox, self.next_inbox) = (changes, next, inbox);
        taken
    }

    fn take_mail(&mut self, from: ShardId, mail: Mail) {
        match mail {
            Mail::Publish(forwarded) => self.take_forwarded(from, &forwarded),
            Mail::Group(forwarded) => self.take_group_forwarded(from, *forwarded),
            Mail::Announce(announcement) => self.remote.apply(from, &announcement),
            Mail::HandOver(hand_over) => self.take_hand_over(hand_over),
            Mail::Retain(retain) => self.take_retain_mail(from, *retain),
            Mail::RetainedFence(fence) => self.take_retained_fence(from, fence),
            Mail::RetainedFenced(fenced) => self.scans.fenced(fenced.fence, from, &fenced.sent),
            Mail::RetainedAsk(ask) => self.take_retained_ask(from, *ask),
            Mail::RetainedFound(found) => self.take_retained_found(*found),
            Mail::HandOverFailed(token) => drop(self.arriving.remove(&token)),
            Mail::Hold(publisher) => self.take_hold(*publisher),
            Mail::Safe(lane, count) => self.take_safe((from, lane, count)),
            Mail::Durable(durable) => self.take_durable(from, durable),
            Mail::LogFailed => self.refuse_all_held_back(ReasonCode::ImplementationSpecificError),
            Mail::Refused(refused) => self.take_refused(*refused),
            Mail::Verdict(ask, refusal) => self.take_verdict(ask, refusal),
            Mail::Forget(session, packet_id) => self.take_forget(Exchange { home: from, session, packet_id }),
        }
    }

    /// True when nothing that a neighbour has sent waits for the next turn.
    pub(super) fn has_no_mail(&self) -> bool {
        self.inbox.is_empty() && self.next_inbox.is_empty() && self.arrived_before.is_empty()
    }

    pub(super) fn take_due_timers(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.take_due(self.local.now, &mut due);
        for timer in due.drain(..) {
            match timer {
                Timer::Connection(number) => self.check_connect_time(number),
                Timer::Session(session) => self.check_session_time(session),
            }
        }
        self.due = due;
    }

    fn check_connect_time(&mut self, number: u32) {
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        if connection.phase == Phase::Live {
            return self.check_authentication_time(number);
        }
        if self.local.now < connection.deadline {
            // Early: the deadline lies beyond the wheel, or the entry is of an earlier connection of this number.
            if matches!(connection.phase, Phase::Connecting | Phase::Draining) {
                let at = connection.deadline;
                self.timers.file(Timer::Connection(number), at);
            }
            return;
        }
        match connection.phase {
            Phase::Connecting => {}
            Phase::Draining => return self.requests.push(Request::CloseNow(number)),
            Phase::Live | Phase::Closing => return,
        }
        let peer = connection.peer;
        if self.is_authenticating(number) {
            return self.refuse_unfinished_authentication(number);
        }
        tracing::debug!(shard = self.id, %peer, "closed: no CONNECT in time");
        self.local.counters.connections_closed_connect_timeout += 1;
        self.drain(number);
    }

    fn check_session_time(&mut self, number: u32) {
        let now = self.local.now;
        let Some(entry) = self.local.sessions.get_mut(number) else { return };
        if entry.timer_at > now {
            return; // left behind by a session that had this number before, or by an earlier deadline
        }
        entry.timer_at = Millis::NEVER;
        let connection = entry.connection;
        if self.local.connections.get(connection).is_some_and(|connection| connection.held) {
            self.hears_from(number);
            return self.file_timer(number);
        }
        let Some(entry) = self.local.sessions.get_mut(number) else { return };
        match entry.session.on_timeout(now) {
            Timeout::None => {}
            // [MQTT-3.1.2-22]
            Timeout::KeepAlive => {
                self.local.counters.connections_closed_keep_alive += 1;
                self.disconnect(connection, ReasonCode::KeepAliveTimeout, DetachCause::Lost);
            }
            Timeout::Will(will) => {
                self.publish_will(&will);
                self.note_session(number);
            }
            Timeout::Expired(will) => {
                self.local.counters.sessions_expired += 1;
                if let Some(will) = will {
                    self.publish_will(&will);
                }
                self.end_session(number);
            }
        }
        self.file_timer(number);
    }

    /// Work that goes on from turn to turn. True when there is more to do at once.
    pub(super) fn take_steps(&mut self) -> bool {
        if !self.holds.is_empty() {
            self.review_holds();
        }
        let ending = self.step_ended();
        self.step_scans() || ending
    }

    /// A send has ended: more may wait, or the connection was waiting to be closed.
    pub(super) fn take_sent(&mut self, number: u32, ok: bool) {
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        connection.sending = false;
        if !ok {
            return self.take_loss(number);
        }
        let session = connection.session;
        if !connection.is_silent() || connection.held_back.is_some() || connection.phase == Phase::Draining {
            self.local.connections.mark_dirty(number);
        }
        if session != NONE {
            self.local.pump(session);
            self.wake_scan(session);
        }
    }

    /// The peer closed, or the connection broke: nothing more will be received.
    fn take_end(&mut self, number: u32) {
        if let Some(connection) = self.local.connections.get_mut(number) {
            connection.receiving = false;
            if connection.held && !connection.partial.is_empty() {
                // What it sent before it closed is still to be handled; the receive that follows finds the end again.
                return;
            }
            self.take_loss(number);
        }
    }

    /// The connection is lost: without DISCONNECT, so its will is due [MQTT-3.1.2-8].
    fn take_loss(&mut self, number: u32) {
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        connection.forget_packets();
        connection.over = true;
        if matches!(connection.phase, Phase::Connecting | Phase::Live) {
            self.local.counters.connections_closed_lost += 1;
        }
        self.detach(number, DetachCause::Lost);
        self.drain(number);
    }

    /// A receive was stopped; by now it may be wanted again.
    fn take_stopped(&mut self, number: u32) {
        if let Some(connection) = self.local.connections.get_mut(number) {
            connection.receiving = false;
            self.requests.push(Request::Receive(number));
        }
    }

    /// Ends every connection because the server stops.
    fn say_goodbye(&mut self) {
        self.stopping = true;
        let reason = self.reason_of_stop(ReasonCode::ServerShuttingDown);
        for number in self.local.connections.numbers() {
            self.disconnect(number, reason, DetachCause::Lost);
        }
    }
}
