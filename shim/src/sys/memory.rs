//! Giving memory back after the start, the only busy time in a shim's life.

use std::fs;
use std::io;

use rustix::mm::{Advice, madvise};

/// Gives back the pages of code that the start used and the rest of the run does not; what is
/// needed again is mapped again, without a copy. And the free part of the heap.
pub fn give_back() {
    if let Err(error) = give_back_code() {
        tracing::debug!("cannot give memory back: {error}");
    }
    trim_heap();
}

#[expect(unsafe_code, reason = "madvise has no safe form")]
fn give_back_code() -> io::Result<()> {
    for (start, length) in code(&fs::read_to_string("/proc/self/maps")?) {
        let address = std::ptr::without_provenance_mut(start);
        // SAFETY: the range is a mapping of a file that can be executed and not written, so its
        // pages are the file's own, and are read from there again when they are next touched.
        unsafe { madvise(address, length, Advice::LinuxDontNeed)? };
    }
    Ok(())
}

#[expect(unsafe_code, reason = "malloc_trim has no safe form")]
fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches only memory that the allocator has free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Start and length of every mapping of code from a file.
fn code(maps: &str) -> Vec<(usize, usize)> {
    maps.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (range, rights, path) = (fields.next()?, fields.next()?, fields.nth(3)?);
            let (start, end) = range.split_once('-')?;
            let number = |text| usize::from_str_radix(text, 16).ok();
            let (start, end) = (number(start)?, number(end)?);
            (rights == "r-xp" && path.starts_with('/')).then(|| (start, end - start))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_from_files() {
        let maps = "1000-3000 r-xp 00000000 08:01 12 /usr/libexec/x\n\
                    3000-4000 r--p 00000000 08:01 12 /usr/libexec/x\n\
                    4000-5000 rw-p 00000000 08:01 12 /usr/libexec/x\n\
                    5000-6000 rwxp 00000000 08:01 12 /usr/libexec/x\n\
                    6000-7000 r-xp 00000000 00:00 0\n\
                    7000-8000 r-xp 00000000 00:00 0 [vdso]\n";
        assert_eq!(code(maps), [(0x1000, 0x2000)]);
        give_back();
        assert!(code(&fs::read_to_string("/proc/self/maps").unwrap()).len() > 1);
    }
}
