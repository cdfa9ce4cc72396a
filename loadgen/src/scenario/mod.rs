//! What load to make: the file ([`file`]), the scenarios that come with the program ([`builtin`]), templates, and the
//! checked and scaled [`plan::Plan`] that workers follow.

pub(crate) mod builtin;
pub(crate) mod expect;
pub(crate) mod file;
pub(crate) mod plan;
pub(crate) mod template;

use crate::error::Error;
use file::ScenarioFile;
use std::path::Path;

/// The scenario that `name` names: one that is built in, or a TOML file.
///
/// # Errors
/// [`Error::Usage`] for a name that is neither, [`Error::Scenario`] with file, line and column for what does not parse.
pub(crate) fn load(name: &str) -> Result<ScenarioFile, Error> {
    if let Some(text) = builtin::text(name) {
        return parse(name, text);
    }
    let path = Path::new(name);
    if path.extension().is_none_or(|e| e != "toml") {
        return Err(Error::Usage(format!(
            "there is no scenario `{name}`; `ringtail-load scenarios` lists them, and a file's name ends in .toml"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, e))?;
    parse(name, &text)
}

fn parse(place: &str, text: &str) -> Result<ScenarioFile, Error> {
    toml::from_str(text).map_err(|e| Error::scenario(place, e.to_string().trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let text = "name = \"x\"\n[[group]]\nname = \"a\"\nclients = 1\nclinet_id = \"y\"\n";
        let error = parse("x.toml", text).expect_err("unknown key").to_string();
        assert!(error.starts_with("x.toml: "), "{error}");
        assert!(error.contains("line 5") && error.contains("clinet_id"), "{error}");
    }

    #[test]
    fn a_name_that_is_neither_is_a_usage_error() {
        assert!(matches!(load("no-such-scenario"), Err(Error::Usage(_))));
        assert!(matches!(load("/nowhere/x.toml"), Err(Error::File { .. })));
    }
}
