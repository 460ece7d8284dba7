//! Amounts of memory or disk, written as `"512M"` or `"4G"`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A number of bytes, at least one mebibyte and at most one tebibyte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(u64);

/// Why a text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of range, expected a whole number with M, G or T behind it, from \"1M\" to \"1T\"")]
pub struct InvalidSize;

impl Size {
    const LEAST: u64 = 1 << 20;
    const MOST: u64 = 1 << 40;

    /// Makes a size from a number of mebibytes.
    pub(super) const fn mebibytes(number: u64) -> Self {
        Self(number << 20)
    }

    /// Makes a size from a number of gibibytes.
    pub(super) const fn gibibytes(number: u64) -> Self {
        Self(number << 30)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = InvalidSize;
    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let unit = match text.as_bytes().last() {
            Some(b'M') => 1 << 20,
            Some(b'G') => 1 << 30,
            Some(b'T') => 1 << 40,
            _ => return Err(InvalidSize),
        };
        let digits = text.get(..text.len() - 1).unwrap_or_default();
        let whole = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|_| whole).ok_or(InvalidSize)?;
        number
            .checked_mul(unit)
            .filter(|bytes| (Self::LEAST..=Self::MOST).contains(bytes))
            .map(Self)
            .ok_or(InvalidSize)
    }
}

impl TryFrom<String> for Size {
    type Error = InvalidSize;
    fn try_from(text: String) -> Result<Self, InvalidSize> {
        text.parse()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}M", self.0 >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("512M".parse::<Size>().unwrap().bytes(), 512 << 20);
        assert_eq!("4G".parse(), Ok(Size::gibibytes(4)));
        for bad in [
            "",
            "M",
            "0M",
            "-1G",
            "+1G",
            "1e9G",
            "2T",
            "1K",
            "5",
            "1.5G",
            "99999999999999999999G",
            "4é",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
