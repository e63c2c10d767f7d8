//! What the lab's deploy repository says: the template as it is, with the lab's own addresses, keys
//! and hosts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::keys::{self, Key};
use crate::setup::Machine;

/// The operator's address in every lab.
pub const OPERATOR: &str = "10.77.0.1";
/// The git server's.
pub const GIT_SERVER: &str = "10.77.0.2";
/// The deploy repository on the git server.
pub const DEPLOY: &str = "/srv/git/deploy.git";
/// The reports repository on the git server.
pub const REPORTS: &str = "/srv/git/reports.git";

/// Where all programs of Nixus on a host note what they wait for, over all its boots.
pub const WAITS: &str = "/var/nixus-waits";

/// The file by which a push begins a pass of a host.
pub const PUSH: &str = "/run/lab-push";

/// The files of a repository: path and text.
pub type Files = BTreeMap<String, String>;

/// A host of the fleet.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The last number of its addresses.
    pub number: u8,
    /// Its key for the git server.
    pub deploy_key: Key,
    /// Its SSH host key.
    pub host_key: Key,
}

impl Member {
    /// The member with this name and number; its keys are made if need be.
    ///
    /// # Errors
    /// When the name is none, or a key cannot be made.
    pub fn new(machine: &Machine, name: &str, number: u8) -> Result<Self> {
        // nspawn names the network interface vb-<name>, and Linux allows 15 bytes.
        let valid = (1..=12).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-');
        if !valid {
            bail!("{name:?} is not a host name for the lab: 1 to 12 of a-z, 0-9 and -");
        }
        Ok(Self {
            name: name.to_owned(),
            number,
            deploy_key: keys::key(machine, &format!("deploy-{name}"))?,
            host_key: keys::key(machine, &format!("host-{name}"))?,
        })
    }

    /// Its IPv4 address.
    pub fn address(&self) -> String {
        format!("10.77.0.{}", self.number)
    }

    /// Its IPv6 address.
    pub fn address6(&self) -> String {
        format!("fd77::{}", self.number)
    }
}

/// The URL of a repository on the git server.
pub fn url(repository: &str) -> String {
    format!("ssh://git@{GIT_SERVER}{repository}")
}

/// The description of one host, with more lines of Nix in a module of their own, so that they may
/// also overrule what the description says (`lib.mkForce`).
pub fn host_file(number: u8, more: &str) -> String {
    format!(
        r#"{{ lib, pkgs, ... }}:
{{
  imports = [
    ../lab.nix
    (
      {{ lib, pkgs, ... }}:
      {{
{more}
      }}
    )
  ];
  systemd.network.networks."10-lab" = {{
    matchConfig.Name = "host0";
    address = [
      "10.77.0.{number}/24"
      "fd77::{number}/64"
    ];
    networkConfig.LinkLocalAddressing = "no";
    networkConfig.IPv6AcceptRA = false;
  }};
}}
"#
    )
}

/// All files of the deploy repository's first commit, except `flake.lock`; `common` is more Nix for
/// all hosts.
///
/// # Errors
/// When the template cannot be read.
pub fn deploy_files(
    members: &[Member],
    common: &str,
    operator: &Key,
    git_host: &Key,
) -> Result<Files> {
    let template = template();
    let mut files = Files::new();
    for name in ["flake.nix", "common.nix", "users.nix"] {
        files.insert(name.to_owned(), read(&template.join(name))?);
    }
    files.insert(
        "fleet.nix".to_owned(),
        format!(
            r#"{{
  nixus = {{
    repository = "{}";
    branch = "main";
    reports = "{}";
    knownHosts = ''
    {GIT_SERVER} {}
  '';
    operators = [ "{} operator" ];
    deployKey = "/var/lib/lab-keys/deploy_key";
  }};
  # Every host is a peer of all others.
  peers.neighbours = 64;
  ssh.access = {{
{}  }};
}}
"#,
            url(DEPLOY),
            url(REPORTS),
            git_host.public,
            operator.public,
            hosts(members)
        ),
    );
    files.insert(
        "lab.nix".to_owned(),
        LAB.replace("@push@", PUSH)
            .replace("@waits@", WAITS)
            .replace("@common@", common),
    );
    for member in members {
        files.insert(
            format!("hosts/{}.nix", member.name),
            host_file(member.number, ""),
        );
    }
    Ok(files)
}

/// Where each host is, and its keys, which a test may add to.
fn hosts(members: &[Member]) -> String {
    let host = |member: &Member| {
        format!(
            "    {}.addresses = [ \"{}\" \"{}\" ];\n    {0}.hostKeys = builtins.listToAttrs (map (key: {{ name = builtins.hashString \"sha256\" key; value = key; }}) [ \"{}\" ]);\n",
            member.name,
            member.address(),
            member.address6(),
            member.host_key.public
        )
    };
    members.iter().map(host).collect()
}

/// A line of Nix for a host that is described as an evaluation would refuse it: to see what the host
/// itself makes of it.
pub const UNCHECKED: &str = "assertions = lib.mkForce [ ];\n";

/// What is the same for all hosts of a lab: everything is quicker.
const LAB: &str = r#"# What only hosts of the lab have.
{ lib, ... }:
{
  services.nixus = {
    # What is pushed begins a pass at once, see below.
    interval = "5s";
    bootDelay = "2s";
    settings = {
      closure.build_timeout = "10m";
      closure.retries = 0;
      switch.activation_timeout = "30s";
      switch.trial_timeout = "30s";
      health.soak = "1s";
    };
  };
  # As long as passes are to begin by themselves, a push begins one.
  systemd.paths.lab-push = {
    description = "Begin a pass when the operator has pushed";
    wantedBy = [ "nixus-reconcile.timer" ];
    partOf = [ "nixus-reconcile.timer" ];
    pathConfig = {
      PathChanged = "@push@";
      Unit = "nixus-reconcile.service";
    };
  };
  # What a test's time was spent on.
  environment.etc."systemd/system.conf.d/lab.conf".text = ''
    [Manager]
    DefaultEnvironment=NIXUS_WAITS=@waits@
  '';
  services.openssh = {
    hostKeys = [
      {
        type = "ed25519";
        path = "/var/lib/lab-keys/ssh_host_ed25519_key";
      }
    ];
  };
@common@}
"#;

/// The git server's own system. It is not a member of the fleet.
pub fn git_server_files(operator: &Key) -> Files {
    let flake = format!(
        r#"{{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
  inputs.nixus.url = "git+ssh://git@git.example.org/srv/git/nixus.git";
  inputs.nixus.inputs.nixpkgs.follows = "nixpkgs";
  outputs =
    {{ nixpkgs, nixus, ... }}:
    {{
      nixosConfigurations.git = nixpkgs.lib.nixosSystem {{
        modules = [
          nixus.nixosModules.default
          {{
            networking.hostName = "git";
            systemd.network.networks."10-lab" = {{
              matchConfig.Name = "host0";
              address = [ "{GIT_SERVER}/24" "fd77::2/64" ];
              networkConfig.LinkLocalAddressing = "no";
              networkConfig.IPv6AcceptRA = false;
            }};
            users.users.git = {{
              uid = 900;
              isSystemUser = true;
              home = "/srv/git";
              shell = "/bin/sh";
            }};
            users.users.root.openssh.authorizedKeys.keys = [ "{}" ];
            services.openssh = {{
              enable = true;
              hostKeys = [ {{ type = "ed25519"; path = "/var/lib/lab-keys/ssh_host_ed25519_key"; }} ];
              settings.AcceptEnv = "GIT_PROTOCOL";
              # Each login would begin a session of logind.
              settings.UsePAM = false;
              settings.PerSourcePenalties = false;
              settings.MaxStartups = "200";
            }};
          }}
        ];
      }};
    }};
}}
"#,
        operator.public
    );
    Files::from([("flake.nix".to_owned(), flake)])
}

/// The folder of the template.
pub fn template() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy-repo-template")
}

/// Reads a text file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
