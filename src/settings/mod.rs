//! The settings: one table ([`table`]) names each of them once, with its range, meaning and place in [`Settings`]; the
//! parsing of files and arguments, the errors, the reference page and the help texts all come from it.
//!
//! What is given on the command line beats the file, and the file beats the defaults.

mod field;
mod file;
mod kind;
mod problem;
pub(crate) mod reference;
mod table;
mod value;

pub(crate) use field::url;
pub(crate) use problem::{Place, Problem, Problems};
pub(crate) use table::find;

use ringtail_shards::config::Config;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use table::{Reload, SETTINGS, Setting};
use tracing::level_filters::LevelFilter;
use value::Value;

/// Port of MQTT without encryption, as registered with IANA.
const PORT: u16 = 1883;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl field::Named for LogFormat {
    const NAMES: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

/// A value for every setting.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What the shards are told; with 0 `shards` until [`crate::machine`] has counted the cores.
    pub(crate) config: Config,
    /// Whether clients may authenticate by the test method.
    pub(crate) test_authentication: bool,
    /// Whether the kernel may give memory in huge pages.
    pub(crate) huge_pages: bool,
    pub(crate) log_level: LevelFilter,
    pub(crate) log_format: LogFormat,
    /// Keys that a file or the command line has set.
    given: BTreeSet<&'static str>,
}

impl Default for Settings {
    fn default() -> Self {
        let listeners =
            vec![SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)), SocketAddr::from((Ipv6Addr::LOCALHOST, PORT))];
        Self {
            config: Config { shards: 0, listeners, ..Config::default() },
            test_authentication: false,
            huge_pages: false,
            log_level: LevelFilter::INFO,
            log_format: LogFormat::Text,
            given: BTreeSet::new(),
        }
    }
}

/// A setting from the command line.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    /// How it was written, for errors: `--shards` or `--set mqtt.receive_maximum`.
    pub(crate) written: String,
    /// The setting's full name.
    pub(crate) key: String,
    /// What it is set to.
    pub(crate) text: String,
}

impl Settings {
    /// The settings of a file, if any, and of the command line.
    ///
    /// # Errors
    /// Every problem that was found, each with its place.
    pub(crate) fn load(path: Option<&Path>, arguments: &[Argument]) -> Result<Self, Problems> {
        let mut settings = Self::default();
        let mut problems = Vec::new();
        if let Some(path) = path {
            file::read_into(&mut settings, path, &mut problems);
        }
        for Argument { written, key, text } in arguments {
            let result = match find(key) {
                Some(setting) => settings.set(setting, &Value::from_argument(text)),
                None => Err(problem::unknown_setting(key)),
            };
            problems.extend(result.err().map(|sentence| Problem { place: Place::Argument(written.clone()), sentence }));
        }
        if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
    }

    /// True when neither the file nor the command line has set `key`.
    pub(crate) fn is_default(&self, key: &str) -> bool {
        !self.given.contains(key)
    }

    /// The keys whose values differ from those of `other`: first those that can change while the server runs, then
    /// those that cannot.
    pub(crate) fn changes(&self, other: &Self) -> (Vec<&'static str>, Vec<&'static str>) {
        let changed = SETTINGS.iter().filter(|setting| setting.value(self) != setting.value(other));
        let (live, restart) = changed.partition::<Vec<_>, _>(|setting| setting.reload == Reload::Live);
        let keys = |settings: Vec<&Setting>| settings.iter().map(|setting| setting.key).collect();
        (keys(live), keys(restart))
    }

    fn set(&mut self, setting: &'static Setting, given: &Value) -> Result<(), String> {
        if setting.write(self, given) {
            self.given.insert(setting.key);
            Ok(())
        } else {
            Err(format!("{} must be {}, not {given}", setting.key, setting.kind.expected()))
        }
    }
}
