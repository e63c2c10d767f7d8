//! The journal: what the switcher was doing, durable before it does it.
//!
//! Two files are written in turn, so that an interrupted write leaves the record before it. Each
//! is one line about the file, then the record as JSON that a person can read.

use std::cmp::Reverse;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::decide::phase::{Phase, PhaseName};
use crate::protocol::{BootId, Cause, Evidence, Request, SystemRef, newest_version};
use crate::state::disk::{Disk, keep_dir, write_atomic};
use crate::state::format;
use crate::state::layout::Layout;
use crate::state::network::{Network, Ways};
use crate::state::profile::Plan;

const SLOTS: [&str; 2] = ["journal-a.json", "journal-b.json"];
/// Evidence is at most 256 KiB, and a host has some thousand units.
const LIMIT: u64 = 4 << 20;

/// Why the journal could not be read or written. None of these stops the machine, all of them stop
/// activations.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each field is what its message names")]
pub enum JournalError {
    /// A file is there and cannot be read.
    #[error("cannot read the journal {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Neither file holds a whole record.
    #[error("the journal {path} is damaged: {what}")]
    Damaged { path: PathBuf, what: String },
    /// A newer release wrote it.
    #[error(
        "the journal {path} has version {version}, this release reads {}",
        crate::protocol::newest_version()
    )]
    Version { path: PathBuf, version: u32 },
    /// A record could not be made durable.
    #[error("cannot write the journal {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A record could not be turned into JSON.
    #[error("cannot encode the journal {path}")]
    Encode {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

/// All that the switcher remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How many outcomes are in the history.
    pub outcomes: u64,
    /// Where the open deployment is; idle where there is none.
    pub phase: Phase,
    /// The open deployment.
    pub deployment: Option<Deployment>,
    /// What was confirmed in place last, until it has proved that it boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<Unproven>,
}

/// A system that was confirmed in place. Its first boot is a trial again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unproven {
    /// What asked for it; its policy holds for the trial at boot too.
    pub request: Request,
    /// Its generation.
    pub plan: Option<Plan>,
    /// The boot in which it was confirmed.
    pub confirmed_in: BootId,
    /// Units that were failed before it came, since that boot.
    pub failed_before: Vec<String>,
    /// What its last trial at boot could not determine.
    pub told_nothing: Option<ToldNothing>,
    /// The ways that it had when it was confirmed.
    #[serde(default)]
    pub ways: Ways,
}

/// A trial at boot that was inconclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldNothing {
    /// The boot.
    pub boot: BootId,
    /// Why.
    pub cause: Cause,
    /// How often it was tried in this boot.
    pub trials: u32,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            outcomes: 0,
            phase: Phase::Idle,
            deployment: None,
            unproven: None,
        }
    }
}

/// What is known of the open deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// What was asked for.
    pub request: Request,
    /// What ran before.
    pub old: SystemRef,
    /// What the system profile named before; what the boot loader starts until the commit.
    pub persistent: SystemRef,
    /// The boot in which it began.
    pub boot: BootId,
    /// The last boot in which somebody worked on it. In another one, what is booted decides.
    pub seen_boot: BootId,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// Units of the old system that were active before.
    pub active_before: Vec<String>,
    /// Units that were failed before.
    pub failed_before: Vec<String>,
    /// The activation of the old system had failed, and may fail so again.
    #[serde(default)]
    pub activation_failed_before: bool,
    /// The default of the boot loader before, as far as it matters for what it is after.
    #[serde(default)]
    pub boot_before: BootBefore,
    /// The network before; nothing of it may be lost.
    #[serde(default)]
    pub network_before: Network,
    /// The generation that the commit sets, once it is decided.
    pub plan: Option<Plan>,
    /// The last evidence that came in, whatever it said.
    pub evidence: Option<Evidence>,
    /// The armed watchdog.
    pub watch: Option<Watch>,
    /// How often `switch-to-configuration` was run; makes unit names unique.
    pub runs: u32,
    /// How often somebody else took over; makes unit names unique. Timers say the time as well.
    pub takeovers: u32,
    /// It is not an activation, but the first boot of what was confirmed in place: the candidate was
    /// booted, and old and persistent are the boot-proven system.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub boot_trial: bool,
    /// The ways that the candidate had when it was confirmed, where this is its first boot.
    #[serde(default)]
    pub ways: Ways,
    /// Units that ran before and do not any more, although they were started again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_running: Vec<String>,
}

impl Deployment {
    /// Those whom this host needs, as far as the one who asked has said.
    pub fn ways_needed(&self) -> &[IpAddr] {
        let before = self.request.before.as_ref();
        before.map_or(&[], |before| &before.ways)
    }
}

/// What is known of the boot loader's default before it was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BootBefore {
    /// What its installer wrote could be read back; so it has to be afterwards.
    pub told: bool,
    /// It was pinned to another system already.
    pub pinned: bool,
}

/// A watchdog timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The phase that it watches.
    pub phase: PhaseName,
    /// Its unit, without `.timer`.
    pub unit: String,
    /// When the phase has to be over, in seconds of CLOCK_BOOTTIME. The timer itself fires a little
    /// later, so that a switcher that works is not overtaken by its watchdog.
    pub deadline: u64,
    /// The phase's limit in seconds.
    pub limit: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    sequence: u64,
    length: usize,
    checksum: String,
}

/// The journal of this host, opened for writing. Only the holder of the lock may have one.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    format: u32,
    sequence: u64,
    durable: Record,
    doubtful: bool,
    dir_kept: bool,
}

impl Journal {
    /// Reads what is there; a host without a journal is idle.
    ///
    /// # Errors
    /// A file of the journal cannot be read, or both are damaged or of a newer release.
    pub fn open(disk: &impl Disk, layout: &Layout) -> Result<Self, JournalError> {
        let dir = layout.state();
        let found = newest(disk, &dir)?;
        Ok(Self {
            dir,
            format: found.format,
            sequence: found.sequence,
            durable: found.record,
            doubtful: false,
            dir_kept: false,
        })
    }

    /// What is durable.
    pub fn record(&self) -> &Record {
        &self.durable
    }

    /// The version that is written: the one that was found, unless another was chosen.
    pub fn format(&self) -> u32 {
        self.format
    }

    /// Chooses the version that is written from now on.
    pub fn write_as(&mut self, format: u32) {
        self.format = format;
    }

    /// Whether a write failed, so that a record which was never acted on may be on the disk.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Makes `record` durable. On an error the one before still is, or both are and the older one
    /// is overwritten by the next write.
    ///
    /// # Errors
    /// The record cannot be written or synced.
    pub fn write(&mut self, disk: &impl Disk, record: &Record) -> Result<(), JournalError> {
        let sequence = self.sequence + 1;
        let path = self
            .dir
            .join(SLOTS[usize::from(sequence.is_multiple_of(2))]);
        let bytes =
            encode(self.format, sequence, record).map_err(|source| JournalError::Encode {
                path: path.clone(),
                source,
            })?;
        self.doubtful = true;
        let kept = if self.dir_kept {
            Ok(())
        } else {
            keep_dir(disk, &self.dir)
        };
        kept.and_then(|()| write_atomic(disk, &path, &bytes))
            .map_err(|source| JournalError::Write { path, source })?;
        self.dir_kept = true;
        self.doubtful = false;
        self.sequence = sequence;
        self.durable = record.clone();
        Ok(())
    }
}

/// Reads the journal without the lock, for those who only want to know. Each file is replaced as a
/// whole, so what is read is a record that was durable a moment ago.
///
/// # Errors
/// A file of the journal cannot be read, or both are damaged or of a newer release.
pub fn read(disk: &impl Disk, layout: &Layout) -> Result<Record, JournalError> {
    read_with_format(disk, layout).map(|(_, record)| record)
}

/// The same, with the version that it is written in.
///
/// # Errors
/// Those of [`read`].
pub fn read_with_format(disk: &impl Disk, layout: &Layout) -> Result<(u32, Record), JournalError> {
    newest(disk, &layout.state()).map(|found| (found.format, found.record))
}

/// How an operator goes on where the journal cannot be used.
pub const WAY_ON: &str = "nothing is activated until `nixus-switcher recover --set-aside-journal`";

/// Renames what is there of the journal to `<file>.damaged-<number>`, durably, so that a new one can
/// begin. A deployment that it told of is forgotten with it.
///
/// # Errors
/// A file cannot be renamed, or its folder synced.
pub fn set_aside(disk: &impl Disk, layout: &Layout) -> Result<Vec<PathBuf>, JournalError> {
    let dir = layout.state();
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::Write { path, source }
    };
    let names = match disk.list(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.map_err(failed(&dir))?,
    };
    let mut aside = Vec::new();
    for slot in SLOTS {
        if !names.iter().any(|name| name == slot) {
            continue;
        }
        let named = |number: u32| format!("{slot}.damaged-{number}");
        let mut number = 1;
        while names.contains(&named(number)) {
            number += 1;
        }
        let (path, to) = (dir.join(slot), dir.join(named(number)));
        disk.rename(&path, &to).map_err(failed(&path))?;
        aside.push(to);
    }
    disk.sync_dir(&dir).map_err(failed(&dir))?;
    Ok(aside)
}

/// The files of the journal.
pub fn files(layout: &Layout) -> [PathBuf; 2] {
    SLOTS.map(|slot| layout.state().join(slot))
}

/// What is in a file of the journal.
struct Found {
    format: u32,
    sequence: u64,
    record: Record,
}

/// A file of the journal that is whole; its record is not looked at yet.
#[derive(Debug)]
pub(crate) struct Slot {
    path: PathBuf,
    version: u32,
    sequence: u64,
    pub(crate) body: Vec<u8>,
}

fn newest(disk: &impl Disk, dir: &Path) -> Result<Found, JournalError> {
    let mut slots = Vec::new();
    let mut damaged = None;
    for slot in SLOTS {
        match read_slot(disk, &dir.join(slot)) {
            Ok(slot) => slots.extend(slot),
            Err(error @ JournalError::Damaged { .. }) => damaged = Some(error),
            Err(error) => return Err(error),
        }
    }
    slots.sort_by_key(|slot| Reverse(slot.sequence));
    for slot in slots {
        match format::decode(slot.version, &slot.body) {
            Ok(record) => {
                return Ok(Found {
                    format: slot.version,
                    sequence: slot.sequence,
                    record,
                });
            }
            Err(error) => {
                damaged = Some(JournalError::Damaged {
                    path: slot.path,
                    what: error.to_string(),
                });
            }
        }
    }
    match damaged {
        Some(error) => Err(error),
        None => Ok(Found {
            format: newest_version(),
            sequence: 0,
            record: Record::default(),
        }),
    }
}

fn encode(format: u32, sequence: u64, record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = format::encode(format, record)?;
    body.push(b'\n');
    let mut bytes = serde_json::to_vec(&Header {
        version: format,
        sequence,
        length: body.len(),
        checksum: checksum(&body),
    })?;
    bytes.push(b'\n');
    bytes.extend(body);
    Ok(bytes)
}

fn read_slot(disk: &impl Disk, path: &Path) -> Result<Option<Slot>, JournalError> {
    match disk.read(path, LIMIT) {
        Ok(bytes) => slot(path, bytes).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(JournalError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The content of a slot; `path` is for messages only.
pub(crate) fn slot(path: &Path, mut bytes: Vec<u8>) -> Result<Slot, JournalError> {
    let damaged = |what: String| JournalError::Damaged {
        path: path.to_owned(),
        what,
    };
    let split = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or_else(|| damaged("it has no first line".to_owned()))?;
    let (first, body) = (&bytes[..split], &bytes[split + 1..]);
    let header: Header =
        serde_json::from_slice(first).map_err(|error| damaged(error.to_string()))?;
    if !format::is_readable(header.version) {
        return Err(JournalError::Version {
            path: path.to_owned(),
            version: header.version,
        });
    }
    if header.length != body.len() || header.checksum != checksum(body) {
        return Err(damaged("its checksum is wrong".to_owned()));
    }
    bytes.drain(..=split);
    Ok(Slot {
        path: path.to_owned(),
        version: header.version,
        sequence: header.sequence,
        body: bytes,
    })
}

/// FNV-1a, 64 bits: enough to tell a torn or rotten file; nobody but root can write it.
pub fn checksum(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests;
