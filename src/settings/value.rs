//! A value as it was written, in a file or on the command line, before a setting has taken it.

use std::fmt;
use toml::de::DeValue;

/// What was written for a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A whole number; wide enough to say how far out of range it is.
    Number(i128),
    /// `true` or `false`.
    Flag(bool),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// A TOML value that no setting takes, as it is named in an error.
    Other(String),
}

impl Value {
    /// The value of an argument, where strings need no quotes and arrays no brackets.
    pub(crate) fn from_argument(text: &str) -> Self {
        if text.starts_with(['[', '"', '\''])
            && let Ok(value) = DeValue::parse(text)
        {
            return Self::from(value.get_ref());
        }
        match (text, text.replace('_', "").parse()) {
            ("true", _) => Self::Flag(true),
            ("false", _) => Self::Flag(false),
            (_, Ok(number)) => Self::Number(number),
            _ => Self::Text(text.to_owned()),
        }
    }
}

impl From<&DeValue<'_>> for Value {
    fn from(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.clone().into_owned()),
            DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Self::Number(number),
                Err(_) => Self::Other(number.to_string()),
            },
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Float(number) => Self::Other(number.as_str().to_owned()),
            DeValue::Datetime(time) => Self::Other(time.to_string()),
            DeValue::Array(items) => Self::List(items.iter().map(|item| Self::from(item.get_ref())).collect()),
            DeValue::Table(_) => Self::Other("a table".to_owned()),
        }
    }
}

/// Writes the value in TOML.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}
