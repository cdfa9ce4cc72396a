//! The settings in a TOML file, each with its line and column for the errors.

use super::Settings;
use super::problem::{self, Place, Problem};
use super::table::{SECTIONS, find};
use super::value::Value;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Reads `path` into `settings`; what is wrong goes into `problems`, in the order of the file.
pub(super) fn read_into(settings: &mut Settings, path: &Path, problems: &mut Vec<Problem>) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let sentence = format!("the file cannot be read: {error}");
            problems.push(Problem { place: Place::File(path.to_owned()), sentence });
            return;
        }
    };
    let (document, errors) = DeTable::parse_recoverable(&text);
    let mut found: Vec<(Range<usize>, String)> =
        errors.iter().map(|error| (error.span().unwrap_or_default(), error.message().replace('\n', ", "))).collect();
    if found.is_empty() {
        for (name, content) in document.get_ref() {
            found.extend(read_section(settings, name, content));
        }
    }
    found.sort_by_key(|(span, _)| span.start);
    problems.extend(found.into_iter().map(|(span, sentence)| {
        let (line, column) = position(&text, span.start);
        Problem { place: Place::Line(path.to_owned(), line, column), sentence }
    }));
}

fn read_section(
    settings: &mut Settings,
    name: &Spanned<DeString<'_>>,
    content: &Spanned<DeValue<'_>>,
) -> Vec<(Range<usize>, String)> {
    let section = name.get_ref();
    let known = SECTIONS.iter().any(|known| known.name == section);
    match content.get_ref() {
        DeValue::Table(table) if known => table
            .iter()
            .filter_map(|(name, value)| {
                let key = format!("{section}.{}", name.get_ref());
                let Some(setting) = find(&key) else {
                    return Some((name.span(), problem::unknown_setting(&key)));
                };
                let sentence = settings.set(setting, &Value::from(value.get_ref())).err()?;
                Some((value.span(), sentence))
            })
            .collect(),
        DeValue::Table(_) => vec![(name.span(), problem::unknown_section(section))],
        _ if known => vec![(name.span(), format!("{section} is a section and must be written [{section}]"))],
        _ => vec![(name.span(), problem::unknown_setting(section))],
    }
}

/// Line and column of a byte, both from 1; the column counts characters.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
