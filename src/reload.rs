//! SIGHUP: the settings are read again, and those that can change while the server runs do.

use crate::cli::Serve;
use crate::logging::Log;
use crate::settings::Settings;

/// Reads the settings again. When something is wrong with them, nothing changes and the log says what.
pub(crate) fn reload(options: &Serve, current: &mut Settings, log: &Log) {
    let fresh = match Settings::load(options.config.as_deref(), &options.arguments()) {
        Ok(fresh) => fresh,
        Err(problems) => {
            tracing::error!("the settings are wrong and stay as they were: {problems}");
            return;
        }
    };
    let (live, restart) = current.changes(&fresh);
    if current.log_level != fresh.log_level {
        log.set_level(fresh.log_level);
        current.log_level = fresh.log_level;
    }
    tracing::info!("settings read again; changed: {}", list(&live));
    if !restart.is_empty() {
        tracing::warn!("these settings have changed and need a restart: {}", list(&restart));
    }
}

fn list(keys: &[&str]) -> String {
    if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
}
