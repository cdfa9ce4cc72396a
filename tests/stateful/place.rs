//! Where sequences run: a broker, with a data folder or without, that can be stopped and started again.

use crate::broker::Broker;
use std::net::SocketAddr;
use tempfile::TempDir;

pub(crate) struct Place {
    shards: usize,
    folder: Option<TempDir>,
    broker: Option<Broker>,
}

impl Place {
    pub(crate) fn start(shards: usize, keeps: bool) -> Self {
        let folder = keeps.then(|| TempDir::new().unwrap());
        let mut place = Self { shards, folder, broker: None };
        place.start_again();
        place
    }

    fn start_again(&mut self) {
        let setup = Broker::with(self.shards);
        self.broker = Some(match &self.folder {
            // Small segments start fast, and are soon old enough to be cleaned.
            Some(folder) => setup.keep_in(folder.path()).set("storage.segment_bytes", 1 << 20).start(),
            None => setup.start(),
        });
    }

    /// True when sessions outlive the broker.
    pub(crate) fn keeps(&self) -> bool {
        self.folder.is_some()
    }

    /// Stops the broker, which must end cleanly, and starts it again.
    pub(crate) fn restart(&mut self) {
        if let Some(broker) = self.broker.take() {
            broker.stop();
        }
        self.start_again();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker.as_ref().expect("it was started").address()
    }
}
