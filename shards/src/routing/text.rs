//! A text that lives where it is kept when it is short: no allocation, no second cache miss.

/// A text of which up to `N` bytes need no allocation.
pub(crate) enum Text<const N: usize> {
    Inline { len: u8, bytes: [u8; N] },
    Heap(Box<str>),
}

impl<const N: usize> Text<N> {
    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(text) => text.as_bytes(),
        }
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        match self {
            // The bytes came from a `&str`; an empty text would stand for a broken invariant.
            Self::Inline { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Heap(text) => text,
        }
    }
}

impl<const N: usize> From<&str> for Text<N> {
    fn from(text: &str) -> Self {
        const { assert!(N <= u8::MAX as usize) };
        if text.len() > N {
            return Self::Heap(text.into());
        }
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
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
            let kept = Text::<22>::from(text);
            assert_eq!(kept.as_str(), text);
            assert_eq!(kept.as_bytes(), text.as_bytes());
            assert_eq!(matches!(kept, Text::Heap(_)), text.len() > 22);
        }
    }
}
