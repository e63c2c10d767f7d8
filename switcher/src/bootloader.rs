//! What the boot loader starts by default, read back from its files.
//!
//! systemd-boot: `loader/loader.conf` names an entry (Boot Loader Specification); GRUB: the first
//! entry of `grub/grub.cfg`, as NixOS writes it (nixpkgs, install-grub.pl). Either names the system
//! by `init=<toplevel>/init`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::disk::read_bounded;
use crate::layout::Layout;
use crate::protocol::Toplevel;
use crate::system::BootDefault;

const LIMIT: u64 = 4 << 20;

/// Reads what the boot loader of this host starts.
pub fn default(layout: &Layout) -> BootDefault {
    for dir in ["/boot", "/efi", "/boot/efi"] {
        let dir = layout.at(dir);
        let conf = dir.join("loader/loader.conf");
        match read_bounded(&conf, LIMIT) {
            Ok(bytes) => return systemd_boot(&dir, &String::from_utf8_lossy(&bytes)),
            Err(error) if is_absent(&error) => {}
            Err(error) => return BootDefault::Broken(format!("{}: {error}", conf.display())),
        }
    }
    let conf = layout.at("/boot/grub/grub.cfg");
    match read_bounded(&conf, LIMIT) {
        Ok(bytes) => grub(&String::from_utf8_lossy(&bytes)),
        Err(error) if is_absent(&error) => BootDefault::Unknown,
        Err(error) => BootDefault::Broken(format!("{}: {error}", conf.display())),
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn systemd_boot(boot: &Path, conf: &str) -> BootDefault {
    let value = |key: &str| {
        conf.lines().find_map(|line| {
            let (name, value) = line.trim().split_once(char::is_whitespace)?;
            (name == key).then(|| value.trim().to_owned())
        })
    };
    // Newer builders write `preferred <entry>` beside a pattern as default.
    let Some(id) = value("preferred").or_else(|| value("default")) else {
        return BootDefault::Unknown;
    };
    if id.contains(['*', '?', '[', '/', '@']) {
        return BootDefault::Unknown;
    }
    let entry = entry(boot, &id);
    match read_bounded(&entry, LIMIT) {
        Err(error) => BootDefault::Broken(format!("{}: {error}", entry.display())),
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let options = text
                .lines()
                .filter_map(|line| line.trim().strip_prefix("options"))
                .collect::<Vec<_>>()
                .join(" ");
            match init_of(&options) {
                Some(toplevel) => BootDefault::System(toplevel),
                None => BootDefault::Broken(format!("{}: names no system", entry.display())),
            }
        }
    }
}

fn entry(boot: &Path, id: &str) -> PathBuf {
    let entries = boot.join("loader/entries");
    if id.ends_with(".conf") {
        entries.join(id)
    } else {
        entries.join(format!("{id}.conf"))
    }
}

fn grub(conf: &str) -> BootDefault {
    let Some(start) = conf.find("menuentry ") else {
        return BootDefault::Broken("grub.cfg has no entry".to_owned());
    };
    // `default=saved` or a number other than 0 starts another entry than the first. `next_entry` is
    // grub-reboot's, for one boot only.
    let default = conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("set default="))
        .map(|value| value.trim_matches('"'))
        .find(|value| *value != "0" && *value != "${next_entry}");
    if default.is_some() {
        return BootDefault::Unknown;
    }
    let rest = &conf[start..];
    let first = rest
        .match_indices("menuentry ")
        .nth(1)
        .map_or(rest, |(end, _)| &rest[..end]);
    match init_of(first) {
        Some(toplevel) => BootDefault::System(toplevel),
        None => BootDefault::Broken("the first entry of grub.cfg names no system".to_owned()),
    }
}

/// The system of the first `init=<toplevel>/init`.
fn init_of(text: &str) -> Option<Toplevel> {
    let path = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("init="))?
        .strip_suffix("/init")?;
    Toplevel::try_from(PathBuf::from(path)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const A: &str = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nixos-system-web1";

    fn check(files: &[(&str, String)], expected: BootDefault) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = default(&Layout::below(dir.path()));
        match (&found, &expected) {
            (BootDefault::Broken(_), BootDefault::Broken(_)) => {}
            _ => assert_eq!(found, expected),
        }
    }

    fn a() -> BootDefault {
        BootDefault::System(Toplevel::try_from(PathBuf::from(A)).unwrap())
    }

    #[test]
    fn the_default_of_each_boot_loader_is_read_back() {
        let entry = format!("title NixOS\nlinux /k\noptions init={A}/init loglevel=4\n");
        check(&[], BootDefault::Unknown);
        for conf in [
            "timeout 5\ndefault nixos-generation-4.conf\n",
            "default nixos-generation-4\n",
            "preferred nixos-generation-4\ndefault nixos-*\n",
        ] {
            check(
                &[
                    ("boot/loader/loader.conf", conf.to_owned()),
                    ("boot/loader/entries/nixos-generation-4.conf", entry.clone()),
                ],
                a(),
            );
            check(
                &[("boot/loader/loader.conf", conf.to_owned())],
                BootDefault::Broken(String::new()),
            );
        }
        check(
            &[("efi/loader/loader.conf", "default nixos-*\n".to_owned())],
            BootDefault::Unknown,
        );
        let grub = format!(
            "if x; then set default=\"${{next_entry}}\"\nset default=\"0\"\nmenuentry \"NixOS\" {{\n  linux ($drive1)//kernels/k init={A}/init x=y\n}}\nsubmenu \"All\" {{ menuentry \"old\" {{ linux k init=/x/init }} }}\n"
        );
        check(&[("boot/grub/grub.cfg", grub.clone())], a());
        check(
            &[(
                "boot/grub/grub.cfg",
                grub.replace("default=\"0\"", "default=\"saved\""),
            )],
            BootDefault::Unknown,
        );
        check(
            &[("boot/grub/grub.cfg", "menuentry \"x\" {}".to_owned())],
            BootDefault::Broken(String::new()),
        );
    }
}
