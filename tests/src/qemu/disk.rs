//! A disk with a volatile write cache: a power cut loses what was not flushed.
//!
//! QEMU that is killed loses nothing which reached this machine's page cache, and so tests no
//! missing flush. Here a write stays in memory until the guest flushes, or asks for it to be durable
//! at once (FUA).

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// What is written as a whole or not at all, in bytes.
pub const BLOCK: u64 = 4096;

/// A disk in a file.
#[derive(Debug)]
pub struct Disk {
    file: File,
    size: u64,
    /// Blocks that were written and not flushed, whole.
    cache: BTreeMap<u64, Vec<u8>>,
    counts: Counts,
}

/// What was done with a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes.
    pub writes: u64,
    /// Flushes.
    pub flushes: u64,
    /// Blocks of [`BLOCK`] bytes that were lost at power cuts.
    pub lost: u64,
    /// Blocks that were not flushed and survived nevertheless.
    pub survived: u64,
}

/// Which of the blocks that were not flushed survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// None.
    None,
    /// About half of them, chosen by this seed: a disk may write in any order.
    Half(u64),
}

impl Disk {
    /// Opens an image, whose size is a multiple of [`BLOCK`].
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            file,
            size,
            cache: BTreeMap::new(),
            counts: Counts::default(),
        })
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many blocks a power cut would lose now.
    pub fn unflushed(&self) -> usize {
        self.cache.len()
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Reads what was written last, durable or not.
    ///
    /// # Errors
    /// When the range is not on the disk, or the image cannot be read.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.check(offset, bytes.len())?;
        self.file.read_exact_at(bytes, offset)?;
        for (block, within, range) in pieces(offset, bytes.len()) {
            if let Some(cached) = self.cache.get(&block) {
                let length = range.len();
                bytes[range].copy_from_slice(&cached[within..within + length]);
            }
        }
        Ok(())
    }

    /// Writes; what is `durable` survives a power cut.
    ///
    /// # Errors
    /// When the range is not on the disk, or the image cannot be used.
    pub fn write(&mut self, offset: u64, bytes: &[u8], durable: bool) -> io::Result<()> {
        self.check(offset, bytes.len())?;
        self.counts.writes += 1;
        for (block, within, range) in pieces(offset, bytes.len()) {
            let mut whole = match self.cache.remove(&block) {
                Some(cached) => cached,
                None => {
                    let mut whole = vec![0; BLOCK as usize];
                    self.file.read_exact_at(&mut whole, block * BLOCK)?;
                    whole
                }
            };
            whole[within..within + range.len()].copy_from_slice(&bytes[range]);
            if durable {
                self.file.write_all_at(&whole, block * BLOCK)?;
            } else {
                self.cache.insert(block, whole);
            }
        }
        Ok(())
    }

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// When the image cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.counts.flushes += 1;
        for (block, whole) in std::mem::take(&mut self.cache) {
            self.file.write_all_at(&whole, block * BLOCK)?;
        }
        Ok(())
    }

    /// Cuts the power: of what was not flushed, this survives.
    ///
    /// # Errors
    /// When the image cannot be written.
    pub fn cut(&mut self, survival: Survival) -> io::Result<()> {
        let mut state = match survival {
            Survival::None => None,
            Survival::Half(seed) => Some(seed),
        };
        for (block, whole) in std::mem::take(&mut self.cache) {
            if state.as_mut().is_some_and(|state| next(state) & 1 == 1) {
                self.counts.survived += 1;
                self.file.write_all_at(&whole, block * BLOCK)?;
            } else {
                self.counts.lost += 1;
            }
        }
        Ok(())
    }

    fn check(&self, offset: u64, length: usize) -> io::Result<()> {
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(())
    }
}

/// The blocks that a range touches: number, where in the block it begins, which part of the range.
fn pieces(
    offset: u64,
    length: usize,
) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= length {
            return None;
        }
        let position = offset + at as u64;
        let within = (position % BLOCK) as usize;
        let end = length.min(at + BLOCK as usize - within);
        let piece = (position / BLOCK, within, at..end);
        at = end;
        Some(piece)
    })
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does things with a disk of eight blocks of zeroes, cuts the power, and gives each block's
    /// first byte.
    fn check(act: impl FnOnce(&mut Disk) -> io::Result<()>, survival: Survival) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        std::fs::write(&path, vec![0; 8 * BLOCK as usize]).unwrap();
        let mut disk = Disk::open(&path).unwrap();
        act(&mut disk).unwrap();
        disk.cut(survival).unwrap();
        let image = std::fs::read(&path).unwrap();
        image.chunks(BLOCK as usize).map(|block| block[0]).collect()
    }

    #[test]
    fn what_was_flushed_survives_and_nothing_else_does() {
        let kept = check(
            |disk| {
                disk.write(0, &[1], false)?;
                disk.flush()?;
                disk.write(BLOCK, &[2], true)?;
                disk.write(2 * BLOCK, &[3], false)?;
                disk.write(0, &[4], false)
            },
            Survival::None,
        );
        assert_eq!(kept, [1, 2, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_seed_decides_what_else_survives() {
        let act = |disk: &mut Disk| disk.write(0, &[7; 8 * BLOCK as usize], false);
        let kept = check(act, Survival::Half(3));
        assert_eq!(kept, check(act, Survival::Half(3)));
        assert!(kept.contains(&0) && kept.contains(&7), "{kept:?}");
    }

    #[test]
    fn what_was_written_last_is_read() {
        let kept = check(
            |disk| {
                let text = vec![5; BLOCK as usize + 2];
                disk.write(BLOCK - 1, &text, false)?;
                let mut read = vec![9; BLOCK as usize + 4];
                disk.read(BLOCK - 2, &mut read)?;
                assert_eq!((read[0], read[1], read[BLOCK as usize + 2]), (0, 5, 5));
                assert_eq!(read[BLOCK as usize + 3], 0);
                assert!(disk.read(8 * BLOCK - 1, &mut [0; 2]).is_err());
                assert!(disk.write(u64::MAX, &[0; 2], false).is_err());
                Ok(())
            },
            Survival::None,
        );
        assert_eq!(kept, [0; 8]);
    }
}
