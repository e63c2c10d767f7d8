//! The git server's disk: bare repositories, and who may do what with them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::fleet::{self, Member};
use crate::host::Host;
use crate::keys::Key;

/// The user id of the account `git` on the git server.
const GIT: u32 = 900;

/// Puts the repositories, the hooks of the template and the keys on the git server's disk. The
/// server may be off.
///
/// # Errors
/// When something cannot be written.
pub fn furnish(server: &Host, members: &[Member], operator: &Key) -> Result<()> {
    let disk = server.disk();
    let template = fleet::template().join("git-server");
    let inside = |path: &str| format!("{}/root{path}", server.folder());
    for repository in [fleet::DEPLOY, fleet::REPORTS] {
        server.access.must(
            &[
                "git",
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=main",
                &inside(repository),
            ],
            None,
        )?;
    }
    let configure = |repository: &str, name: &str, value: &str| {
        let folder = inside(repository);
        let words = ["git", "--git-dir", &folder, "config", name, value];
        server.access.must(&words, None)
    };
    // A host that evaluates nothing fetches commits without their trees (git-config(1)).
    configure(fleet::DEPLOY, "uploadpack.allowFilter", "true")?;
    // Nothing here lives for long enough to be tidied up.
    for repository in [fleet::DEPLOY, fleet::REPORTS] {
        configure(repository, "receive.autogc", "false")?;
    }
    // A host that sends without end must not fill the server's disk.
    configure(fleet::REPORTS, "receive.maxInputSize", "1m")?;
    install(
        &template.join("nixus-git-shell"),
        &disk.join("usr/local/bin/nixus-git-shell"),
    )?;
    let hook = disk
        .join(fleet::REPORTS.trim_start_matches('/'))
        .join("hooks/update");
    install(&template.join("update"), &hook)?;
    let mut keys = format!("{} operator\n", operator.public);
    for member in members {
        keys.push_str(&format!(
            "command=\"/usr/local/bin/nixus-git-shell {0}\",restrict {1} {0}\n",
            member.name, member.deploy_key.public
        ));
    }
    let ssh = disk.join("srv/git/.ssh");
    fs::create_dir_all(&ssh).context("cannot make the git server's .ssh")?;
    fs::write(ssh.join("authorized_keys"), keys).context("cannot write authorized_keys")?;
    give_to_git(&disk.join("srv/git"))
}

fn install(from: &Path, to: &Path) -> Result<()> {
    fs::write(to, fleet::read(from)?)
        .and_then(|()| fs::set_permissions(to, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot install {}", to.display()))
}

/// Gives a folder with all that is in it to the account `git`.
///
/// # Errors
/// When an owner cannot be changed.
pub fn give_to_git(path: &Path) -> Result<()> {
    chown(path, Some(GIT), None).with_context(|| format!("cannot give {}", path.display()))?;
    let is_folder = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    if is_folder {
        for found in
            fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?
        {
            give_to_git(
                &found
                    .with_context(|| format!("cannot list {}", path.display()))?
                    .path(),
            )?;
        }
    }
    Ok(())
}
