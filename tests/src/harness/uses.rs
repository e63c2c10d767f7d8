//! What the time of a test was spent on: each moment counts once.

use nixus_switcher::waits::Kind;

use crate::meter::{Cost, Wait};

/// The uses of time, in the order in which they count where several go on at once: what a test waits
/// for itself, then what the programs on its hosts wait for, then the rest.
pub const USES: [&str; 9] = [
    "booting", "sleeps", "Nix", "switch", "git", "other", "soak", "commands", "timers",
];
const BOOTING: usize = 0;
const SLEEPS: usize = 1;
const NIX: usize = 2;
const SWITCH: usize = 3;
const GIT: usize = 4;
const OTHER: usize = 5;
const SOAK: usize = 6;
const COMMANDS: usize = 7;
const TIMERS: usize = 8;

/// Nanoseconds for each use; what is in none of them the test spent by itself.
pub fn of(cost: &Cost) -> [u64; USES.len()] {
    let own = cost.own.iter().map(|&(wait, from, to)| {
        let what = match wait {
            Wait::Boot => BOOTING,
            Wait::Sleep => SLEEPS,
            Wait::Command => COMMANDS,
            // No program on a host is busy: a timer or an interval has to elapse.
            Wait::Host => TIMERS,
        };
        (what, from, to)
    });
    let hosts = cost
        .hosts
        .iter()
        .map(|line| (of_host(line.kind, &line.what), line.begun, line.ended));
    spent(
        &own.chain(hosts).collect::<Vec<_>>(),
        cost.begun,
        cost.ended,
    )
}

fn of_host(kind: Kind, what: &str) -> usize {
    match (kind, what.split_whitespace().next()) {
        (Kind::Soak, _) => SOAK,
        (Kind::Timer, _) => TIMERS,
        (Kind::Child, Some("nix" | "nix-build" | "nix-store")) => NIX,
        (Kind::Child, Some("git" | "ssh")) => GIT,
        (Kind::Child, Some("switch-to-configuration")) => SWITCH,
        _ => OTHER,
    }
}

/// Time goes to the first use of those that go on.
fn spent(stretches: &[(usize, u64, u64)], begun: u64, ended: u64) -> [u64; USES.len()] {
    let mut edges: Vec<(u64, usize, bool)> = Vec::new();
    for &(what, from, to) in stretches {
        let (from, to) = (from.clamp(begun, ended), to.clamp(begun, ended));
        if from < to {
            edges.extend([(from, what, true), (to, what, false)]);
        }
    }
    edges.sort_unstable();
    let mut times = [0; USES.len()];
    let mut open = [0_usize; USES.len()];
    let mut last = begun;
    for (at, what, begins) in edges {
        if let Some(first) = open.iter().position(|&count| count > 0) {
            times[first] += at - last;
        }
        last = at;
        open[what] = match begins {
            true => open[what] + 1,
            false => open[what].saturating_sub(1),
        };
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_counts_once_and_for_the_first_use() {
        let stretches = [
            (TIMERS, 10, 90),
            (NIX, 20, 30),
            (GIT, 25, 40),
            (NIX, 28, 35),
            (BOOTING, 0, 12),
            (COMMANDS, 95, 200),
        ];
        let times = spent(&stretches, 0, 100);
        assert_eq!(times[BOOTING], 12);
        assert_eq!(times[NIX], 15);
        assert_eq!(times[GIT], 5);
        assert_eq!(times[TIMERS], 90 - 12 - 20);
        assert_eq!(times[COMMANDS], 5);
        assert_eq!(times.iter().sum::<u64>(), 95);
    }

    #[test]
    fn a_stretch_of_no_length_hides_nothing() {
        let times = spent(&[(NIX, 5, 5), (TIMERS, 0, 10), (GIT, 10, 10)], 0, 10);
        assert_eq!((times[NIX], times[TIMERS]), (0, 10));
    }

    #[test]
    fn programs_on_hosts_are_named_by_what_they_are() {
        for (kind, what, expected) in [
            (Kind::Child, "nix build x", NIX),
            (Kind::Child, "git fetch", GIT),
            (Kind::Child, "switch-to-configuration test", SWITCH),
            (Kind::Child, "systemctl show", OTHER),
            (Kind::Sync, "/nix/store", OTHER),
            (Kind::Network, "sshd", OTHER),
            (Kind::Soak, "soak", SOAK),
            (Kind::Timer, "nixus-reconcile.timer", TIMERS),
        ] {
            assert_eq!(of_host(kind, what), expected, "{what}");
        }
    }
}
