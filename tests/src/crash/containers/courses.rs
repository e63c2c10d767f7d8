//! What is tried: how a deployment ends with which nothing interferes, where, and what happens there.

use lab::descriptions::{FAILS_AT_BOOT, LOADER_FAILS, UNIT_FAILS};

/// Only a first boot that is not well waits for a time limit: watchdogs are fired by hand. What is asked for
/// in [`AT_BOOT`] is there again after each boot, before anything of ours runs.
pub const COMMON: &str = r#"  imports = [
    (
      { lib, ... }:
      {
        # They are told of each commit: passes of all hosts each two seconds take an eighth of two processors.
        services.nixus.interval = lib.mkForce "10s";
        services.nixus.settings.switch.activation_timeout = lib.mkForce "5m";
        services.nixus.settings.switch.trial_timeout = lib.mkForce "1m";
      }
    )
  ];
  systemd.services.lab-faults = {
    wantedBy = [ "multi-user.target" ];
    before = [ "nixus-recover.service" ];
    serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
    script = ''
      mkdir -p /run/nixus
      if [ -e /var/lib/lab-fault ]; then cp /var/lib/lab-fault /run/nixus/fault; fi
      if [ -e /var/lib/lab-faults-passed ]; then
        ln -sfn /var/lib/lab-faults-passed /run/nixus/faults-passed
      fi
    '';
  };
"#;
/// The point at which to stop in the next boots; gone when it is removed.
pub const AT_BOOT: &str = "/var/lib/lab-fault";
/// The points that were passed since it was made, over all boots.
pub const PASSED_AT_BOOT: &str = "/var/lib/lab-faults-passed";

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `kill -9` of the process that got there.
    Killed,
    /// `kill -9` of everything of ours.
    AllKilled,
    /// The host's processes and `/run` are lost.
    PowerCut,
}

pub const KINDS: [Kind; 3] = [Kind::Killed, Kind::AllKilled, Kind::PowerCut];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::AllKilled => "all-killed",
            Self::PowerCut => "power-cut",
        }
    }
}

/// What becomes of a deployment with which nothing interferes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    Kept,
    Fails,
    CannotBePermanent,
    /// It is kept, and its first boot is well.
    Boots,
    /// It is kept, and its first boot is not.
    FailsAtBoot,
}

pub const COURSES: [Course; 5] = [
    Course::Kept,
    Course::Fails,
    Course::CannotBePermanent,
    Course::Boots,
    Course::FailsAtBoot,
];

/// What a quick run plays: one that is kept, one that is taken back everywhere, and a first boot.
pub const QUICK_COURSES: [Course; 3] = [Course::Kept, Course::CannotBePermanent, Course::Boots];

impl Course {
    /// The host's description; `mark` makes it another system than all before.
    pub fn describe(self, mark: &str) -> String {
        let broken = match self {
            Self::Kept | Self::Boots => "",
            Self::Fails => UNIT_FAILS,
            Self::CannotBePermanent => LOADER_FAILS,
            Self::FailsAtBoot => FAILS_AT_BOOT,
        };
        format!("environment.etc.\"mark\".text = \"{mark}\";\n{broken}")
    }

    /// Whether it is kept before anything is booted.
    pub fn is_kept(self) -> bool {
        !matches!(self, Self::Fails | Self::CannotBePermanent)
    }

    /// Whether its points are passed in its first boot.
    pub fn is_of_a_boot(self) -> bool {
        matches!(self, Self::Boots | Self::FailsAtBoot)
    }
}

/// One thing to try.
#[derive(Debug, Clone)]
pub struct Case {
    /// How the deployment would end.
    pub course: Course,
    /// Where something happens.
    pub point: String,
    /// What.
    pub kind: Kind,
}

impl Case {
    /// Its name, as `--case` takes it.
    pub fn name(&self) -> String {
        let boot = if self.course.is_of_a_boot() {
            ", at boot"
        } else {
            ""
        };
        format!("{} at {}{boot}", self.kind.name(), self.point)
    }
}
