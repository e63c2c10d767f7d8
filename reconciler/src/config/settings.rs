//! A configuration as it is in effect, defaults included, for `nixus check-config`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Config;
use super::declare::Kind as _;
use super::value::Time;

/// What `nixus check-config --json` prints. Settings are named as in the file, their table before
/// them; those of a list have their number or name after it. Times are in seconds with an `s`, or where they may be
/// shorter in milliseconds with `ms`. Times and sizes are as they may be written in the file.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The version of this format.
    pub version: u32,
    /// Every setting in effect.
    pub settings: BTreeMap<String, String>,
    /// Who is believed in what, a sentence each.
    pub trust: Vec<String>,
    /// What is to be written in another way, a sentence each.
    pub warnings: Vec<String>,
}

impl Config {
    /// Every setting in effect, for machines.
    pub fn shown(&self) -> Shown {
        Shown {
            version: 1,
            settings: self.settings.iter().cloned().collect(),
            trust: self.trusted(),
            warnings: self.warnings.clone(),
        }
    }

    /// Who decides what this host runs, a sentence each: whoever does has root on it.
    pub fn trusted(&self) -> Vec<String> {
        let mut all = vec![format!(
            "{} decides what runs here: whoever may push to {} there, and whoever runs that server, has root on this host",
            self.repository.url, self.branch
        )];
        for mirror in &self.mirrors {
            all.push(format!(
                "{} is believed in what {} has said, and decides alone after that has not answered for {}",
                mirror.url,
                self.repository.url,
                Time::shown(&self.mirror_after)
            ));
        }
        if let Some(following) = self.closure.following() {
            all.push(match following.keys.is_empty() {
                true => format!(
                    "whoever may push any ref to {} decides what commits are built to, among what the host's caches have signed",
                    self.repository.url
                ),
                false => "whoever has a key of closure.manifest_keys decides what commits are built to".to_owned(),
            });
        }
        all
    }
}
