//! Memory for secrets.

use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};
use zeroize::{Zeroize as _, Zeroizing};

/// Pages that hold nothing else: kept out of core dumps, out of swap as far as the process may lock
/// them, and wiped when they are given back. They never grow, so that no copy is left behind.
pub(super) enum Pages {
    Own(MmapMut),
    /// Where the process has no mapping left. What keeps its memory private as a whole still does.
    Heap(Zeroizing<Vec<u8>>),
}

impl Pages {
    /// At least one byte, all zero.
    pub(super) fn new(length: usize) -> Self {
        let Ok(pages) = MmapMut::map_anon(length) else {
            return Self::Heap(Zeroizing::new(vec![0; length]));
        };
        // Before anything is in them. What is not allowed (RLIMIT_MEMLOCK) is done without.
        pages.advise(Advice::DontDump).ok();
        pages.lock().ok();
        Self::Own(pages)
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(pages) => pages,
            Self::Heap(bytes) => bytes,
        }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Own(pages) => pages,
            Self::Heap(bytes) => bytes,
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.zeroize();
    }
}
