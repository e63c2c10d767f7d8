//! The steps that make things durable, or come before others: each can be taken out, to see that
//! the search notices.

use std::fmt;

use crate::decide::phase::PhaseName;

/// A step that is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tooth {
    /// The sync of a journal file's content.
    JournalData,
    /// The sync of the journal's directory.
    JournalNames,
    /// The sync of the names of the journal's own directory, and of the one above it.
    JournalDir,
    /// The sync of an outcome's content.
    HistoryData,
    /// The sync of the history's directory.
    HistoryNames,
    /// The sync of the name of the history's own directory.
    HistoryDir,
    /// The sync of a new generation's name.
    GenerationName,
    /// The sync of which generation the profile names.
    ProfileName,
    /// The sync of store and profile before the activation.
    SyncBeforeActivation,
    /// The sync of store, profile and boot loader before it is called confirmed.
    SyncBeforeConfirmed,
    /// The sync after the old boot loader was put back.
    SyncOnTheWayBack,
    /// The watchdog of a phase.
    Watchdog(PhaseName),
    /// Seeing that the watchdog is armed.
    SeeWatchdog,
    /// The journal comes before the effect of this phase. The effect of *armed* only looks, so it
    /// goes with *activating*; that of *reverted* and *refused* may be done again.
    JournalFirst(PhaseName),
    /// The history comes before the journal forgets the deployment.
    HistoryFirst,
    /// The note that the rollback has begun.
    NoteOfTheWayBack,
    /// Reading back what the boot loader starts.
    ReadBootDefault,
    /// Reading back what the profile names.
    ReadProfile,
    /// Looking for lost addresses, routes and sockets.
    Network,
    /// Waiting for a carrier at the first boot.
    Carrier,
    /// The GC root of the candidate.
    RootCandidate,
    /// The GC root of the old system.
    RootOld,
    /// The GC root of the switcher.
    RootSwitcher,
    /// The GC roots of the last system that proved that it boots.
    RootBootProven,
    /// The profile that keeps the last system that proved that it boots in the boot menu.
    MenuBootProven,
}

/// All of them.
pub const TEETH: &[Tooth] = &[
    Tooth::JournalData,
    Tooth::JournalNames,
    Tooth::JournalDir,
    Tooth::HistoryData,
    Tooth::HistoryNames,
    Tooth::HistoryDir,
    Tooth::GenerationName,
    Tooth::ProfileName,
    Tooth::SyncBeforeActivation,
    Tooth::SyncBeforeConfirmed,
    Tooth::SyncOnTheWayBack,
    Tooth::Watchdog(PhaseName::Staged),
    Tooth::Watchdog(PhaseName::Activating),
    Tooth::Watchdog(PhaseName::OnTrial),
    Tooth::Watchdog(PhaseName::Committing),
    Tooth::Watchdog(PhaseName::Booted),
    Tooth::Watchdog(PhaseName::BootTrial),
    Tooth::Watchdog(PhaseName::Reverting),
    Tooth::Watchdog(PhaseName::CameBack),
    Tooth::SeeWatchdog,
    Tooth::JournalFirst(PhaseName::Staged),
    Tooth::JournalFirst(PhaseName::Activating),
    Tooth::JournalFirst(PhaseName::OnTrial),
    Tooth::JournalFirst(PhaseName::Committing),
    Tooth::JournalFirst(PhaseName::Confirmed),
    Tooth::JournalFirst(PhaseName::BootTrial),
    Tooth::JournalFirst(PhaseName::BootProven),
    Tooth::JournalFirst(PhaseName::Reverting),
    Tooth::HistoryFirst,
    Tooth::NoteOfTheWayBack,
    Tooth::ReadBootDefault,
    Tooth::ReadProfile,
    Tooth::Network,
    Tooth::Carrier,
    Tooth::RootCandidate,
    Tooth::RootOld,
    Tooth::RootSwitcher,
    Tooth::RootBootProven,
    Tooth::MenuBootProven,
];

impl fmt::Display for Tooth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JournalData => "fsync of a journal file",
            Self::JournalNames => "fsync of the journal's directory",
            Self::JournalDir => "fsync of the directories above the journal",
            Self::HistoryData => "fsync of an outcome",
            Self::HistoryNames => "fsync of the history's directory",
            Self::HistoryDir => "fsync of the directory above the history",
            Self::GenerationName => "fsync of a new generation's name",
            Self::ProfileName => "fsync of what the profile names",
            Self::SyncBeforeActivation => "sync before the activation",
            Self::SyncBeforeConfirmed => "sync before confirmed",
            Self::SyncOnTheWayBack => "sync after the old boot loader is back",
            Self::Watchdog(phase) => return write!(f, "watchdog before {phase}"),
            Self::SeeWatchdog => "seeing that the watchdog is armed",
            Self::JournalFirst(phase) => return write!(f, "journal before {phase}'s effect"),
            Self::HistoryFirst => "history before the journal forgets",
            Self::NoteOfTheWayBack => "note of a rollback that is not in the journal",
            Self::ReadBootDefault => "reading back the boot default",
            Self::ReadProfile => "reading back the profile",
            Self::Network => "looking for lost addresses and routes",
            Self::Carrier => "waiting for a carrier at the first boot",
            Self::RootCandidate => "GC root of the candidate",
            Self::RootOld => "GC roots of the old system",
            Self::RootSwitcher => "GC root of the switcher",
            Self::RootBootProven => "GC roots of the boot-proven system",
            Self::MenuBootProven => "the boot-proven system's place in the boot menu",
        })
    }
}

/// How a step that was taken out was noticed.
#[derive(Debug)]
pub struct Caught {
    /// The seed that shows it.
    pub seed: u64,
    /// The promise that it broke.
    pub promise: String,
    /// How many seeds were tried.
    pub runs: u64,
}

/// What few seeds notice, each with one that did: it is tried first, as the search up to it takes as
/// long as that for all others. What no longer notices is searched for as ever.
const RARE: [(Tooth, u64); 1] = [(Tooth::NoteOfTheWayBack, 3_147)];

/// Takes a step out and looks for a seed, below `seeds`, that notices.
pub fn catch(tooth: Tooth, seeds: u64) -> Option<Caught> {
    let known = RARE.iter().filter(|(rare, _)| *rare == tooth);
    let first = known.map(|(_, seed)| *seed);
    (1..).zip(first.chain(0..seeds)).find_map(|(runs, seed)| {
        let promise = super::run(seed, Some(tooth), false)?.broken?;
        // It is this step that is missed, and nothing else.
        let sound = super::run(seed, None, false)?.broken.is_none();
        sound.then_some(Caught {
            seed,
            promise,
            runs,
        })
    })
}
