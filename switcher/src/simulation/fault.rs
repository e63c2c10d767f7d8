//! What goes wrong, and where.

/// What goes wrong at one point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The power is cut before it.
    PowerBefore,
    /// The power is cut after it, or half-way.
    PowerAfter,
    /// The switcher is killed before it.
    KillBefore,
    /// The switcher is killed after it, or half-way.
    KillAfter,
    /// It fails (EIO; a program ends with an error). It may have been done all the same.
    Fails,
    /// There is no space.
    Full,
    /// It never ends.
    Hangs,
}

/// In a burst the next fault comes within this many steps.
pub(super) const FAULTS_AT_ONCE: u64 = 8;

/// All kinds.
pub const KINDS: [Kind; 7] = [
    Kind::PowerBefore,
    Kind::PowerAfter,
    Kind::KillBefore,
    Kind::KillAfter,
    Kind::Fails,
    Kind::Full,
    Kind::Hangs,
];

/// How a switcher came to its end in the middle of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    Power,
    Killed,
    Hangs,
}

impl Kind {
    /// The end that this is, where it is one.
    pub(super) fn death(self) -> Option<Death> {
        match self {
            Self::PowerBefore | Self::PowerAfter => Some(Death::Power),
            Self::KillBefore | Self::KillAfter => Some(Death::Killed),
            Self::Hangs => Some(Death::Hangs),
            Self::Fails | Self::Full => None,
        }
    }
}

/// How the candidate and what is around it behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Story {
    /// All is well.
    Good,
    /// It is not a toplevel.
    Refused,
    /// Somebody else is switching.
    Busy,
    /// Its activation fails when it has stopped units.
    FailsHalfWay,
    /// Its activation fails before it has begun.
    FailsAtOnce,
    /// Its activation hangs.
    ActivationHangs,
    /// It needs a reboot.
    NeedsReboot,
    /// A unit fails.
    BreaksUnit,
    /// Its activation ends well, and the old system runs.
    DoesNotRun,
    /// Its checks fail.
    ChecksFail,
    /// Nobody confirms it.
    NobodyConfirms,
    /// Its boot loader cannot be installed.
    BootFails,
    /// Its boot loader cannot be installed the first time.
    BootFailsOnce,
    /// Its boot loader says that it is installed, and is not.
    BootLies,
    /// Its boot loader is installed, and said not to be.
    BootFailsLate,
    /// Somebody sets another generation while it is committed.
    ProfileTaken,
    /// Its checks fail, and then the old system does not come up, once.
    BackFailsOnce,
    /// Its checks fail, and then the old system does not come up.
    BackFails,
    /// Its boot loader cannot be installed, nor can the old one, once.
    BootBackFailsOnce,
    /// Its checks fail, and a route stays lost until a reboot.
    LosesRoute,
    /// Its checks fail, and a route stays lost until somebody mends it.
    LosesRouteForLong,
    /// It was confirmed in place, and its first boot is as good.
    BootsWell,
    /// Its checks fail when it is booted.
    ChecksFailAtBoot,
    /// The repository does not answer when it is booted.
    BootTellsNothing,
    /// Nobody hears of its checks when it is booted.
    BootIsMute,
    /// It crashes each time that it is booted, in the middle of its trial.
    BootPanics,
    /// Its checks fail when it is booted, and then the old boot loader cannot be installed, once.
    BootReturnFailsOnce,
    /// The same, and it never can.
    BootReturnFails,
    /// Its interface has no carrier when it is booted, and then it has.
    BootIsDark,
    /// Its interface never has a carrier when it is booted.
    BootStaysDark,
    /// When it is booted there is a carrier, and no route.
    BootHasNoRoute,
    /// Its interface is not there when it is booted.
    BootLacksCard,
}

impl Story {
    /// It begins with the first boot of a system that was confirmed in place.
    pub(super) fn begins_with_a_boot(self) -> bool {
        matches!(
            self,
            Self::BootsWell
                | Self::ChecksFailAtBoot
                | Self::BootTellsNothing
                | Self::BootIsMute
                | Self::BootPanics
                | Self::BootReturnFailsOnce
                | Self::BootReturnFails
                | Self::BootIsDark
                | Self::BootStaysDark
                | Self::BootHasNoRoute
                | Self::BootLacksCard
        )
    }
}

/// All stories; those that go furthest more often.
pub(super) const STORIES: [Story; 44] = [
    Story::Good,
    Story::Good,
    Story::Good,
    Story::Good,
    Story::Good,
    Story::Good,
    Story::Refused,
    Story::Busy,
    Story::FailsHalfWay,
    Story::FailsAtOnce,
    Story::ActivationHangs,
    Story::NeedsReboot,
    Story::BreaksUnit,
    Story::DoesNotRun,
    Story::ChecksFail,
    Story::ChecksFail,
    Story::NobodyConfirms,
    Story::BootFails,
    Story::BootFails,
    Story::BootFailsOnce,
    Story::BootFailsOnce,
    Story::BootFailsOnce,
    Story::BootLies,
    Story::BootFailsLate,
    Story::ProfileTaken,
    Story::BackFailsOnce,
    Story::BackFails,
    Story::BootBackFailsOnce,
    Story::LosesRoute,
    Story::LosesRoute,
    Story::LosesRouteForLong,
    Story::BootsWell,
    Story::BootsWell,
    Story::ChecksFailAtBoot,
    Story::ChecksFailAtBoot,
    Story::BootTellsNothing,
    Story::BootIsMute,
    Story::BootPanics,
    Story::BootReturnFailsOnce,
    Story::BootReturnFails,
    Story::BootIsDark,
    Story::BootStaysDark,
    Story::BootHasNoRoute,
    Story::BootLacksCard,
];
