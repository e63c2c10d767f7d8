//! What differs between two systems that a switch does not, or must not, bring about.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::printable::printable;

/// The inhibitor that nixpkgs itself has (nixos/modules/services/system/dbus.nix, since 26.05).
const DBUS: &str = "dbus-implementation";
/// Of parameters that changed, so many are named.
const NAMED: usize = 5;

/// What a system says of the parts that only a boot replaces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// Its switch inhibitors (nixpkgs, switchable-system.nix); nothing where it is older than these.
    pub inhibitors: Option<BTreeMap<String, String>>,
    /// Its implementation of D-Bus by its units, as the inhibitor would name it.
    pub dbus: Option<String>,
    /// The interface of its first process.
    pub init_interface: Option<String>,
    /// Its kernel, in the store.
    pub kernel: Option<PathBuf>,
    /// Its kernel's modules, in the store.
    pub modules: Option<PathBuf>,
    /// Its initrd, in the store.
    pub initrd: Option<PathBuf>,
    /// Its kernel's parameters.
    pub parameters: Vec<String>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Something whose switch the system itself forbids.
    Inhibitor {
        /// Its name.
        name: String,
        /// The value of the system that runs.
        old: String,
        /// The value of the candidate.
        new: String,
    },
    /// The interface of the first process.
    InitInterface {
        /// The value of the system that runs.
        old: String,
        /// The value of the candidate.
        new: String,
    },
    /// A file that the boot loader starts, or its kernel's modules.
    File {
        /// What it is.
        what: &'static str,
        /// The one that was booted.
        old: Option<PathBuf>,
        /// The candidate's.
        new: Option<PathBuf>,
    },
    /// The kernel's parameters.
    Parameters {
        /// Those that the candidate has in addition.
        added: Vec<String>,
        /// Those that it has no more.
        removed: Vec<String>,
    },
}

/// What forbids a switch from one system to another. An inhibitor counts where both have it, as it does
/// for the check of nixpkgs; D-Bus counts as well where the system that runs is older than that check,
/// since to replace it under running services is as unsafe then (nixpkgs#512050).
pub fn forbids_switch(running: &Parts, candidate: &Parts) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let names = running.inhibitors.iter().chain(&candidate.inhibitors);
    let mut names: Vec<&str> = names.flatten().map(|(name, _)| name.as_str()).collect();
    names.push(DBUS);
    names.sort_unstable();
    names.dedup();
    for name in names {
        if let (Some(old), Some(new)) = (running.value(name), candidate.value(name))
            && old != new
        {
            changes.push(Change::Inhibitor {
                name: name.to_owned(),
                old: old.to_owned(),
                new: new.to_owned(),
            });
        }
    }
    if let (Some(old), Some(new)) = (&running.init_interface, &candidate.init_interface)
        && old != new
    {
        changes.push(Change::InitInterface {
            old: old.clone(),
            new: new.clone(),
        });
    }
    changes
}

/// What of a candidate only a boot brings: a system can be switched to all the same, and has not been
/// proved with its own kernel then.
pub fn needs_boot(booted: &Parts, candidate: &Parts) -> Vec<Change> {
    let files = [
        ("kernel", &booted.kernel, &candidate.kernel),
        ("kernel modules", &booted.modules, &candidate.modules),
        ("initrd", &booted.initrd, &candidate.initrd),
    ];
    let mut changes: Vec<Change> = files
        .into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(what, old, new)| Change::File {
            what,
            old: old.clone(),
            new: new.clone(),
        })
        .collect();
    let lacks = |of: &[String], one: &String| !of.contains(one);
    let only = |here: &[String], there: &[String]| -> Vec<String> {
        let here = here.iter().filter(|one| lacks(there, one));
        here.cloned().collect()
    };
    let added = only(&candidate.parameters, &booted.parameters);
    let removed = only(&booted.parameters, &candidate.parameters);
    // Their order counts as well: of `console=`, the last one is `/dev/console`.
    if booted.parameters != candidate.parameters {
        changes.push(Change::Parameters { added, removed });
    }
    changes
}

impl Parts {
    fn value(&self, name: &str) -> Option<&str> {
        match &self.inhibitors {
            Some(all) => all.get(name).map(String::as_str),
            None if name == DBUS => self.dbus.as_deref(),
            None => None,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inhibitor { name, old, new } => {
                write!(f, "{}: {} -> {}", short(name), short(old), short(new))
            }
            Self::InitInterface { old, new } => {
                write!(f, "init interface: {} -> {}", short(old), short(new))
            }
            Self::File { what, old, new } => {
                let (old, new) = (name_of(old.as_deref()), name_of(new.as_deref()));
                match old == new {
                    true => write!(f, "{what}: another build of {new}"),
                    false => write!(f, "{what}: {old} -> {new}"),
                }
            }
            Self::Parameters { added, removed } => {
                f.write_str("kernel parameters:")?;
                if added.is_empty() && removed.is_empty() {
                    return f.write_str(" in another order");
                }
                let signed = added.iter().map(|one| ('+', one));
                let signed = signed.chain(removed.iter().map(|one| ('-', one)));
                for (sign, one) in signed.clone().take(NAMED) {
                    write!(f, " {sign}{}", short(one))?;
                }
                match signed.count().saturating_sub(NAMED) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
    }
}

fn short(text: &str) -> String {
    printable(text).chars().take(80).collect()
}

/// The name of a store path without its hash: `linux-6.12.8`.
fn name_of(path: Option<&Path>) -> String {
    let Some(path) = path else {
        return "none".to_owned();
    };
    let in_store = path.strip_prefix("/nix/store").unwrap_or(path);
    let first = in_store.components().next();
    let name = first.map_or_else(String::new, |one| {
        one.as_os_str().to_string_lossy().into_owned()
    });
    short(name.split_once('-').map_or(name.as_str(), |(_, name)| name))
}

#[cfg(test)]
mod tests;
