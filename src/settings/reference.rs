//! The reference of all settings, written from the table: a page for people and a file to start from.

use super::Settings;
use super::table::{Reload, SECTIONS, SETTINGS, Section, Setting};
use std::fmt::Write;

const PAGE_HEAD: &str = "\
# Configuration

<!-- Written by `ringtail settings --markdown`; the table of settings in src/settings/table.rs is the place to change. -->

Settings come from a TOML file (`ringtail serve --config FILE`) and from the command line, where
`--set section.name=value` sets any of them and some have an option of their own. The command line beats the file, and
the file beats the defaults. A setting that is unknown, of the wrong type or out of its range stops the start with the
line and column and what is allowed; nothing is ignored.

`ringtail settings` prints a file with every setting at its default, to start from (also in
[ringtail.toml](ringtail.toml)), and `ringtail serve --check` says whether the settings and the machine would do.

A number of bytes may be written with a unit: `65536`, `\"64 KiB\"`, `\"4MiB\"`, up to `TiB`. Other units stand last in
the name of the setting. `Takes effect` says whether SIGHUP, which reads the file again, is enough or a restart is needed.
";

const FILE_HEAD: &str = "\
# Settings of ringtail, every one at its default. Remove the \"#\" in front of a line to change it.
";

/// The reference page.
pub(crate) fn markdown() -> String {
    let defaults = Settings::default();
    let mut page = PAGE_HEAD.to_owned();
    for section in SECTIONS {
        // Writing to a string does not fail.
        let _ = write!(page, "\n## [{}]\n\n{}\n", section.name, section.doc);
        for setting in settings_of(section) {
            let _ = write!(
                page,
                "\n### {}\n\n{}\n\n- Takes {}\n- Default: `{}`\n- Takes effect {}\n",
                setting.key,
                setting.doc,
                setting.kind.expected(),
                setting.value(&defaults),
                match setting.reload {
                    Reload::Live => "at SIGHUP",
                    Reload::Restart => "after a restart",
                },
            );
        }
    }
    page
}

/// A file with every setting at its default, commented out.
pub(crate) fn file() -> String {
    let defaults = Settings::default();
    let mut file = FILE_HEAD.to_owned();
    for section in SECTIONS {
        let _ = writeln!(file, "\n\n{}\n[{}]", comment(section.doc), section.name);
        for setting in settings_of(section) {
            let doc = comment(&format!("{} Takes {}.", setting.doc, setting.kind.expected()));
            let _ = writeln!(file, "\n{doc}\n#{} = {}", setting.name(), setting.value(&defaults));
        }
    }
    file
}

fn settings_of(section: &Section) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| setting.section() == section.name)
}

/// Columns of the file's comments.
const COLUMNS: usize = 100;

/// Text as comment lines.
fn comment(text: &str) -> String {
    let mut lines = String::from("#");
    let mut column = 1;
    for word in text.split_whitespace() {
        if column + 1 + word.len() > COLUMNS {
            lines.push_str("\n#");
            column = 1;
        }
        lines.push(' ');
        lines.push_str(word);
        column += 1 + word.len();
    }
    lines
}
