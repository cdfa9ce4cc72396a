//! The command line clients of Mosquitto: what an operator would type to see whether a broker works.

use crate::broker::Broker;
use crate::on_shards;
use crate::program::Program;
use crate::raw::{Publish, Raw, Version};
use std::collections::VecDeque;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

const VERSIONS: [&str; 2] = ["mqttv311", "mqttv5"];
/// Stands before every message that `mosquitto_sub` prints, to tell it from what it says about itself.
const MESSAGE: &str = "message: ";

/// A client of Mosquitto with the broker's address and its protocol version.
fn client(program: &str, broker: &Broker, version: &str, arguments: &[&str]) -> Command {
    // Line by line, or its lines would come when its buffer is full.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program, "-h", "127.0.0.1", "-p", &broker.port(), "-V", version]).args(arguments);
    command
}

/// Publishes and waits until the client is done.
fn publish(broker: &Broker, version: &str, arguments: &[&str]) {
    Program::start(&mut client("mosquitto_pub", broker, version, arguments)).succeed();
}

/// A running `mosquitto_sub`, subscribed.
struct Subscriber {
    program: Program,
    /// Messages that came before the SUBACK, as those of a session may.
    early: VecDeque<String>,
}

impl Subscriber {
    fn start(broker: &Broker, version: &str, arguments: &[&str]) -> Self {
        let format = format!("{MESSAGE}%t %q %r %p");
        let mut command = client("mosquitto_sub", broker, version, &["-d", "-F", &format]);
        let mut program = Program::start(command.args(arguments));
        let mut early = VecDeque::new();
        program.wait_for(|line| {
            early.extend(line.strip_prefix(MESSAGE).map(str::to_owned));
            line.starts_with("Subscribed (mid").then_some(())
        });
        Self { program, early }
    }

    /// The next message, as "topic qos retain payload".
    fn message(&mut self) -> String {
        let early = self.early.pop_front();
        early.unwrap_or_else(|| self.program.wait_for(|line| line.strip_prefix(MESSAGE).map(str::to_owned)))
    }

    /// Ends the client with a signal and waits for it. SIGINT makes it disconnect, SIGKILL makes it vanish.
    fn end(self, signal: &str) {
        self.program.signal(signal);
        self.program.finish();
    }
}

on_shards! {
    fn every_qos(shards) {
        let broker = Broker::start(shards);
        for version in VERSIONS {
            for qos in ["0", "1", "2"] {
                let mut subscriber = Subscriber::start(&broker, version, &["-t", "a/+/c", "-q", qos]);
                publish(&broker, version, &["-t", "a/b/c", "-q", qos, "-m", "hello"]);
                assert_eq!(subscriber.message(), format!("a/b/c {qos} 0 hello"));
                subscriber.end("INT");
            }
        }
    }

    fn retained(shards) {
        let broker = Broker::start(shards);
        for version in VERSIONS {
            publish(&broker, version, &["-t", "kept/a", "-q", "1", "-r", "-m", "first"]);
            publish(&broker, version, &["-t", "kept/a", "-q", "1", "-r", "-m", "second"]);
            let mut subscriber = Subscriber::start(&broker, version, &["-t", "kept/#", "-q", "1"]);
            assert_eq!(subscriber.message(), "kept/a 1 1 second");
            publish(&broker, version, &["-t", "kept/a", "-q", "1", "-r", "-n"]);
            assert_eq!(subscriber.message(), "kept/a 1 0");
            subscriber.end("INT");
            let mut late = Subscriber::start(&broker, version, &["-t", "kept/#", "-q", "1"]);
            publish(&broker, version, &["-t", "kept/b", "-q", "1", "-m", "live"]);
            assert_eq!(late.message(), "kept/b 1 0 live");
        }
    }

    fn wills(shards) {
        let broker = Broker::start(shards);
        for version in VERSIONS {
            let mut watcher = Subscriber::start(&broker, version, &["-t", "will", "-q", "1"]);
            let doomed = ["-i", "doomed", "-t", "x", "--will-topic", "will", "--will-payload", "gone", "--will-qos", "1"];
            Subscriber::start(&broker, version, &doomed).end("KILL");
            assert_eq!(watcher.message(), "will 1 0 gone", "after it was killed");
            // At SIGINT a client of 5.0 asks for its will (Disconnect with Will Message), one of 3.1.1 takes it back.
            Subscriber::start(&broker, version, &doomed).end("INT");
            if version == "mqttv5" {
                assert_eq!(watcher.message(), "will 1 0 gone", "after it was stopped");
            }
            // From the same client, so that the broker has dealt with its end before.
            publish(&broker, version, &["-i", "doomed", "-t", "will", "-m", "back"]);
            assert_eq!(watcher.message(), "will 0 0 back");
        }
    }

    fn a_session_waits(shards) {
        let broker = Broker::start(shards);
        for version in VERSIONS {
            let mut lasting = vec!["-c", "-i", "sleeper", "-t", "queue/+", "-q", "1"];
            if version == "mqttv5" {
                lasting.extend(["-x", "1000"]);
            }
            Subscriber::start(&broker, version, &lasting).end("INT");
            let folder = TempDir::new().unwrap();
            let lines = folder.path().join("lines");
            fs::write(&lines, (0..200).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
            let publishing = format!(
                "mosquitto_pub -h 127.0.0.1 -p {} -V {version} -t queue/a -q 1 -l <{}",
                broker.port(),
                lines.display()
            );
            Program::start(Command::new("sh").args(["-c", &publishing])).succeed();
            let mut back = Subscriber::start(&broker, version, &lasting);
            for n in 0..200 {
                assert_eq!(back.message(), format!("queue/a 1 0 {n}"));
            }
            back.end("INT");
            // Without -c the session ends.
            Subscriber::start(&broker, version, &["-i", "sleeper", "-t", "other"]).end("INT");
        }
    }

    fn a_file_of_8_mb(shards) {
        let broker = Broker::start(shards);
        let folder = TempDir::new().unwrap();
        let sent = folder.path().join("sent");
        // No two pieces alike, so that a piece in the wrong place shows.
        let payload: Vec<u8> = (0..2_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        fs::write(&sent, &payload).unwrap();
        for version in VERSIONS {
            let came = folder.path().join("came");
            let subscribing = format!(
                "exec mosquitto_sub -h 127.0.0.1 -p {} -V {version} -t file -q 1 -C 1 -N -i receiver >{}",
                broker.port(),
                came.display()
            );
            // It says nothing while its output is a file, so its session waits instead of this test.
            let lasting = ["-i", "receiver", "-c", "-t", "file", "-q", "1"];
            let lasting_v5 = [&lasting[..], &["-x", "1000"]].concat();
            let lasting = if version == "mqttv5" { &lasting_v5[..] } else { &lasting[..] };
            Subscriber::start(&broker, version, lasting).end("INT");
            publish(&broker, version, &["-t", "file", "-q", "1", "-f", sent.to_str().unwrap()]);
            let keep = if version == "mqttv5" { " -c -x 1000" } else { " -c" };
            Program::start(Command::new("sh").args(["-c", &subscribing.replace(" -N", &format!(" -N{keep}"))])).succeed();
            assert!(fs::read(&came).unwrap() == payload, "the file came otherwise, {version}");
        }
    }

    fn a_request_gets_its_response(shards) {
        let broker = Broker::start(shards);
        // Several responders and askers, so that some pair is on different shards.
        for n in 0..4 {
            let mut responder = Raw::client(&broker, Version::V5, &format!("responder-{n}"));
            responder.subscribe("question", 1);
            let arguments = ["-t", "question", "-e", &format!("answer/{n}"), "-m", "?", "-q", "1", "-W", "30", "-v"];
            let asking = Program::start(&mut client("mosquitto_rr", &broker, "mqttv5", &arguments));
            let question = responder.message();
            assert_eq!(question.payload, b"?");
            assert!(question.properties.windows(8).any(|bytes| bytes == format!("answer/{n}").as_bytes()));
            responder.publish(Publish::new(format!("answer/{n}"), "!"));
            assert_eq!(asking.succeed().trim(), format!("answer/{n} !"));
        }
    }

    fn user_properties_come_in_order(shards) {
        let broker = Broker::start(shards);
        let format = format!("{MESSAGE}%P");
        let arguments = ["-d", "-t", "properties", "-q", "1", "-F", &format];
        let mut subscriber = Program::start(&mut client("mosquitto_sub", &broker, "mqttv5", &arguments));
        subscriber.wait_for(|line| line.starts_with("Subscribed (mid").then_some(()));
        let mut arguments = vec!["-t", "properties", "-q", "1", "-m", "x"];
        for (name, value) in [("b", "1"), ("a", "2"), ("b", "3")] {
            arguments.extend(["-D", "publish", "user-property", name, value]);
        }
        publish(&broker, "mqttv5", &arguments);
        let came = subscriber.wait_for(|line| line.strip_prefix(MESSAGE).map(str::to_owned));
        assert_eq!(came, "b:1 a:2 b:3");
    }
}
