//! Bytes that must not be seen, while they arrive.

use super::pages::Pages;

/// Takes secret bytes at its end and gives them back from its beginning. Where it has to grow it
/// moves to larger pages and wipes those it leaves.
#[derive(Default)]
pub(crate) struct Buffer {
    pages: Option<Pages>,
    length: usize,
}

impl Buffer {
    /// What is in it.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.pages.as_ref().map_or(&[], |p| &p[..self.length])
    }

    /// Adds what is written into `more` bytes of room: as many of them as `write` says.
    pub(crate) fn fill<E>(
        &mut self,
        more: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let end = self.length + more;
        let mut pages = match self.pages.take() {
            Some(pages) if pages.len() >= end => pages,
            old => {
                let mut larger = Pages::new(end.max(2 * self.length));
                if let Some(old) = old {
                    larger[..self.length].copy_from_slice(&old[..self.length]);
                }
                larger
            }
        };
        let written = write(&mut pages[self.length..end]);
        self.length += written.as_ref().map_or(0, |count| *count.min(&more));
        self.pages = (self.length > 0).then_some(pages);
        written
    }

    /// Forgets its first bytes. An empty one holds no memory.
    pub(crate) fn forget(&mut self, count: usize) {
        let left = self.length.saturating_sub(count);
        if let (Some(pages), 1..) = (&mut self.pages, left) {
            pages.copy_within(count..self.length, 0);
            pages[left..self.length].fill(0);
        } else {
            self.pages = None;
        }
        self.length = left;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn add(buffer: &mut Buffer, bytes: &[u8]) {
        let Ok(added) = buffer.fill::<Infallible>(bytes.len() + 3, |room| {
            room[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        });
        assert_eq!(added, bytes.len());
    }

    #[test]
    fn bytes_go_in_at_the_end_and_out_at_the_beginning() {
        let mut buffer = Buffer::default();
        let mut expected = Vec::new();
        for round in 0..50_u8 {
            let bytes = vec![round; 700];
            add(&mut buffer, &bytes);
            expected.extend(bytes);
            buffer.forget(300);
            expected.drain(..300);
            assert_eq!(buffer.bytes(), expected);
        }
        let pages = buffer.pages.as_ref().unwrap();
        assert!(pages[buffer.length..].iter().all(|&byte| byte == 0));
        buffer.forget(expected.len());
        assert!(buffer.bytes().is_empty() && buffer.pages.is_none());
        assert_eq!(buffer.fill(10, |_| Err("no")), Err("no"));
        assert!(buffer.bytes().is_empty());
    }
}
