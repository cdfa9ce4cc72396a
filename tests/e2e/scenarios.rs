//! The scenario programs of `tests/clients`, which drive the broker with the Python and the JavaScript client.

use crate::broker::Broker;
use crate::program::Program;
use std::path::Path;
use std::process::Command;

/// Runs one program against a fresh broker; it must succeed.
fn run(interpreter: &str, program: &str, version: &str, shards: usize) {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let broker = Broker::start(shards);
    // A path is one below the clients' folder, a bare name is looked for on PATH.
    let local = clients.join(interpreter);
    let mut command = if interpreter.contains('/') { Command::new(local) } else { Command::new(interpreter) };
    command.arg(clients.join(program)).args([broker.address().ip().to_string(), broker.port(), version.to_owned()]);
    print!("{}", Program::start(&mut command).succeed());
}

/// Makes the tests of a client's scenarios: those for both versions of the protocol, then those for 5.0 alone.
macro_rules! scenarios {
    ($client:ident, $interpreter:literal, $extension:literal, both: $($both:ident)*, v5: $($v5:ident)*) => {
        mod $client {
            scenarios!(@of "3.1.1", v311, $client, $interpreter, $extension, $($both)*);
            scenarios!(@of "5", v5, $client, $interpreter, $extension, $($both)* $($v5)*);
        }
    };
    (@of $version:literal, $module:ident, $client:ident, $interpreter:literal, $extension:literal, $($scenario:ident)*) => {
        mod $module {
            $(mod $scenario {
                const PROGRAM: &str = concat!(stringify!($client), "/", stringify!($scenario), $extension);

                #[test]
                fn on_1_shard() {
                    crate::scenarios::run($interpreter, PROGRAM, $version, 1);
                }

                #[test]
                fn on_3_shards() {
                    crate::scenarios::run($interpreter, PROGRAM, $version, 3);
                }
            })*
        }
    };
}

scenarios!(paho, ".venv/bin/python", ".py",
    both: large order qos retained session shared spread takeover wildcards will,
    v5: aliases expiry options properties subscription_ids);

scenarios!(mqttjs, "node", ".mjs",
    both: large qos retained session shared spread takeover will,
    v5: aliases options properties);

/// A program that no test runs would be forgotten.
#[test]
fn every_program_is_run() {
    let this = include_str!("scenarios.rs");
    for folder in ["paho", "mqttjs"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(folder);
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.is_file() && name != "scenario" {
                assert!(this.contains(&format!(" {name}")), "{} is not named in scenarios.rs", path.display());
            }
        }
    }
}
