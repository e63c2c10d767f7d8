//! What is tried, as a table.

use lab::qemu::disk::Survival;

/// One deployment, and what happens to it.
#[derive(Debug)]
pub struct Case {
    /// What is tried.
    pub name: &'static str,
    /// Nix that makes the deployment end in its own way.
    pub describe: &'static str,
    /// The fault point at which the switcher is stopped.
    pub point: &'static str,
    /// What happens then.
    pub fault: Fault,
    /// What must run afterwards.
    pub then: Then,
    /// It is part of a quick run.
    pub quick: bool,
}

/// What happens at the point.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Nothing; there is no such point.
    None,
    /// The power is cut, and this survives of what was not flushed.
    PowerCut(Survival),
    /// The same; in the boot that follows, the power is cut again at this point.
    PowerCutTwice(&'static str),
    /// The same; in the boot that follows, the machine's clock shows this time.
    ClockLost(&'static str),
    /// The kernel panics.
    Panic,
    /// PID 1 hangs, and the hardware's watchdog resets the machine.
    Freeze,
    /// There is no room left in `/boot`; the switcher goes on.
    FullBoot,
    /// The clock is set, as `date --set` takes it; the switcher goes on.
    ClockSet(&'static str),
    /// The same, and the switcher is killed: its watchdog is all that there is.
    ClockSetAndKilled(&'static str),
}

/// What must run in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// What ran before.
    Old,
    /// What was deployed.
    New,
    /// Either; where it is the new one, it was confirmed.
    Either,
}

/// A commit with nothing wrong.
pub const PLAIN: Case = Case {
    name: "the next commit",
    describe: "",
    point: "",
    fault: Fault::None,
    then: Then::New,
    quick: true,
};

const FAILS: &str = r#"systemd.services.broken = {
  wantedBy = [ "multi-user.target" ];
  serviceConfig = { Type = "oneshot"; ExecStart = "/bin/false"; };
};"#;
const CANNOT_BE_PERMANENT: &str = r#"lab.break.bootloader = "fail";"#;
/// Another kernel needs room in `/boot`.
const NEXT_KERNEL: &str = r#"lab.bootFiles = lib.mkForce "/usr/lib/lab-boot-next";"#;

const fn case(
    name: &'static str,
    describe: &'static str,
    point: &'static str,
    fault: Fault,
    then: Then,
) -> Case {
    Case {
        name,
        describe,
        point,
        fault,
        then,
        quick: false,
    }
}

const fn quick(case: Case) -> Case {
    Case {
        quick: true,
        ..case
    }
}

use Fault::{
    ClockLost, ClockSet, ClockSetAndKilled, Freeze, FullBoot, Panic, PowerCut, PowerCutTwice,
};
use Survival::{Half, None};
use Then::{Either, New, Old};

/// All cases. One must not pass the point of the next one while it recovers.
pub const CASES: [Case; 17] = [
    quick(case(
        "power cut on trial",
        "",
        "after-journal-on-trial",
        PowerCut(None),
        Old,
    )),
    case(
        "power cut while committing",
        "",
        "after-set-profile",
        PowerCut(Half(1)),
        Either,
    ),
    case(
        "power cut once confirmed",
        "",
        "after-journal-confirmed",
        PowerCut(None),
        New,
    ),
    quick(case(
        "power cut before the commit",
        "",
        "after-journal-committing",
        PowerCut(None),
        Either,
    )),
    case(
        "power cut with the boot loader set",
        "",
        "after-install-boot",
        PowerCut(Half(2)),
        Either,
    ),
    case(
        "power cut with the commit checked",
        "",
        "after-check-commit",
        PowerCut(None),
        Either,
    ),
    case(
        "power cut while reverting",
        FAILS,
        "after-restore-system",
        PowerCut(None),
        Old,
    ),
    case(
        "power cut with the profile put back",
        CANNOT_BE_PERMANENT,
        "after-restore-profile",
        PowerCut(Half(3)),
        Old,
    ),
    case(
        "power cut once reverted",
        CANNOT_BE_PERMANENT,
        "after-journal-reverted",
        PowerCut(None),
        Old,
    ),
    case(
        "power cut while committing and while recovering",
        "",
        "after-install-boot",
        PowerCutTwice("after-restore-profile"),
        Either,
    ),
    case(
        "power cut and the clock lost",
        "",
        "after-journal-on-trial",
        ClockLost("2001-01-01"),
        Old,
    ),
    case(
        "kernel panic on trial",
        "",
        "after-journal-on-trial",
        Panic,
        Old,
    ),
    case("frozen on trial", "", "after-journal-on-trial", Freeze, Old),
    case(
        "/boot full",
        NEXT_KERNEL,
        "before-install-boot",
        FullBoot,
        Old,
    ),
    case(
        "clock set forward on trial",
        "",
        "after-journal-on-trial",
        ClockSet("next year"),
        New,
    ),
    quick(case(
        "clock set back on trial",
        "",
        "after-journal-on-trial",
        ClockSet("last year"),
        New,
    )),
    case(
        "clock set back on trial and the switcher killed",
        "",
        "after-journal-on-trial",
        ClockSetAndKilled("last year"),
        Old,
    ),
];
