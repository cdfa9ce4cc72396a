//! From the window and the queue to the outbox: what is sent again after a reconnect, then what waited.

use super::Session;
use super::alias::{OutboundAlias, OutboundAliases, topic_hash};
use super::kept::Kept;
use super::outgoing::{Client, append_payload, remaining_expiry_s};
use super::progress::Progress;
use super::queue::is_expired;
use crate::codec::{PublishHead, encode_ack};
use crate::limits::Limits;
use crate::message::Message;
use crate::outbox::Outbox;
use crate::packet::{PacketId, PacketType};
use crate::qos::Sending;
use crate::reason::ReasonCode;
use crate::time::Millis;

/// What a call of [`Session::pump`] moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pumped {
    /// Messages and PUBRELs that went to the outbox.
    pub sent: u32,
    /// Messages that were dropped because their Message Expiry Interval had passed [MQTT-3.3.2-5].
    pub expired: u32,
    /// Messages that were dropped because they are larger than the client accepts [MQTT-3.1.2-25].
    pub packet_too_large: u32,
}

impl Session {
    /// Moves what waits into the outbox, as far as it and the window have room. To be called after
    /// [`super::Action::Pump`], and when the outbox of a session that [`Session::has_backlog`] has drained.
    pub fn pump(&mut self, limits: &Limits, now: Millis, out: &mut Outbox) -> Pumped {
        let mut pumped = Pumped::default();
        if self.connected {
            self.pump_window(limits, now, out, &mut pumped);
            self.pump_queue(limits, now, out, &mut pumped);
        }
        pumped
    }

    /// Sends again what was in flight when the last connection went, in its order [MQTT-4.6.0-1], with its identifiers
    /// and whatever its expiry says [MQTT-4.3.3-7].
    fn pump_window(&mut self, limits: &Limits, now: Millis, out: &mut Outbox, pumped: &mut Pumped) {
        let client = self.client();
        while out.len_bytes() < limits.outbox_bytes_max
            && let Some((packet_id, kept)) = self.window.next_unsent(self.settings.window_max)
        {
            let sequence_low = kept.sequence_low;
            if kept.state == Sending::AwaitPubComp {
                encode_ack(PacketType::PubRel, packet_id, ReasonCode::Success, client.version, out.bytes_mut());
            } else if !write_kept(kept, packet_id, true, None, &client, now, out) {
                self.window.give_up_unsent();
                pumped.packet_too_large += 1;
                self.record(|session| Progress::Done { sequence: session.sequence(sequence_low) });
                continue;
            }
            self.window.resent();
            pumped.sent += 1;
        }
    }

    fn pump_queue(&mut self, limits: &Limits, now: Millis, out: &mut Outbox, pumped: &mut Pumped) {
        let client = self.client();
        while out.len_bytes() < limits.outbox_bytes_max
            && self.window.has_room(self.settings.window_max)
            && let Some(mut kept) = self.queue.as_mut().and_then(|queue| queue.pop())
        {
            let sequence = self.sequence(kept.sequence_low);
            let packet_id = self.window.next_id();
            let aliases = self.extras.as_mut().and_then(|extras| extras.outbound_aliases.as_mut());
            if is_expired(&kept, now) {
                pumped.expired += 1;
                self.record(|_| Progress::Done { sequence });
            } else if write_kept(&kept, packet_id, false, aliases, &client, now, out) {
                pumped.sent += 1;
                if self.is_transient() {
                    kept.message = None; // no other connection will ask for it
                }
                self.window.push(kept);
                self.record(|_| Progress::Sent { sequence, packet_id });
            } else {
                pumped.packet_too_large += 1;
                self.record(|_| Progress::Done { sequence });
            }
        }
        self.free_queue();
    }

    /// Drops the queue when nothing waits.
    pub(super) fn free_queue(&mut self) {
        if self.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            self.queue = None;
        }
    }

    pub(super) fn client(&self) -> Client {
        Client { version: self.settings.version, packet_bytes_max: self.settings.maximum_packet_size_bytes }
    }
}

/// Appends a message that was kept. False, and nothing appended, if it is too large for the client or was not kept whole.
fn write_kept(
    kept: &Kept,
    packet_id: PacketId,
    dup: bool,
    aliases: Option<&mut OutboundAliases>,
    client: &Client,
    now: Millis,
    out: &mut Outbox,
) -> bool {
    let Some(shared) = &kept.message else { return false };
    let message = Message::as_ref(shared);
    let head = PublishHead {
        dup,
        qos: kept.qos(),
        retain: kept.retain,
        topic_name: message.topic_name,
        packet_id: Some(packet_id),
        forwarded_properties: message.properties,
        message_expiry_interval_s: remaining_expiry_s(&message, now),
        topic_alias: None,
        subscription_identifiers: kept.subscription_ids.as_slice(),
        payload_bytes: message.payload.len(),
    };
    let written = match aliases {
        Some(aliases) => write_aliased(head, topic_hash(message.topic_name), aliases, client, out),
        None => write_head(&head, client, out),
    };
    if written {
        append_payload(message.payload, || shared, out);
    }
    written
}

/// Appends a head, with the alias that the topic has or gets.
pub(super) fn write_aliased(
    mut head: PublishHead<'_>,
    hash: u64,
    aliases: &mut OutboundAliases,
    client: &Client,
    out: &mut Outbox,
) -> bool {
    let topic_name = head.topic_name;
    match aliases.lookup(topic_name, hash) {
        OutboundAlias::None => write_head(&head, client, out),
        OutboundAlias::Known(alias) => {
            head.topic_alias = Some(alias);
            head.topic_name = "";
            write_head(&head, client, out)
        }
        OutboundAlias::New(alias) => {
            head.topic_alias = Some(alias);
            let written = write_head(&head, client, out);
            if written {
                aliases.assign(topic_name, hash);
            }
            written
        }
    }
}

pub(super) fn write_head(head: &PublishHead<'_>, client: &Client, out: &mut Outbox) -> bool {
    head.encoded_bytes(client.version) <= client.packet_bytes_max as usize // [MQTT-3.1.2-24]
        && head.encode(client.version, out.bytes_mut()).is_ok()
}
