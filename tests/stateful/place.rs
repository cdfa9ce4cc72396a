//! Where sequences run: a broker, with a data folder or without, that can be stopped or killed and started again.

use crate::broker::Broker;
use std::net::SocketAddr;
use tempfile::TempDir;

pub(crate) struct Place {
    shards: usize,
    /// Whenever it is to be started again, it is killed.
    is_killed: bool,
    folder: Option<TempDir>,
    broker: Option<Broker>,
}

impl Place {
    pub(crate) fn start(shards: usize, keeps: bool, is_killed: bool) -> Self {
        let folder = keeps.then(|| TempDir::new().unwrap());
        let mut place = Self { shards, is_killed, folder, broker: None };
        place.start_again();
        place
    }

    fn start_again(&mut self) {
        let setup = Broker::with(self.shards);
        self.broker = Some(match &self.folder {
            Some(folder) => setup.keep_in(folder.path()).start(),
            None => setup.start(),
        });
    }

    /// True when sessions outlive the broker.
    pub(crate) fn keeps(&self) -> bool {
        self.folder.is_some()
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.is_killed
    }

    /// Kills the broker or stops it, which must end cleanly then, and starts it again.
    pub(crate) fn restart(&mut self, is_killed: bool) {
        match self.broker.take() {
            Some(broker) if is_killed => broker.kill(),
            Some(broker) => broker.stop(),
            None => {}
        }
        self.start_again();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker.as_ref().expect("it was started").address()
    }
}
