//! Bytes that must not be seen.

mod buffer;
mod pages;

use std::convert::Infallible;
use std::io::{self, Read};
use std::sync::Arc;

use zeroize::Zeroizing;

pub(crate) use buffer::Buffer;
use pages::Pages;

/// A secret value. It has no `Debug`, `Display` or `Serialize`, so it cannot reach a log, an error
/// or a file by accident. It lies in pages of its own, which are not swapped or dumped where the
/// process may say so; clones are the same pages, wiped with the last of them.
#[derive(Clone, Default)]
#[expect(missing_debug_implementations, reason = "a secret must not be printed")]
pub struct Secret(Option<Arc<Held>>);

struct Held {
    pages: Pages,
    length: usize,
}

impl Secret {
    /// Takes over bytes. The caller must hold no other copy, and the buffer must never have grown.
    pub fn new(bytes: Vec<u8>) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self::joined(&[&bytes])
    }

    /// Puts parts together.
    pub fn joined(parts: &[&[u8]]) -> Self {
        let length = parts.iter().map(|part| part.len()).sum();
        let Ok(secret) = Self::filled::<Infallible>(length, |mut room| {
            for part in parts {
                let (this, rest) = room.split_at_mut(part.len());
                this.copy_from_slice(part);
                room = rest;
            }
            Ok(length)
        });
        secret
    }

    /// Has a value written where it will lie: into `room` bytes at most, of which `write` says how many
    /// there are.
    ///
    /// # Errors
    /// What `write` says.
    pub fn filled<E>(
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Self, E> {
        if room == 0 {
            return write(&mut []).map(|_| Self::default());
        }
        let mut pages = Pages::new(room);
        let length = write(&mut pages)?.min(room);
        Ok(match length {
            0 => Self::default(),
            _ => Self(Some(Arc::new(Held { pages, length }))),
        })
    }

    /// Reads to the end, or to `most` bytes.
    ///
    /// # Errors
    /// What the reader says; being interrupted is not an error.
    pub fn read(mut reader: impl Read, most: usize) -> io::Result<Self> {
        Self::filled(most, |room| {
            let mut length = 0;
            while length < room.len() {
                match reader.read(&mut room[length..]) {
                    Ok(0) => break,
                    Ok(count) => length += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(length)
        })
    }

    /// The bytes, for the one who writes them where they belong.
    pub fn expose(&self) -> &[u8] {
        self.0
            .as_ref()
            .map_or(&[], |held| &held.pages[..held.length])
    }

    /// Tells whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(
        Secret: std::fmt::Debug, std::fmt::Display, serde::Serialize
    );

    /// The flags of the mapping that holds a value.
    fn flags(secret: &Secret) -> Vec<String> {
        let address = secret.expose().as_ptr().addr();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut within = false;
        for line in maps.lines() {
            let range = line
                .split_once(' ')
                .and_then(|(range, _)| range.split_once('-'));
            let number = |text| usize::from_str_radix(text, 16).ok();
            if let Some((Some(start), Some(end))) = range.map(|(s, e)| (number(s), number(e))) {
                within = (start..end).contains(&address);
            }
            if let (true, Some(flags)) = (within, line.strip_prefix("VmFlags:")) {
                return flags.split_whitespace().map(str::to_owned).collect();
            }
        }
        panic!("the value is in no mapping");
    }

    /// Tells whether this process may lock what the tests need at a time.
    fn may_lock() -> bool {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max locked memory"));
        let most = line.unwrap().split_whitespace().next().unwrap();
        most.parse().map_or(true, |most: u64| most >= 1 << 20)
    }

    #[test]
    fn a_value_lies_in_pages_that_are_neither_dumped_nor_swapped() {
        let secret = Secret::new(b"value".to_vec());
        let flags = flags(&secret);
        let has = |wanted| flags.iter().any(|flag| flag == wanted);
        assert!(has("dd"), "{flags:?}");
        assert!(has("lo") || !may_lock(), "{flags:?}");
        assert_eq!(secret.expose(), b"value");
        assert!(!secret.is_empty());
        assert!(std::ptr::eq(secret.expose(), secret.clone().expose()));
    }

    #[test]
    fn values_are_put_together_and_read() {
        assert_eq!(Secret::joined(&[b"a", b"", b"bc"]).expose(), b"abc");
        let long = vec![7; 100_000];
        assert_eq!(Secret::new(long.clone()).expose(), long);
        assert_eq!(Secret::read(&long[..], 200_000).unwrap().expose(), long);
        assert_eq!(Secret::read(&long[..], 5).unwrap().expose(), [7; 5]);
        for empty in [
            Secret::default(),
            Secret::new(Vec::new()),
            Secret::joined(&[]),
            Secret::read(&b""[..], 10).unwrap(),
            Secret::read(&b"x"[..], 0).unwrap(),
        ] {
            assert!(empty.is_empty() && empty.expose().is_empty());
        }
        assert!(Secret::filled(4, |_| Err("no")).is_err());
    }
}
