//! What a build may take of the host.

use std::fmt;
use std::str::FromStr;

/// What evaluation and build together may take of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most memory; what would go beyond is killed with the whole build.
    pub memory: MemoryLimit,
    /// The share of the processor when others want it too; a service has 100 by default.
    pub cpu_weight: u32,
}

impl Default for Limits {
    /// The rest of the memory stays with what the host is there for.
    fn default() -> Self {
        Self {
            memory: MemoryLimit::Percent(75),
            cpu_weight: 20,
        }
    }
}

/// A limit on memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// In bytes.
    Bytes(u64),
    /// In percent of the host's memory; 100 is not a limit.
    Percent(u8),
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl MemoryLimit {
    /// As it may be written in the configuration file; [`fmt::Display`] is for systemd.
    pub fn written(self) -> String {
        let Self::Bytes(bytes) = self else {
            return self.to_string();
        };
        // What was read is a whole number of the least unit.
        let (unit, shift) = UNITS
            .into_iter()
            .rev()
            .find(|(_, shift)| bytes % (1_u64 << shift) == 0)
            .unwrap_or(("KiB", 10));
        format!("{}{unit}", bytes >> shift)
    }
}

/// Units with their power of two.
const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

/// The least limit: below it, no evaluation of a system can succeed.
const LEAST: u64 = 64 * 1024 * 1024;

impl FromStr for MemoryLimit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.parse().ok().filter(|one| (1..=100).contains(one));
            return percent.map(Self::Percent).ok_or(());
        }
        UNITS
            .iter()
            .find_map(|(unit, shift)| {
                let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
                number.checked_mul(1_u64 << shift)
            })
            .filter(|bytes| *bytes >= LEAST)
            .map(Self::Bytes)
            .ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_bytes_with_a_unit_or_percent() {
        let table = [
            ("2GiB", Ok(MemoryLimit::Bytes(2 << 30))),
            ("512 MiB", Ok(MemoryLimit::Bytes(512 << 20))),
            ("75%", Ok(MemoryLimit::Percent(75))),
            ("100%", Ok(MemoryLimit::Percent(100))),
            ("0%", Err(())),
            ("101%", Err(())),
            ("1MiB", Err(())),
            ("2GB", Err(())),
            ("2", Err(())),
            ("-2GiB", Err(())),
            ("99999999999999TiB", Err(())),
            ("", Err(())),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse(), expected, "{text}");
        }
        assert_eq!(MemoryLimit::Bytes(1024).to_string(), "1024");
        assert_eq!(MemoryLimit::Percent(50).to_string(), "50%");
    }
}
