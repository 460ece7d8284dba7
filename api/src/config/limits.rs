//! What a sandbox may use of the host: `[templates.<name>.resourceLimits]`. Each value is of a type
//! of its own that cannot be out of range.

use serde::Deserialize;

use super::Size;

/// What a sandbox may use; what is not given has no limit of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceLimits {
    /// Processor time.
    #[serde(default)]
    pub cpu_quota: Option<CpuQuota>,
    /// Memory, what is written to the root included.
    #[serde(default)]
    pub memory_max: Option<MemoryMax>,
    /// Processes and threads.
    #[serde(default)]
    pub tasks_max: Option<TasksMax>,
}

impl ResourceLimits {
    /// Tells whether none is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Processor time, in per cent of one processor: `"150%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CpuQuota(u32);

/// Why a text is no processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "out of range, expected a whole number of per cent of one processor, from \"1%\" to \"100000%\""
)]
pub struct InvalidCpuQuota;

impl CpuQuota {
    /// Per cent of one processor.
    pub const fn percent(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for CpuQuota {
    type Error = InvalidCpuQuota;
    fn try_from(text: String) -> Result<Self, InvalidCpuQuota> {
        let digits = text.strip_suffix('%').ok_or(InvalidCpuQuota)?;
        let whole = digits.bytes().all(|c| c.is_ascii_digit());
        let percent = digits.parse().ok().filter(|_| whole);
        percent
            .filter(|percent| (1..=100_000).contains(percent))
            .map(Self)
            .ok_or(InvalidCpuQuota)
    }
}

/// Memory: `"4G"`. With less than 64 MiB no usual system boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MemoryMax(Size);

/// Why a text is no amount of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of range, expected a whole number with M, G or T behind it, from \"64M\" to \"1T\"")]
pub struct InvalidMemoryMax;

impl MemoryMax {
    const LEAST: u64 = 64 << 20;

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0.bytes()
    }
}

impl TryFrom<String> for MemoryMax {
    type Error = InvalidMemoryMax;
    fn try_from(text: String) -> Result<Self, InvalidMemoryMax> {
        let size: Size = text.parse().map_err(|_| InvalidMemoryMax)?;
        (size.bytes() >= Self::LEAST)
            .then_some(Self(size))
            .ok_or(InvalidMemoryMax)
    }
}

/// Processes and threads. With fewer than 64 no usual system boots: what looks after the sandbox
/// counts, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct TasksMax(u32);

/// Why a number is no number of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of range, expected a whole number from 64 to 4194304")]
pub struct InvalidTasksMax;

impl TasksMax {
    /// How many.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for TasksMax {
    type Error = InvalidTasksMax;
    fn try_from(number: i64) -> Result<Self, InvalidTasksMax> {
        u32::try_from(number)
            .ok()
            .filter(|number| (64..=4_194_304).contains(number))
            .map(Self)
            .ok_or(InvalidTasksMax)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time() {
        let parse = |text: &str| CpuQuota::try_from(text.to_owned()).map(CpuQuota::percent);
        for (text, percent) in [("1%", 1), ("150%", 150), ("100000%", 100_000)] {
            assert_eq!(parse(text), Ok(percent));
        }
        for bad in [
            "",
            "%",
            "0%",
            "100001%",
            "150",
            "1.5%",
            "+1%",
            "-1%",
            "1 %",
            "99999999999%",
        ] {
            assert_eq!(parse(bad), Err(InvalidCpuQuota), "{bad}");
        }
    }

    #[test]
    fn memory() {
        let parse = |text: &str| MemoryMax::try_from(text.to_owned()).map(MemoryMax::bytes);
        assert_eq!(parse("64M"), Ok(64 << 20));
        assert_eq!(parse("4G"), Ok(4 << 30));
        assert_eq!(parse("1T"), Ok(1 << 40));
        for bad in ["", "63M", "0G", "2T", "infinity", "50%", "1024", "-1G"] {
            assert_eq!(parse(bad), Err(InvalidMemoryMax), "{bad}");
        }
    }

    #[test]
    fn tasks() {
        let parse = |number| TasksMax::try_from(number).map(TasksMax::number);
        assert_eq!(parse(64), Ok(64));
        assert_eq!(parse(4_194_304), Ok(4_194_304));
        for bad in [i64::MIN, -1, 0, 63, 4_194_305, i64::MAX] {
            assert_eq!(parse(bad), Err(InvalidTasksMax), "{bad}");
        }
    }
}
