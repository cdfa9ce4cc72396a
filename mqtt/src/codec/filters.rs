//! The lists in the payloads of SUBSCRIBE, UNSUBSCRIBE and their acknowledgements.

use super::error::{DecodeError, EncodeError};
use super::read::Reader;
use super::write;
use crate::packet::{
    ProtocolVersion, QoS, ReasonCodes, RetainHandling, SubscribeFilters, SubscriptionOptions, UnsubscribeFilters,
};
use crate::reason::ReasonCode;
use std::fmt;

const QOS: u8 = 0b0000_0011;
const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RETAIN_HANDLING: u8 = 0b0011_0000;
const RETAIN_HANDLING_SHIFT: u32 = 4;

/// Subscription Options of a byte; before 5.0 all but the QoS is reserved.
pub(super) fn options_from_byte(byte: u8, version: ProtocolVersion) -> Result<SubscriptionOptions, DecodeError> {
    let used = match version {
        ProtocolVersion::V5 => QOS | NO_LOCAL | RETAIN_AS_PUBLISHED | RETAIN_HANDLING,
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => QOS,
    };
    if byte & !used != 0 {
        return Err(DecodeError::SubscriptionOptionsReserved); // [MQTT-3.8.3-5]
    }
    let maximum_qos = QoS::from_bits(byte & QOS).ok_or(DecodeError::SubscriptionOptions)?;
    let retain_handling = match (byte & RETAIN_HANDLING) >> RETAIN_HANDLING_SHIFT {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(DecodeError::SubscriptionOptions),
    };
    Ok(SubscriptionOptions {
        maximum_qos,
        no_local: byte & NO_LOCAL != 0,
        retain_as_published: byte & RETAIN_AS_PUBLISHED != 0,
        retain_handling,
    })
}

fn options_byte(options: SubscriptionOptions) -> u8 {
    options.maximum_qos as u8
        | if options.no_local { NO_LOCAL } else { 0 }
        | if options.retain_as_published { RETAIN_AS_PUBLISHED } else { 0 }
        | (options.retain_handling as u8) << RETAIN_HANDLING_SHIFT
}

/// What a SUBACK before 5.0 says: the granted QoS, or 0x80 for every failure.
pub(super) fn suback_return_code(reason: ReasonCode) -> u8 {
    if reason.is_error() { ReasonCode::UnspecifiedError as u8 } else { reason as u8 }
}

impl<'a> SubscribeFilters<'a> {
    /// Topic filter and options of each, in their order.
    #[must_use]
    pub fn iter(&self) -> SubscribeFiltersIter<'a> {
        SubscribeFiltersIter(Reader::new(self.0))
    }
}

impl fmt::Debug for SubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for SubscribeFilters<'a> {
    type Item = (&'a str, SubscriptionOptions);
    type IntoIter = SubscribeFiltersIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterates over [`SubscribeFilters`].
#[derive(Clone)]
pub struct SubscribeFiltersIter<'a>(Reader<'a>);

impl<'a> Iterator for SubscribeFiltersIter<'a> {
    type Item = (&'a str, SubscriptionOptions);

    fn next(&mut self) -> Option<Self::Item> {
        let filter = self.0.string().ok()?;
        // The bytes of earlier versions mean the same in 5.0.
        let options = options_from_byte(self.0.byte().ok()?, ProtocolVersion::V5).ok()?;
        Some((filter, options))
    }
}

/// The filters of a SUBSCRIBE to be sent: never empty, because it is made of its first one.
#[derive(Clone, Debug)]
pub struct SubscribeFiltersBuf(Vec<u8>);

impl SubscribeFiltersBuf {
    /// A list of one.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn new(filter: &str, options: SubscriptionOptions) -> Result<Self, EncodeError> {
        let mut filters = Self(Vec::new());
        filters.push(filter, options)?;
        Ok(filters)
    }

    /// Adds a filter at the end.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLong`] for a filter of more than 65,535 bytes.
    pub fn push(&mut self, filter: &str, options: SubscriptionOptions) -> Result<(), EncodeError> {
        write::append_binary(filter.as_bytes(), &mut self.0)?;
        self.0.push(options_byte(options));
        Ok(())
    }

    /// What a SUBSCRIBE carries.
    #[must_use]
    pub fn as_filters(&self) -> SubscribeFilters<'_> {
        SubscribeFilters(&self.0)
    }
}

impl<'a> UnsubscribeFilters<'a> {
    /// Each topic filter, in their order.
    #[must_use]
    pub fn iter(&self) -> UnsubscribeFiltersIter<'a> {
        UnsubscribeFiltersIter(Reader::new(self.0))
    }
}

impl fmt::Debug for UnsubscribeFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for UnsubscribeFilters<'a> {
    type Item = &'a str;
    type IntoIter = UnsubscribeFiltersIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Iterates over [`UnsubscribeFilters`].
#[derive(Clone)]
pub struct UnsubscribeFiltersIter<'a>(Reader<'a>);

impl<'a> Iterator for UnsubscribeFiltersIter<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.string().ok()
    }
}

/// The filters of an UNSUBSCRIBE to be sent: never empty, because it is made of its first one.
#[derive(Clone, Debug)]
pub struct UnsubscribeFiltersBuf(Vec<u8>);

impl UnsubscribeFiltersBuf {
    /// A list of one.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn new(filter: &str) -> Result<Self, EncodeError> {
        let mut filters = Self(Vec::new());
        filters.push(filter)?;
        Ok(filters)
    }

    /// Adds a filter at the end.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLong`] for a filter of more than 65,535 bytes.
    pub fn push(&mut self, filter: &str) -> Result<(), EncodeError> {
        write::append_binary(filter.as_bytes(), &mut self.0)
    }

    /// What an UNSUBSCRIBE carries.
    #[must_use]
    pub fn as_filters(&self) -> UnsubscribeFilters<'_> {
        UnsubscribeFilters(&self.0)
    }
}

/// A byte that is no reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:#04x} is no reason code")]
pub struct InvalidReasonCode(pub u8);

impl<'a> ReasonCodes<'a> {
    /// No reason at all, as in an UNSUBACK before 5.0.
    pub const EMPTY: ReasonCodes<'static> = ReasonCodes(&[]);

    /// The codes of these bytes.
    ///
    /// # Errors
    /// [`InvalidReasonCode`] with the first byte that is none.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, InvalidReasonCode> {
        match bytes.iter().find(|byte| ReasonCode::from_byte(**byte).is_none()) {
            Some(byte) => Err(InvalidReasonCode(*byte)),
            None => Ok(Self(bytes)),
        }
    }

    /// Each code, in their order.
    pub fn iter(&self) -> impl Iterator<Item = ReasonCode> + use<'a> {
        self.0.iter().filter_map(|byte| ReasonCode::from_byte(*byte))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for ReasonCodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Reason codes to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasonCodesBuf(Vec<u8>);

impl ReasonCodesBuf {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one at the end.
    pub fn push(&mut self, reason: ReasonCode) {
        self.0.push(reason as u8);
    }

    /// Empties the list and keeps its memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What a SUBACK or UNSUBACK carries.
    #[must_use]
    pub fn as_codes(&self) -> ReasonCodes<'_> {
        ReasonCodes(&self.0)
    }
}

impl FromIterator<ReasonCode> for ReasonCodesBuf {
    fn from_iter<I: IntoIterator<Item = ReasonCode>>(reasons: I) -> Self {
        Self(reasons.into_iter().map(|reason| reason as u8).collect())
    }
}
