//! Text that differs from client to client: `{i}`, `{i%N}`, `{i/N}`, `{i:W}`, `{group}` and `{run}`.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Literal(String),
    /// The client's number in its group, from 0.
    Index(Index),
    /// The group's name.
    Group,
    /// Eight hexadecimal digits, new for each run.
    Run,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Index {
    Plain,
    Modulo(u64),
    Divided(u64),
    Padded(usize),
}

/// What a template is filled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    /// The client's number in its group, from 0.
    pub(crate) index: u64,
    /// The group's name.
    pub(crate) group: &'a str,
    /// The run's number.
    pub(crate) run: u32,
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// A sentence that names the piece that is not understood.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            if open > 0 {
                parts.push(Part::Literal(rest[..open].to_owned()));
            }
            let close = rest[open..].find('}').ok_or_else(|| format!("`{text}` has a `{{` without its `}}`"))? + open;
            parts.push(part(&rest[open + 1..close])?);
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The text for one client.
    pub(crate) fn fill(&self, values: Values<'_>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            // Writing to a String cannot fail.
            let _ = match part {
                Part::Literal(literal) => write!(text, "{literal}"),
                Part::Index(Index::Plain) => write!(text, "{}", values.index),
                Part::Index(Index::Modulo(n)) => write!(text, "{}", values.index % n),
                Part::Index(Index::Divided(n)) => write!(text, "{}", values.index / n),
                Part::Index(Index::Padded(width)) => write!(text, "{:0width$}", values.index),
                Part::Group => write!(text, "{}", values.group),
                Part::Run => write!(text, "{:08x}", values.run),
            };
        }
        text
    }

    /// True when every client gets the same text.
    pub(crate) fn is_constant(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Index(_)))
    }
}

fn part(name: &str) -> Result<Part, String> {
    let unknown =
        || format!("`{{{name}}}` is not known; there are {{i}}, {{i%N}}, {{i/N}}, {{i:WIDTH}}, {{group}} and {{run}}");
    let number = |text: &str| text.parse::<u64>().ok().filter(|n| *n > 0).ok_or_else(unknown);
    Ok(match name {
        "i" => Part::Index(Index::Plain),
        "group" => Part::Group,
        "run" => Part::Run,
        _ => match (name.strip_prefix("i%"), name.strip_prefix("i/"), name.strip_prefix("i:")) {
            (Some(n), _, _) => Part::Index(Index::Modulo(number(n)?)),
            (_, Some(n), _) => Part::Index(Index::Divided(number(n)?)),
            (_, _, Some(w)) => Part::Index(Index::Padded(
                number(w).and_then(|w| if w <= 20 { Ok(w as usize) } else { Err(unknown()) })?,
            )),
            _ => return Err(unknown()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, index: u64) -> String {
        Template::parse(text).expect(text).fill(Values { index, group: "sub", run: 0xab })
    }

    #[test]
    fn every_part_is_filled() {
        assert_eq!(fill("a/{i}/b", 7), "a/7/b");
        assert_eq!(fill("{i%10}-{i/10}-{i:5}", 123), "3-12-00123");
        assert_eq!(fill("{group}/{run}", 0), "sub/000000ab");
        assert_eq!(fill("plain", 1), "plain");
    }

    #[test]
    fn what_is_not_known_is_named() {
        for text in ["{j}", "{i%0}", "{i/x}", "{i:99}", "{", "a{i", "{}"] {
            assert!(Template::parse(text).is_err(), "{text} must be refused");
        }
        assert!(Template::parse("x{nope}").is_err_and(|e| e.contains("{nope}")));
    }

    #[test]
    fn only_the_index_makes_it_vary() {
        assert!(Template::parse("{group}/{run}").is_ok_and(|t| t.is_constant()));
        assert!(Template::parse("{i%2}").is_ok_and(|t| !t.is_constant()));
    }
}
