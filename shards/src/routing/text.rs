//! A text that lives where it is kept when it is short: no allocation, no second cache miss.

/// A text of which up to `N` bytes need no allocation.
pub(crate) enum Text<const N: usize> {
    Inline { len: u8, bytes: [u8; N] },
    Heap(Box<[u8]>),
}

impl<const N: usize> Text<N> {
    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }

    /// The text; empty, which stands for a broken invariant, when it was not made from a `&str`.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl<const N: usize> From<&[u8]> for Text<N> {
    fn from(text: &[u8]) -> Self {
        const { assert!(N <= u8::MAX as usize) };
        if text.len() > N {
            return Self::Heap(text.into());
        }
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text);
        Self::Inline { len: text.len() as u8, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long() {
        assert_eq!(size_of::<Text<22>>(), 24);
        for text in ["", "a", "größe/𝄞", "twenty-two bytes long.", "twenty-three bytes long"] {
            let kept = Text::<22>::from(text.as_bytes());
            assert_eq!(kept.as_str(), text);
            assert_eq!(kept.as_bytes(), text.as_bytes());
            assert_eq!(matches!(kept, Text::Heap(_)), text.len() > 22);
        }
    }
}
