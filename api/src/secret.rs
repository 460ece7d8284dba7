//! Bytes that must not be seen.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret value. It has no `Debug`, `Display` or `Serialize`, so it cannot reach a log, an error
/// or a file by accident, and is wiped when dropped.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
#[expect(missing_debug_implementations, reason = "a secret must not be printed")]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes over bytes. The caller must hold no other copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one who writes them where they belong.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Tells whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    static_assertions::assert_not_impl_any!(
        super::Secret: std::fmt::Debug, std::fmt::Display, serde::Serialize
    );
}
