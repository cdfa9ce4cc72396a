//! The log: lines or JSON objects on standard error, with a level that can change while the server runs.

use crate::exit::Failure;
use crate::settings::{LogFormat, Place, Problem, Problems, Settings};
use std::io::IsTerminal;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// The variable of the environment that beats `log.level`.
const LOG_VARIABLE: &str = "RINGTAIL_LOG";

/// The running log.
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    from_environment: bool,
}

impl Log {
    /// Starts the log.
    ///
    /// # Errors
    /// `RINGTAIL_LOG` is set to what is not a filter.
    pub(crate) fn start(settings: &Settings) -> Result<Self, Failure> {
        let variable = std::env::var(LOG_VARIABLE).ok().filter(|text| !text.is_empty());
        let from_environment = variable.is_some();
        let filter = match variable {
            Some(text) => text.parse::<EnvFilter>().map_err(|error| bad_variable(&text, &error))?,
            None => level_filter(settings.log_level),
        };
        let (filter, handle) = reload::Layer::new(filter);
        let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
        let lines = match settings.log_format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().boxed(),
        };
        tracing_subscriber::registry().with(filter).with(lines).init();
        Ok(Self { filter: handle, from_environment })
    }

    /// Changes the level, unless the environment rules it.
    pub(crate) fn set_level(&self, level: LevelFilter) {
        if self.from_environment {
            tracing::warn!("{LOG_VARIABLE} is set and beats log.level");
        } else if let Err(error) = self.filter.reload(level_filter(level)) {
            tracing::warn!("the level of the log cannot be changed: {error}");
        }
    }
}

fn level_filter(level: LevelFilter) -> EnvFilter {
    EnvFilter::default().add_directive(level.into())
}

fn bad_variable(text: &str, error: &dyn std::error::Error) -> Failure {
    Failure::Settings(Problems(vec![Problem {
        place: Place::Argument(LOG_VARIABLE.to_owned()),
        sentence: format!("must be a level or a filter such as info,ringtail_shards=debug, not {text:?} ({error})"),
    }]))
}
