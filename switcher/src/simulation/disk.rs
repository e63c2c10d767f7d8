//! The machine as a disk.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::Kind;
use super::machine::{Inner, Machine, dead};
use super::teeth::Tooth;
use crate::decide::phase::PhaseName;
use crate::simulation::kinds::PHASES;
use crate::state::disk::{Disk, Held};

/// What a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Journal,
    History,
    Roots,
    Profiles,
    Other,
}

fn part(path: &Path) -> Part {
    let below = |dir: &str| {
        path.to_str()
            .and_then(|path| path.strip_prefix(dir))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // These are the paths of `Layout::host`; a test compares them.
    if below(HISTORY) {
        Part::History
    } else if below(STATE) {
        Part::Journal
    } else if below(ROOTS) {
        Part::Roots
    } else if below(PROFILES) {
        Part::Profiles
    } else {
        Part::Other
    }
}

const HISTORY: &str = "/var/lib/nixus/switcher/history";
const STATE: &str = "/var/lib/nixus/switcher";
const ROOTS: &str = "/nix/var/nix/gcroots/nixus";
const PROFILES: &str = "/nix/var/nix/profiles";
const MENU: &str = "/nix/var/nix/profiles/system-profiles";

/// The phase that a record of the journal is about.
fn phase_in(bytes: &[u8]) -> Option<PhaseName> {
    // It is near the beginning of what may be long.
    let key = b"\"name\": \"";
    let at = bytes.windows(key.len()).position(|text| text == key)? + key.len();
    let name = bytes.get(at..)?.split(|byte| *byte == b'"').next()?;
    PHASES
        .iter()
        .find(|phase| phase.as_str().as_bytes() == name)
        .copied()
}

impl Inner {
    /// Whether a taken-out order holds back what is written here.
    fn holds(&self, path: &Path, bytes: &[u8]) -> bool {
        match (part(path), self.tooth) {
            (Part::Journal, Some(Tooth::JournalFirst(phase))) => {
                phase_in(bytes).is_some_and(|recorded| {
                    // What is armed may be activating for all that the journal promises.
                    recorded == phase
                        || (recorded == PhaseName::Armed && phase == PhaseName::Activating)
                })
            }
            (Part::History, Some(Tooth::HistoryFirst)) => true,
            _ => false,
        }
    }

    /// The history says how the deployment ended: what was told to be confirmed stays so, and what
    /// was not never becomes it.
    fn tells(&mut self, outcome: &[u8]) {
        let text = std::str::from_utf8(outcome).unwrap_or_default();
        let said = |key: &str| {
            let (_, rest) = text.split_once(&format!("\"{key}\": \""))?;
            rest.split('"').next().map(str::to_owned)
        };
        let (Some(deployment), Some(ending)) = (said("deployment"), said("ending")) else {
            return;
        };
        let kept = ending == "confirmed";
        let before = self.ended.insert(deployment, ending);
        if before.is_some_and(|before| kept != (before == "confirmed")) {
            self.breaks("what was reported is not reported otherwise later");
        }
    }

    /// The taken-out step that a sync of this directory is.
    fn tooth_of_dir(&self, dir: &Path) -> Option<Tooth> {
        match part(dir) {
            Part::History => Some(Tooth::HistoryNames),
            Part::Roots => None,
            Part::Profiles => match self.files.last_change(dir) {
                Some((path, _)) if path.ends_with("/system") => Some(Tooth::ProfileName),
                Some((_, true)) => Some(Tooth::GenerationName),
                _ => None,
            },
            Part::Journal => match self.files.last_change(dir) {
                Some((HISTORY, true)) => Some(Tooth::HistoryDir),
                _ => Some(Tooth::JournalNames),
            },
            Part::Other => Some(Tooth::JournalDir),
        }
    }

    fn tooth_of_file(path: &Path) -> Option<Tooth> {
        match part(path) {
            Part::Journal => Some(Tooth::JournalData),
            Part::History => Some(Tooth::HistoryData),
            _ => None,
        }
    }
}

fn named(
    path: &Path,
    journal: &'static str,
    history: &'static str,
    other: &'static str,
) -> &'static str {
    match part(path) {
        Part::Journal => journal,
        Part::History => history,
        _ => other,
    }
}

impl Machine {
    fn is_taken_out_of_menu(&self, path: &Path) -> bool {
        self.see().tooth == Some(Tooth::MenuBootProven) && path.starts_with(MENU)
    }
}

impl Disk for Machine {
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let create = named(
            path,
            "create a journal file",
            "create an outcome",
            "create a file",
        );
        self.at(create, |inner| inner.files.create(path))?;
        let write = named(
            path,
            "write the journal",
            "write an outcome",
            "write a file",
        );
        self.at(write, |inner| inner.files.write(path, bytes))?;
        let sync = named(path, "sync the journal", "sync an outcome", "sync a file");
        let mut inner = self.get();
        match inner.begin(sync) {
            None => {
                if inner.tooth.is_some() && inner.tooth == Inner::tooth_of_file(path) {
                    return Ok(());
                }
                inner.files.sync_file(path)
            }
            Some(Kind::PowerAfter | Kind::KillAfter) => {
                let _ = inner.files.sync_file(path);
                dead()
            }
            Some(Kind::Fails | Kind::Full) => {
                inner.files.lose_file(path);
                Err(io::Error::other("fsync failed"))
            }
            Some(_) => dead(),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.is_taken_out_of_menu(to) {
            return Ok(());
        }
        let point = match part(to) {
            Part::Journal => "rename the journal",
            Part::History => "rename an outcome",
            Part::Roots => "rename a root",
            Part::Profiles => "rename a generation",
            Part::Other => "rename",
        };
        self.at(point, |inner| {
            let bytes = inner.files.read(from).unwrap_or_default();
            if inner.holds(to, &bytes) {
                inner.held.push((to.to_owned(), bytes));
                return inner.files.remove(from);
            }
            if part(to) == Part::History {
                inner.tells(&bytes);
            }
            if part(to) == Part::Journal {
                inner.recorded = phase_in(&bytes);
                if inner.tooth != Some(Tooth::HistoryFirst) {
                    inner.release();
                }
            }
            inner.files.rename(from, to)
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let point = match part(dir) {
            Part::Journal => "sync the journal's directory",
            Part::History => "sync the history's directory",
            Part::Roots => "sync the roots' directory",
            Part::Profiles => "sync the profile's directory",
            Part::Other => "sync a directory above",
        };
        let mut inner = self.get();
        match inner.begin(point) {
            None => {
                if inner.tooth.is_some() && inner.tooth == inner.tooth_of_dir(dir) {
                    return Ok(());
                }
                inner.files.sync_dir(dir);
                // The history was held back until the journal had forgotten the deployment.
                if part(dir) == Part::Journal && inner.recorded == Some(PhaseName::Idle) {
                    inner.release();
                }
                Ok(())
            }
            Some(Kind::PowerAfter | Kind::KillAfter) => {
                inner.files.sync_dir(dir);
                dead()
            }
            Some(Kind::Fails | Kind::Full) => {
                inner.files.lose_dir(dir);
                Err(io::Error::other("fsync failed"))
            }
            Some(_) => dead(),
        }
    }

    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        if self.is_taken_out_of_menu(path) {
            return Ok(());
        }
        self.at("make a link", |inner| inner.files.symlink(target, path))
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        if self.see().dead.is_some() {
            return dead();
        }
        let inner = self.see();
        if inner.tooth == Some(Tooth::ReadProfile)
            && inner.phase == PhaseName::Committing
            && path.ends_with("system")
        {
            return Ok(super::machine::store_path(inner.candidate));
        }
        inner.files.read_link(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let point = match part(path) {
            Part::Roots => "remove a root",
            Part::Profiles => "remove a generation",
            _ => "remove a file",
        };
        // A leftover that is not there is the usual case, and nothing can go wrong with it.
        if !self.see().files.exists(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.at(point, |inner| inner.files.remove(path))
    }

    fn read(&self, path: &Path, _: u64) -> io::Result<Vec<u8>> {
        if self.see().dead.is_some() {
            return dead();
        }
        self.see().files.read(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if self.see().dead.is_some() {
            return dead();
        }
        self.see().files.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if self.see().files.exists(dir) {
            return Ok(());
        }
        let missing: Vec<PathBuf> = dir
            .ancestors()
            .take_while(|dir| !self.see().files.exists(dir))
            .map(Path::to_owned)
            .collect();
        for dir in missing.iter().rev() {
            self.at("make a directory", |inner| inner.files.create_dir(dir))?;
        }
        Ok(())
    }

    fn lock(&self, _: &Path, _: Duration) -> io::Result<Held> {
        self.at("lock the profile", |_| Ok(Held(None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::layout::Layout;

    #[test]
    fn the_paths_of_the_simulation_are_those_of_a_host() {
        let layout = Layout::host();
        let paths = [
            layout.history(),
            layout.state(),
            layout.roots(),
            layout.profiles(),
        ];
        assert_eq!(paths, [HISTORY, STATE, ROOTS, PROFILES].map(PathBuf::from));
    }
}
