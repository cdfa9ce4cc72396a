//! The methods of enhanced authentication that the settings ask for.

use crate::settings::Settings;
use ringtail_mqtt::authentication::{Authenticator, Method, Step};
use ringtail_mqtt::reason::ReasonCode;
use std::sync::Arc;

/// The methods that clients may name in CONNECT.
pub(crate) fn methods(settings: &Settings) -> Vec<Arc<dyn Method>> {
    let mut methods: Vec<Arc<dyn Method>> = Vec::new();
    if settings.test_authentication {
        tracing::warn!("clients may authenticate by {TEST_NAME}, which proves nothing");
        methods.push(Arc::new(Test));
    }
    methods
}

const TEST_NAME: &str = "RINGTAIL-TEST";
/// Most rounds that a client may ask for.
const ROUNDS_MAX: u8 = 99;

/// The method for tests of clients: as many rounds as the client likes, and an answer that everybody can give.
#[derive(Debug)]
struct Test;

impl Method for Test {
    fn name(&self) -> &str {
        TEST_NAME
    }

    fn begin(&self) -> Box<dyn Authenticator> {
        Box::new(Rounds { left: 0 })
    }
}

/// An exchange by [`Test`].
#[derive(Debug)]
struct Rounds {
    /// Challenges that are still to be answered, with the one that is out.
    left: u8,
}

impl Rounds {
    fn challenge(&self) -> Vec<u8> {
        format!("round {}", self.left).into_bytes()
    }

    fn next(&self) -> Step {
        if self.left == 0 { Step::Success(b"done".to_vec()) } else { Step::Continue(self.challenge()) }
    }
}

impl Authenticator for Rounds {
    fn start(&mut self, octets: Option<&[u8]>) -> Step {
        let rounds = octets.and_then(|octets| str::from_utf8(octets).ok()).and_then(|text| text.parse().ok());
        let Some(rounds) = rounds.filter(|rounds| *rounds <= ROUNDS_MAX) else {
            return Step::Refuse(ReasonCode::NotAuthorized);
        };
        self.left = rounds;
        self.next()
    }

    fn step(&mut self, octets: Option<&[u8]>) -> Step {
        let mut answer = self.challenge();
        answer.reverse();
        if octets != Some(&answer) {
            return Step::Refuse(ReasonCode::NotAuthorized);
        }
        self.left -= 1;
        self.next()
    }
}
