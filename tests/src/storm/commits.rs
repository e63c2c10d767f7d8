//! What a commit of the storm does to a host: what is good and what is broken in it, and how it has to end.

use clap::ValueEnum;
use lab::descriptions as nix;
use lab::fleet::UNCHECKED;
use serde::{Deserialize, Serialize};

/// The service that runs on every host all the time.
pub const SERVICE: &str = "storm";
/// The file of a system that names the commit which it was made for.
pub const MARK: &str = "storm-mark";

/// What a commit says of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Plain,
    Unchanged,
    Service,
    SlowBuild,
    SlowActivation,
    SlowTrial,
    SlowLoader,
    KilledOnce,
    SnippetFails,
    ActivationFails,
    ActivationDies,
    ActivationHangs,
    UnitFails,
    ServiceRefused,
    ServiceStopped,
    MountFails,
    NetworkBroken,
    DoorsShut,
    WayOutShut,
    KeysRemoved,
    OperatorsRemoved,
    SshdUnreadable,
    SshdAcceptsNoKey,
    SshdForcesCommand,
    SshdStops,
    NixusRemoved,
    NixusStopped,
    TimerMasked,
    TimerLate,
    NoPass,
    NoVerification,
    PassWithoutNetwork,
    WrongUrl,
    NoDeployKey,
    WrongConfiguration,
    NixConfBroken,
    NixBuildsNothing,
    Reboots,
    LoaderFails,
    LoaderHangs,
    NeedsReboot,
    DoesNotEvaluate,
    DoesNotBuild,
    Isolates,
    FailsAtBoot,
}

/// How a commit has to end on a host, whatever else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Kept,
    NotKept,
    /// Kept or not, depending on what else happens, a boot for example.
    Either,
}

impl Kind {
    /// Its name in tables.
    pub fn name(self) -> String {
        name(self)
    }

    /// How it has to end.
    pub fn end(self) -> End {
        match self {
            Self::Plain
            | Self::Unchanged
            | Self::Service
            | Self::SlowBuild
            | Self::SlowActivation
            | Self::SlowTrial
            | Self::SlowLoader
            | Self::KilledOnce => End::Kept,
            Self::Isolates | Self::FailsAtBoot => End::Either,
            _ => End::NotKept,
        }
    }

    /// The description of the host with this number; `mark` makes it another system than all before.
    pub fn describe(self, mark: &str, number: u8) -> String {
        let more = self.lines(mark, number);
        let mark = format!("environment.etc.\"{MARK}\".text = \"{mark}\";\n");
        match self.end() {
            // What an evaluation would refuse is to reach the host.
            End::NotKept => format!("{mark}{UNCHECKED}{more}"),
            End::Kept | End::Either => format!("{mark}{more}"),
        }
    }

    fn lines(self, mark: &str, number: u8) -> String {
        let fixed = match self {
            Self::Plain | Self::Unchanged => "",
            Self::SlowLoader => nix::LOADER_IS_SLOW,
            Self::SnippetFails => nix::SNIPPET_FAILS,
            Self::ActivationFails => nix::ACTIVATION_FAILS,
            Self::ActivationDies => nix::ACTIVATION_DIES,
            Self::ActivationHangs => nix::ACTIVATION_HANGS,
            Self::UnitFails => nix::UNIT_FAILS,
            Self::MountFails => nix::NEEDED_MOUNT,
            Self::KeysRemoved => nix::NO_KEYS,
            Self::OperatorsRemoved => nix::NO_OPERATORS,
            Self::SshdUnreadable => nix::SSHD_CONFIGURATION_IS_NONE,
            Self::SshdAcceptsNoKey => nix::SSHD_ACCEPTS_NO_KEY,
            Self::SshdForcesCommand => nix::SSHD_FORCES_A_COMMAND,
            Self::SshdStops => nix::SSHD_STOPS,
            Self::NixusRemoved => nix::NO_NIXUS,
            Self::TimerMasked => nix::TIMER_MASKED,
            Self::TimerLate => nix::TIMER_IS_LATE,
            Self::NoPass => nix::NO_PASS,
            Self::NoVerification => nix::NO_VERIFICATION,
            Self::PassWithoutNetwork => nix::PASS_WITHOUT_NETWORK,
            Self::WrongUrl => nix::WRONG_URL,
            Self::NoDeployKey => nix::NO_DEPLOY_KEY,
            Self::WrongConfiguration => nix::WRONG_CONFIGURATION,
            Self::NixConfBroken => nix::NIX_CONF_IS_BROKEN,
            Self::NixBuildsNothing => nix::NIX_BUILDS_NOTHING,
            Self::LoaderFails => nix::LOADER_FAILS,
            Self::LoaderHangs => nix::LOADER_HANGS,
            Self::NeedsReboot => nix::OTHER_INIT,
            Self::DoesNotEvaluate => nix::DOES_NOT_EVALUATE,
            Self::DoesNotBuild => nix::DOES_NOT_BUILD,
            Self::FailsAtBoot => nix::FAILS_AT_BOOT,
            _ => return self.made_lines(mark, number),
        };
        fixed.to_owned()
    }

    /// The lines that are not the same each time.
    fn made_lines(self, mark: &str, number: u8) -> String {
        match self {
            Self::Service => nix::service("shop", mark, ""),
            Self::SlowBuild => nix::slow_build(6),
            Self::SlowActivation => nix::order("true"),
            Self::SlowTrial => nix::slow_trial(8),
            Self::KilledOnce => nix::killed_once(&format!("/var/lib/{mark}")),
            // A line that systemd does not understand, for a service that runs.
            Self::ServiceRefused => format!(
                r#"systemd.services.{SERVICE}.serviceConfig.ExecStart = lib.mkForce "sleep infinity --serve \"unbalanced";"#
            ),
            Self::ServiceStopped => format!(
                r#"systemd.services.stops-{SERVICE} = {{
                  wantedBy = [ "multi-user.target" ];
                  after = [ "{SERVICE}.service" ];
                  serviceConfig = {{ Type = "oneshot"; ExecStart = "systemctl stop {SERVICE}.service"; }};
                }};"#
            ),
            Self::NetworkBroken => nix::renumbered(&format!("10.99.0.{number}/24")),
            Self::DoorsShut => nix::firewall(nix::INBOUND),
            Self::WayOutShut => nix::firewall(nix::OUTBOUND),
            Self::NixusStopped => nix::order("systemctl stop --no-block 'nixus-*'"),
            Self::Isolates => nix::order("systemctl isolate --no-block rescue.target"),
            // Only in a switch: the activation of a boot would reboot for ever.
            Self::Reboots => r#"system.activationScripts.reboots =
                "if [ \"$NIXOS_ACTION\" = test ]; then systemctl reboot || true; sleep 20; fi";"#
                .to_owned(),
            _ => String::new(),
        }
    }
}

/// What all hosts have besides.
pub fn common() -> String {
    format!(
        "  services.nixus.settings.switch.commit_timeout = \"30s\";\n  {}\n",
        nix::service(SERVICE, "always", "")
    )
}

/// The name of one of the values that can be drawn.
pub fn name(value: impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_says_something_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for kind in Kind::value_variants() {
            let lines = kind.describe("a", 11);
            let is_silent = matches!(kind, Kind::Plain | Kind::Unchanged);
            assert!(seen.insert(lines) || is_silent, "{kind:?} says nothing new");
        }
    }
}
