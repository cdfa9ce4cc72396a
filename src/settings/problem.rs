//! What can be wrong with the settings, one sentence each.

use super::table::{SECTIONS, SETTINGS};
use std::fmt;
use std::path::PathBuf;

/// Where a setting was written.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A whole file.
    File(PathBuf),
    /// Line and column of a file, both from 1.
    Line(PathBuf, usize, usize),
    /// An argument, or a variable of the environment.
    Argument(String),
    /// A setting whose value is allowed, but not on this machine.
    Setting(&'static str),
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) sentence: String,
}

/// Everything that is wrong with the settings, in the order in which it was read.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Line(path, line, column) => write!(f, "{}:{line}:{column}", path.display()),
            Self::Argument(written) => f.write_str(written),
            Self::Setting(key) => f.write_str(key),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.sentence)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// The sentence for a setting that does not exist.
pub(super) fn unknown_setting(key: &str) -> String {
    let known = SETTINGS.iter().map(|setting| setting.key);
    format!("there is no setting {key}{}", suggestion(key, known))
}

/// The sentence for a section that does not exist.
pub(super) fn unknown_section(name: &str) -> String {
    let known = SECTIONS.iter().map(|section| section.name);
    format!("there is no section [{name}]{}", suggestion(name, known))
}

/// How alike a name must be to be suggested, from 0 (nothing in common) to 1 (equal).
const ALIKE_MIN: f64 = 0.75;

fn suggestion(name: &str, known: impl Iterator<Item = &'static str>) -> String {
    known
        .map(|known| (strsim::jaro(name, known), known))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, nearest)| format!("; did you mean {nearest}?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        for (written, meant) in [
            ("mqtt.inflight", "mqtt.inflight_max"),
            ("mqtt.recieve_maximum", "mqtt.receive_maximum"),
            ("shards.counts", "shards.count"),
            ("listen.address", "listen.addresses"),
            ("log.levle", "log.level"),
        ] {
            assert!(unknown_setting(written).ends_with(&format!("did you mean {meant}?")), "{written}");
        }
        assert!(unknown_section("shard").ends_with("did you mean shards?"));
        assert!(!unknown_setting("zzz.qqqqqq").contains("did you mean"));
    }
}
