//! What a run found: the JSON with its stable names ([`Report`]), and the forms that are made from it.
//!
//! docs/LOAD.md lists every name; a name that is there keeps its meaning.

pub(crate) mod html;
pub(crate) mod log;
pub(crate) mod table;

use crate::error::Error;
use crate::histogram::Summary;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The version of the report's form.
pub(crate) const FORMAT: u32 = 1;

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The program's version.
    pub(crate) version: String,
    /// The scenario's name.
    pub(crate) scenario: String,
    /// The broker, as it was given.
    pub(crate) target: String,
    /// When the load began, milliseconds since 1970.
    pub(crate) started_unix_ms: u64,
    /// `complete`, or `interrupted` by Ctrl-C.
    pub(crate) outcome: String,
    /// `open` or `closed` loop.
    pub(crate) mode: String,
    /// Messages a second that the plan asks for; 0 in a closed loop.
    pub(crate) rate_per_s: f64,
    /// Seconds that were measured.
    pub(crate) duration_s: f64,
    /// Clients of the plan.
    pub(crate) clients: u64,
    /// Messages published in the measured time.
    pub(crate) published: u64,
    /// Messages delivered in the measured time.
    pub(crate) delivered: u64,
    /// Messages published a second.
    pub(crate) published_per_s: f64,
    /// Messages delivered a second.
    pub(crate) delivered_per_s: f64,
    /// Deliveries that never came.
    pub(crate) lost: u64,
    /// Messages that came again.
    pub(crate) duplicated: u64,
    /// Messages that came after a later one of the same publisher.
    pub(crate) reordered: u64,
    /// Payloads whose checksum was wrong.
    pub(crate) corrupted: u64,
    /// Messages that came to somebody who had not subscribed to them.
    pub(crate) unexpected: u64,
    /// Messages of QoS 1 and 2 never acknowledged; their deliveries do not count as lost.
    pub(crate) unacknowledged: u64,
    /// Messages of QoS 1 and 2 sent again, because a connection ended before their acknowledgement came.
    #[serde(default)]
    pub(crate) resent: u64,
    /// Deliveries missed by clients that were away without a session.
    pub(crate) missed_while_away: u64,
    /// Deliveries that had not come when Ctrl-C ended the wait for them: lost or late.
    #[serde(default)]
    pub(crate) under_way: u64,
    /// Messages that were due but never left the generator.
    pub(crate) missed_sends: u64,
    /// Latency from the due time.
    pub(crate) latency_us: Summary,
    /// Latency from the time of sending.
    pub(crate) latency_uncorrected_us: Summary,
    /// Time to PUBACK or PUBCOMP, from the due time.
    pub(crate) acknowledgement_us: Summary,
    /// Due time to handing over to the kernel: the generator's own error.
    pub(crate) lateness_us: Summary,
    /// Time of a connection to its CONNACK.
    pub(crate) connect_us: Summary,
    /// Time from SUBSCRIBE or return to kept messages.
    pub(crate) catch_up_us: Summary,
    /// The checks by QoS: `"0"`, `"1"`, `"2"`.
    pub(crate) by_qos: BTreeMap<String, Checks>,
    /// The pairs with the most faults, at most 100.
    pub(crate) pairs_at_fault: Vec<PairAtFault>,
    /// Connections.
    pub(crate) connections: Connections,
    /// The generator itself.
    pub(crate) generator: Generator,
    /// The broker, when its process was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) broker: Option<Broker>,
    /// The retained messages, when they were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retained: Option<Retained>,
    /// The run second by second.
    pub(crate) intervals: Vec<Interval>,
    /// The whole histograms by name, as HdrHistogram's tools exchange them.
    pub(crate) histograms: BTreeMap<String, String>,
}

/// Delivery of one QoS; the names mean what they mean in [`Report`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checks {
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
}

/// A pair with a fault; the names mean what they mean in [`Report`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PairAtFault {
    pub(crate) publisher: String,
    pub(crate) subscriber: String,
    pub(crate) qos: u8,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
}

/// Connections of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Connections {
    /// CONNACKs with success.
    pub(crate) established: u64,
    /// CONNACKs with another reason.
    pub(crate) refused: u64,
    /// Connections that failed before CONNACK.
    pub(crate) failed: u64,
    /// Connections that the other side ended.
    pub(crate) dropped: u64,
    /// Sessions that the broker was asked to keep and did not.
    pub(crate) sessions_lost: u64,
    /// Clients that were to be connected at the end and were not.
    #[serde(default)]
    pub(crate) absent: u64,
    /// Connections a second from the first to the last of the ramp.
    pub(crate) established_per_s: f64,
    /// The first reason for a refusal, failure or drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_error: Option<String>,
}

/// The generator's measurement of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Generator {
    /// Workers.
    pub(crate) workers: u64,
    /// Agents on other hosts; 0 when this one made the load.
    #[serde(default)]
    pub(crate) agents: u64,
    /// What the agents' clocks may differ by from the coordinator's: the error of latencies between hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clock_error_us: Option<f64>,
    /// CPU time of the measured part, seconds.
    pub(crate) cpu_s: f64,
    /// The busiest worker's share of its time not spent waiting, 0 to 1.
    pub(crate) busy: f64,
    /// Resident memory, bytes.
    pub(crate) rss_bytes: u64,
    /// Messages that waited in the generator because the broker took no more: no connection, a full socket or window.
    pub(crate) held_back: u64,
    /// Why the generator, not the broker, was the limit; absent when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<String>,
}

/// The broker's process in the measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Broker {
    /// Its id.
    pub(crate) pid: i32,
    /// CPU time, seconds.
    pub(crate) cpu_s: f64,
    /// CPU microseconds for each message delivered.
    pub(crate) cpu_us_per_delivery: f64,
    /// Resident memory at the end, bytes.
    pub(crate) rss_bytes: u64,
    /// Resident memory before the first connection, bytes.
    pub(crate) rss_before_bytes: u64,
    /// Largest resident memory seen, bytes.
    pub(crate) rss_max_bytes: u64,
}

/// What the topics had retained at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retained {
    /// Topics that must have a retained message.
    pub(crate) topics: u64,
    /// Of them without one.
    pub(crate) missing: u64,
    /// Of them with one that a later acknowledged message should have replaced.
    pub(crate) stale: u64,
    /// Why the check came to no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// One second of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// Its end, seconds after the load began; negative before.
    pub(crate) at_s: f64,
    /// Its length, seconds.
    pub(crate) length_s: f64,
    /// Messages published.
    pub(crate) published: u64,
    /// Messages delivered.
    pub(crate) delivered: u64,
    /// Connections that are up.
    pub(crate) connected: u64,
    /// Latency from the due time.
    pub(crate) latency_us: Summary,
    /// Latencies in steps of a quarter octave: `[step, count]`, step `s` beginning at `2^(s/4)` ns.
    pub(crate) heat: Vec<(u16, u64)>,
    /// The broker's CPU, cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) broker_cores: Option<f64>,
    /// The broker's resident memory, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) broker_rss_bytes: Option<u64>,
}

impl Report {
    /// Reads a report, or an interval log (a name that ends in `.hlog`), which has latencies alone.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Report`] when it is none or of another version.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        if path.extension().is_some_and(|e| e == "hlog") {
            return log::read_hlog(path);
        }
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, e))?;
        let report: Self =
            serde_json::from_str(&text).map_err(|e| Error::report(path, format!("not a report: {e}")))?;
        if report.format != FORMAT {
            return Err(Error::report(path, format!("format {}, and this program reads {FORMAT}", report.format)));
        }
        Ok(report)
    }

    /// Whether it was read from an interval log, which has latencies alone.
    pub(crate) fn is_of_log(&self) -> bool {
        self.target.is_empty()
    }

    /// Writes the report.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::report(path, e))?;
        std::fs::write(path, text + "\n").map_err(|e| Error::file(path, e))
    }

    /// The promises of MQTT that the run found broken, one sentence each; empty when all were kept.
    pub(crate) fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let none = Checks::default();
        for (qos, must_arrive) in [("0", false), ("1", true), ("2", true)] {
            let checks = self.by_qos.get(qos).unwrap_or(&none);
            if must_arrive && checks.lost > 0 {
                broken.push(format!("QoS {qos}: {} of {} deliveries lost", checks.lost, checks.expected));
            }
            if qos == "2" && checks.duplicated > 0 {
                broken.push(format!("QoS 2: {} messages delivered twice", checks.duplicated));
            }
            if checks.reordered > 0 {
                broken.push(format!("QoS {qos}: {} messages out of order [MQTT-4.6.0-6]", checks.reordered));
            }
        }
        self.add_broken_ends(&mut broken);
        if self.connections.sessions_lost > 0 {
            broken.push(format!("{} sessions not kept [MQTT-3.1.2-5]", self.connections.sessions_lost));
        }
        if self.corrupted > 0 {
            broken.push(format!("{} payloads corrupted", self.corrupted));
        }
        if self.unexpected > 0 {
            broken.push(format!("{} messages delivered to clients that had not subscribed to them", self.unexpected));
        }
        broken
    }
}

impl Report {
    /// What was not as it should be once the load was over.
    fn add_broken_ends(&self, broken: &mut Vec<String>) {
        if let Some(Retained { topics, missing, stale, error }) = &self.retained {
            if let Some(error) = error {
                broken.push(format!("the retained messages could not be read: {error}"));
            }
            if missing + stale > 0 {
                broken.push(format!(
                    "{missing} of {topics} topics without their retained message, {stale} with an old one \
                     [MQTT-3.3.1-5]"
                ));
            }
        }
        if self.outcome == "complete" && self.unacknowledged > 0 {
            broken.push(format!("{} messages never acknowledged", self.unacknowledged));
        }
        if self.outcome == "complete" && self.missed_sends > 0 {
            broken.push(format!("{} messages could not be sent at all", self.missed_sends));
        }
        if self.connections.absent > 0 {
            broken.push(format!("{} clients could not connect again", self.connections.absent));
        }
    }
}

/// A histogram of latencies in the steps of [`Interval::heat`].
pub(crate) fn heat(latency: &Histogram<u64>) -> Vec<(u16, u64)> {
    let mut steps = BTreeMap::new();
    for value in latency.iter_recorded() {
        *steps.entry(heat_step(value.value_iterated_to())).or_insert(0) += value.count_at_value();
    }
    steps.into_iter().collect()
}

/// The step of [`Interval::heat`] that holds `ns`.
fn heat_step(ns: u64) -> u16 {
    ((ns.max(1) as f64).log2() * 4.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_back() {
        let path = std::env::temp_dir().join(format!("ringtail-load-report-{}.json", std::process::id()));
        let report = Report { format: FORMAT, broker: Some(Broker::default()), ..Report::default() };
        report.write(&path).expect("write");
        assert_eq!(Report::read(&path).expect("read"), report);
        Report { format: 99, ..report }.write(&path).expect("write");
        assert!(Report::read(&path).is_err_and(|e| e.to_string().contains("format 99")));
        std::fs::remove_file(&path).expect("remove");
        assert!(matches!(Report::read(&path), Err(Error::File { .. })));
    }

    #[test]
    fn promises_differ_by_qos() {
        let with = |qos: &str, checks: Checks| Report {
            by_qos: BTreeMap::from([(qos.to_owned(), checks)]),
            ..Report::default()
        };
        let lost = Checks { lost: 1, ..Checks::default() };
        let twice = Checks { duplicated: 1, ..Checks::default() };
        let order = Checks { reordered: 1, ..Checks::default() };
        let rows = [
            ("0", lost, 0),
            ("1", lost, 1),
            ("2", lost, 1),
            ("0", twice, 0),
            ("1", twice, 0),
            ("2", twice, 1),
            ("0", order, 1),
            ("1", order, 1),
        ];
        for (qos, checks, broken) in rows {
            assert_eq!(with(qos, checks).broken_promises().len(), broken, "{qos} {checks:?}");
        }
        assert_eq!(Report { corrupted: 1, unexpected: 2, ..Report::default() }.broken_promises().len(), 2);
    }
}
