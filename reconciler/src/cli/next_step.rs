//! What happens next, for each reason to wait: the sentence below it in `nixus status`.

use crate::decide::plan::Reason;

/// The same where a deployment is open and nobody works on it.
pub const ABANDONED: &str =
    "the next pass has the deployment settled that nobody works on, or its watchdog does";

/// What will happen next, and what would change it.
pub fn next(reason: &Reason) -> String {
    match reason {
        Reason::UpToDate { .. } => "the next pass looks for a newer commit".to_owned(),
        Reason::NotAdopted => {
            "nothing, until an operator runs `nixus adopt` on this host".to_owned()
        }
        Reason::DeploymentOpen { deployment } => format!(
            "the switcher confirms or reverts {deployment} within its deadlines, then a pass follows"
        ),
        Reason::DeploymentEnded { .. } => {
            "the next pass takes up how it ended, and looks for a newer commit".to_owned()
        }
        Reason::Stuck { .. } => {
            "polling goes on, activations do not, until what is wrong is put right, or `nixus-switcher revert`".to_owned()
        }
        Reason::Quarantined { .. } => {
            "a commit that makes another system is deployed; this one only after `nixus retry`"
                .to_owned()
        }
        Reason::Inconclusive { .. } => {
            "a commit that makes another system is deployed; this one again after `nixus retry`"
                .to_owned()
        }
        Reason::RebootNeeded { toplevel, .. } => format!(
            "a commit that makes another system is deployed; to boot into this one: `nix-env --profile /nix/var/nix/profiles/system --set {toplevel}`, `{toplevel}/bin/switch-to-configuration boot`, reboot"
        ),
        Reason::NoManifest { .. } => {
            "the next pass asks again; once CI has pushed a manifest with this host in it, what it built is fetched"
                .to_owned()
        }
        Reason::Baseline { .. } => {
            "the next pass looks again; once the running system is sound, the commit is deployed"
                .to_owned()
        }
        Reason::PeersOnTrial { .. } => {
            "the next pass asks the peers again; once their trials are over, the commit is deployed"
                .to_owned()
        }
        Reason::HistoryRewritten { accepted, .. } => format!(
            "a head that descends from {} is deployed; to follow the new history: `nixus adopt --again`",
            accepted.short()
        ),
        Reason::BackingOff { until, .. } => {
            format!("the first pass after {until:.0} tries again; sooner after `nixus retry`")
        }
        Reason::NoBranch => {
            "the next pass asks again; what runs stays until the branch is back".to_owned()
        }
        Reason::BootedOther => {
            "nothing, until a reboot into the default, or until this generation is made the default"
                .to_owned()
        }
        Reason::Drifted { .. } => {
            "the next boot starts what was set by hand, until somebody sets the profile and the boot default back: `nixus rollback`, or `switch.drift = \"correct\"`".to_owned()
        }
        Reason::BootPinned { how, .. } => {
            let undo = how.rsplit_once(": ").map_or(how.as_str(), |(_, undo)| undo);
            format!("commits are taken as before, unless `switch.drift = \"refuse\"`; the next boot starts what is kept after: {undo}")
        }
        Reason::StateDamaged { .. } => {
            "nothing is built or activated, until an operator runs `nixus adopt --again`".to_owned()
        }
        Reason::JournalDamaged { .. } => {
            "nothing is built or activated, and what runs is left alone, until an operator runs `nixus-switcher recover --set-aside-journal`".to_owned()
        }
        Reason::PassOverdue { .. } => {
            "nothing is deployed until a pass ends: see `systemctl status nixus-reconcile.service`, end what hangs, and raise `passes.timeout` where it was work"
                .to_owned()
        }
        Reason::Suspended { until, .. } => match until {
            Some(until) => format!(
                "the branch is watched; after {until:.0}, or `nixus resume`, its head is deployed"
            ),
            None => "the branch is watched; after `nixus resume` its head is deployed".to_owned(),
        },
    }
}
