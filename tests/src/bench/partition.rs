//! Whose time it was: what a stretch of time was spent on, from the waits of all programs.

use nixus_switcher::waits::{Kind, Line};

/// What a moment is spent on; what stands first counts where several go on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// The end of a program of this name.
    Child(Name),
    /// Data to reach the disk.
    Sync,
    /// Another host that our own programs speak to.
    Network,
    /// The checks to go on passing.
    Soak,
    /// The timer of the generation on trial to start its pass.
    Timer,
    /// Nothing: it is our own.
    Own,
}

/// Programs, as the table names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// git and its ssh: the network.
    Git,
    /// Nix.
    Nix,
    /// `switch-to-configuration`.
    Switch,
    /// systemd's programs, and any other.
    Other,
}

/// A stretch of time, and the waits of all programs in it.
#[derive(Debug)]
pub struct Stretch<'a> {
    lines: &'a [Line],
    begun: u64,
    ended: u64,
}

impl<'a> Stretch<'a> {
    /// A stretch between two times in nanoseconds.
    pub fn new(lines: &'a [Line], begun: u64, ended: u64) -> Self {
        Self {
            lines,
            begun,
            ended,
        }
    }

    /// Its length in milliseconds.
    pub fn length(&self) -> f64 {
        milliseconds(self.ended.saturating_sub(self.begun))
    }

    /// How much of it was spent so, in milliseconds. All uses together are its length.
    pub fn spent(&self, what: Use) -> f64 {
        let mut edges: Vec<u64> = self
            .lines
            .iter()
            .flat_map(|line| [line.begun, line.ended])
            .chain([self.begun, self.ended])
            .map(|edge| edge.clamp(self.begun, self.ended))
            .collect();
        edges.sort_unstable();
        let pieces = edges.windows(2).filter_map(|pair| match pair {
            [from, to] if self.use_of(*from, *to) == what => Some(to - from),
            _ => None,
        });
        milliseconds(pieces.sum())
    }

    /// How long it took until a program of this name was started, in milliseconds.
    pub fn until(&self, name: Name) -> Option<f64> {
        let children = self.lines.iter().filter(|line| line.kind == Kind::Child);
        let begun = children
            .filter(|line| self::name(&line.what) == name && line.begun >= self.begun)
            .map(|line| line.begun)
            .min()?;
        Some(milliseconds(begun - self.begun))
    }

    /// A piece between two neighbouring edges is of one use.
    fn use_of(&self, from: u64, to: u64) -> Use {
        let over = |kind: Kind| {
            self.lines
                .iter()
                .filter(move |line| line.kind == kind && line.begun <= from && line.ended >= to)
        };
        // The one that began last is inside the others.
        if let Some(line) = over(Kind::Child).max_by_key(|line| line.begun) {
            Use::Child(name(&line.what))
        } else if over(Kind::Sync).next().is_some() {
            Use::Sync
        } else if over(Kind::Network).next().is_some() {
            Use::Network
        } else if over(Kind::Soak).next().is_some() {
            Use::Soak
        } else if over(Kind::Timer).next().is_some() {
            Use::Timer
        } else {
            Use::Own
        }
    }
}

fn name(what: &str) -> Name {
    match what.split_whitespace().next() {
        Some("git" | "ssh") => Name::Git,
        Some("nix" | "nix-build") => Name::Nix,
        Some("switch-to-configuration") => Name::Switch,
        _ => Name::Other,
    }
}

/// When a new head was seen, and when it was confirmed: after the listing that came before the
/// first fetch, and when the switcher, whose journal says so by then, began to write its history.
pub fn seen_and_confirmed(lines: &[Line]) -> Option<(u64, u64)> {
    let children = || lines.iter().filter(|line| line.kind == Kind::Child);
    let fetch = children()
        .filter(|line| line.what.contains(" fetch "))
        .min_by_key(|line| line.begun)?;
    let seen = children()
        .filter(|line| line.process == fetch.process && line.ended <= fetch.begun)
        .map(|line| line.ended)
        .max()?;
    let history = lines
        .iter()
        .filter(|line| line.kind == Kind::Sync && line.what.contains("/switcher/history/"))
        .min_by_key(|line| line.begun)?;
    Some((seen, history.begun))
}

fn milliseconds(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: Kind, what: &str, begun: u64, ended: u64) -> Line {
        let (begun, ended) = (begun * 1_000_000, ended * 1_000_000);
        Line {
            process: 1,
            kind,
            what: what.to_owned(),
            begun,
            ended,
        }
    }

    fn example() -> Vec<Line> {
        vec![
            line(Kind::Child, "ssh git@host", 0, 10),
            line(Kind::Child, "git --git-dir x fetch y", 12, 30),
            line(Kind::Child, "switch-to-configuration test", 40, 100),
            line(Kind::Child, "systemd-run stc", 41, 50),
            line(Kind::Sync, "/nix/store", 95, 110),
            line(Kind::Soak, "soak", 105, 150),
            line(Kind::Child, "nix build", 140, 170),
            line(Kind::Timer, "nixus-reconcile.timer", 100, 175),
            line(
                Kind::Sync,
                "/var/lib/nixus/switcher/history/1.json",
                180,
                200,
            ),
        ]
    }

    #[test]
    fn every_moment_is_counted_once() {
        let lines = example();
        let (seen, confirmed) = seen_and_confirmed(&lines).unwrap();
        let stretch = Stretch::new(&lines, seen, confirmed);
        assert_eq!(stretch.length(), 170.0);
        let table = [
            (Use::Child(Name::Git), 18.0),
            (Use::Child(Name::Switch), 51.0),
            (Use::Child(Name::Other), 9.0),
            (Use::Sync, 10.0),
            (Use::Soak, 30.0),
            (Use::Child(Name::Nix), 30.0),
            (Use::Timer, 5.0),
            (Use::Own, 2.0 + 10.0 + 5.0),
        ];
        for (what, expected) in table {
            assert_eq!(stretch.spent(what), expected, "{what:?}");
        }
        let sum: f64 = table.iter().map(|(what, _)| stretch.spent(*what)).sum();
        assert_eq!(sum, stretch.length());
    }

    #[test]
    fn a_program_is_started_when_its_first_wait_after_the_beginning_begins() {
        let lines = example();
        let from = |begun: u64| Stretch::new(&lines, begun * 1_000_000, 200_000_000);
        assert_eq!(from(10).until(Name::Nix), Some(130.0));
        assert_eq!(from(10).until(Name::Git), Some(2.0));
        assert_eq!(from(0).until(Name::Git), Some(0.0));
        assert_eq!(from(141).until(Name::Nix), None);
    }

    #[test]
    fn without_a_fetch_or_a_history_nothing_was_deployed() {
        let lines = example();
        assert_eq!(seen_and_confirmed(&lines[..7]), None);
        assert_eq!(seen_and_confirmed(&lines[2..]), None);
    }
}
