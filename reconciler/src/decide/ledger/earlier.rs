//! The commits that this host was on before, back to the boot-proven one and beyond: what a first boot that fails
//! would undo, and what it leads back to.

use nixus_switcher::protocol::Toplevel;

use super::{Kept, Ledger};

/// How many are remembered; the oldest go first.
const MAX: usize = 100;

impl Ledger {
    /// Another commit takes the place of the one that was kept.
    pub(super) fn remember_kept(&mut self, next: &Kept) {
        let Some(kept) = self.kept.take() else {
            return;
        };
        if kept.commit.id != next.commit.id {
            self.earlier.push(kept);
        }
        let more = self.earlier.len().saturating_sub(MAX);
        self.earlier.drain(..more);
    }

    /// What was kept since this system, newest first: undone by a return to it. Nothing where this host does not
    /// know when it was on that system.
    pub fn kept_since(&self, system: &Toplevel) -> Vec<&Kept> {
        let all = || self.earlier.iter().chain(&self.kept).rev();
        if all().all(|kept| kept.toplevel != *system) {
            return Vec::new();
        }
        all().take_while(|kept| kept.toplevel != *system).collect()
    }

    /// The machine has come back to this system: what was kept with it is kept again. Whether that is known is the
    /// answer.
    pub fn return_to(&mut self, system: &Toplevel) -> bool {
        let Some(at) = self
            .earlier
            .iter()
            .rposition(|kept| kept.toplevel == *system)
        else {
            return self
                .kept
                .as_ref()
                .is_some_and(|kept| kept.toplevel == *system);
        };
        let mut later = self.earlier.split_off(at);
        self.kept = Some(later.remove(0));
        true
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use nixus_switcher::protocol::Commit;

    use super::*;

    fn toplevel(letter: char) -> Toplevel {
        let path = format!("/nix/store/{}-nixos", letter.to_string().repeat(32));
        Toplevel::try_from(std::path::PathBuf::from(path)).unwrap()
    }

    fn keep(ledger: &mut Ledger, commit: char, system: char) {
        ledger.keep(Kept {
            commit: Commit {
                id: commit.to_string().repeat(40),
                subject: format!("commit {commit}"),
            },
            toplevel: toplevel(system),
            generation: None,
            since: Timestamp::UNIX_EPOCH,
        });
    }

    fn subjects(kept: &[&Kept]) -> String {
        let all: Vec<&str> = kept.iter().map(|one| one.commit.subject.as_str()).collect();
        all.join(", ")
    }

    #[test]
    fn a_return_undoes_every_commit_since_and_what_was_kept_before_is_kept_again() {
        let mut ledger = Ledger::default();
        // The second commit changes nothing on this host.
        for (commit, system) in [
            ('1', 'a'),
            ('2', 'a'),
            ('3', 'b'),
            ('4', 'c'),
            ('4', 'c'),
            ('5', 'd'),
        ] {
            keep(&mut ledger, commit, system);
        }
        let undone = ledger.kept_since(&toplevel('a'));
        assert_eq!(subjects(&undone), "commit 5, commit 4, commit 3");
        assert!(ledger.kept_since(&toplevel('d')).is_empty());
        // A system that it never was on shows nothing.
        assert!(ledger.kept_since(&toplevel('x')).is_empty());
        assert!(!ledger.return_to(&toplevel('x')));
        assert!(ledger.return_to(&toplevel('a')));
        assert_eq!(ledger.kept.as_ref().unwrap().commit.subject, "commit 2");
        keep(&mut ledger, '6', 'e');
        assert_eq!(subjects(&ledger.kept_since(&toplevel('a'))), "commit 6");
        assert!(ledger.return_to(&toplevel('e')), "it is on it already");
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut ledger = Ledger::default();
        for number in 0..3 * MAX {
            let letter = char::from(b'a' + u8::try_from(number % 6).unwrap());
            keep(&mut ledger, letter, letter);
        }
        assert_eq!(ledger.earlier.len(), MAX);
    }
}
