//! Limits of the kernel that the host's boot raises, as our package asks it to. The kernel is this
//! machine's, so they are put back when the host ends.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

const NAMES: &[&str] = &["fs/inotify/max_user_instances"];

/// The limits as they were.
#[derive(Debug)]
pub(super) struct Limits(Vec<(PathBuf, String)>);

impl Limits {
    /// Remembers them.
    pub(super) fn remember() -> Result<Self> {
        let values = NAMES.iter().map(|name| {
            let path = PathBuf::from("/proc/sys").join(name);
            let value = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Ok((path, value))
        });
        Ok(Self(values.collect::<Result<_>>()?))
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        for (path, value) in &self.0 {
            // Another host may have begun while this one had raised it, and must not raise it again.
            let number = |text: &str| text.trim().parse::<u64>().ok();
            let now = fs::read_to_string(path).unwrap_or_default();
            if number(value) >= number(&now) {
                continue;
            }
            if let Err(error) = fs::write(path, value) {
                eprintln!("cannot put {} back: {error}", path.display());
            }
        }
    }
}
