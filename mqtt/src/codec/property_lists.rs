//! The properties that may repeat: User Properties and Subscription Identifiers, read from an encoded section and
//! collected into one.

use super::error::EncodeError;
use super::property::{Property, RawProperties, RawProperty};
use super::property_set::id;
use super::read::Reader;
use super::{REMAINING_LENGTH_MAX, write};
use crate::packet::{SubscriptionIdentifiers, UserProperties};
use std::fmt;
use std::num::NonZeroU32;

impl<'a> UserProperties<'a> {
    /// Name and value of each, in their order.
    #[must_use]
    pub fn iter(&self) -> UserPropertiesIter<'a> {
        UserPropertiesIter(RawProperties::new(self.0))
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw().next().is_none()
    }

    /// Each as it is encoded.
    #[inline]
    pub(super) fn raw(&self) -> impl Iterator<Item = RawProperty<'a>> + use<'a> {
        RawProperties::new(self.0).filter(|property| property.id == id::USER_PROPERTY)
    }
}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for UserProperties<'_> {}

impl<'a> IntoIterator for UserProperties<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = UserPropertiesIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterates over [`UserProperties`].
#[derive(Clone)]
pub struct UserPropertiesIter<'a>(RawProperties<'a>);

impl<'a> Iterator for UserPropertiesIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let property = self.0.find(|property| property.id == id::USER_PROPERTY)?;
        let mut reader = Reader::new(property.value);
        Some((reader.string().ok()?, reader.string().ok()?))
    }
}

/// User Properties to be sent.
#[derive(Clone, Debug, Default)]
pub struct UserPropertiesBuf(Vec<u8>);

impl UserPropertiesBuf {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one at the end.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLong`] for a name or a value of more than 65,535 bytes.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        let start = self.0.len();
        let result = Property::User(name, value).append(&mut self.0);
        if result.is_err() {
            self.0.truncate(start);
        }
        result
    }

    /// What a packet carries.
    #[must_use]
    pub fn as_properties(&self) -> UserProperties<'_> {
        UserProperties(&self.0)
    }
}

impl<'a> SubscriptionIdentifiers<'a> {
    /// Each, in their order.
    #[must_use]
    pub fn iter(&self) -> SubscriptionIdentifiersIter<'a> {
        SubscriptionIdentifiersIter(RawProperties::new(self.0))
    }

    /// True when there is none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.raw().next().is_none()
    }

    /// Each as it is encoded.
    #[inline]
    pub(super) fn raw(&self) -> impl Iterator<Item = RawProperty<'a>> + use<'a> {
        RawProperties::new(self.0).filter(|property| property.id == id::SUBSCRIPTION_IDENTIFIER)
    }
}

impl fmt::Debug for SubscriptionIdentifiers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for SubscriptionIdentifiers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubscriptionIdentifiers<'_> {}

impl<'a> IntoIterator for SubscriptionIdentifiers<'a> {
    type Item = NonZeroU32;
    type IntoIter = SubscriptionIdentifiersIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterates over [`SubscriptionIdentifiers`].
#[derive(Clone)]
pub struct SubscriptionIdentifiersIter<'a>(RawProperties<'a>);

impl Iterator for SubscriptionIdentifiersIter<'_> {
    type Item = NonZeroU32;

    fn next(&mut self) -> Option<Self::Item> {
        let property = self.0.find(|property| property.id == id::SUBSCRIPTION_IDENTIFIER)?;
        Reader::new(property.value).variable_byte_integer().ok().and_then(NonZeroU32::new)
    }
}

/// Subscription Identifiers to be sent.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionIdentifiersBuf(Vec<u8>);

impl SubscriptionIdentifiersBuf {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one at the end.
    ///
    /// # Errors
    /// [`EncodeError::SubscriptionIdentifier`] above 268,435,455.
    pub fn push(&mut self, identifier: NonZeroU32) -> Result<(), EncodeError> {
        if identifier.get() as usize > REMAINING_LENGTH_MAX {
            return Err(EncodeError::SubscriptionIdentifier);
        }
        Property::SubscriptionIdentifier(identifier).append(&mut self.0)
    }

    /// What a PUBLISH carries.
    #[must_use]
    pub fn as_identifiers(&self) -> SubscriptionIdentifiers<'_> {
        SubscriptionIdentifiers(&self.0)
    }
}

/// Bytes that a Subscription Identifier takes in a property section.
pub(super) const fn subscription_identifier_bytes(identifier: u32) -> usize {
    1 + write::variable_byte_integer_bytes(identifier as usize)
}
