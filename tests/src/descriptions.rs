//! What descriptions of hosts say in the tests, in the search for crashes and in the storm: lines of Nix, each of which
//! makes one thing new, slow or broken. They are given to [`crate::Lab::describe`].

/// Something new.
pub const GREETING: &str = r#"environment.etc."greeting".text = "hello";"#;

/// A snippet of the activation fails.
pub const SNIPPET_FAILS: &str = r#"system.activationScripts.database = "false";"#;
/// The activation ends with exit code 1.
pub const ACTIVATION_FAILS: &str = r#"lab.break.activation = "exit1";"#;
/// The activation does not end.
pub const ACTIVATION_HANGS: &str = r#"lab.break.activation = "hang";"#;
/// The activation is killed half-way.
pub const ACTIVATION_DIES: &str = r#"lab.break.activation = "half";"#;
/// The boot loader cannot be installed.
pub const LOADER_FAILS: &str = r#"lab.break.bootloader = "fail";"#;
/// The installation of the boot loader does not end.
pub const LOADER_HANGS: &str = r#"lab.break.bootloader = "hang";"#;
/// The installation of the boot loader takes some seconds.
pub const LOADER_IS_SLOW: &str = r#"lab.break.bootloader = "slow";"#;
/// The system cannot take over without a reboot.
pub const OTHER_INIT: &str = r#"lab.initInterfaceVersion = "3";"#;

/// A unit of the new generation fails.
pub const UNIT_FAILS: &str = r#"systemd.services.shop = {
  wantedBy = [ "multi-user.target" ];
  serviceConfig = { Type = "oneshot"; ExecStart = "false"; };
};"#;
/// A unit fails only where the system that runs is the one that was booted.
pub const FAILS_AT_BOOT: &str = r#"systemd.services.shop = {
  wantedBy = [ "multi-user.target" ];
  serviceConfig.Type = "oneshot";
  script = "test $(readlink -f /run/booted-system) != $(readlink -f /run/current-system)";
};"#;
/// A mount that the machine needs and that cannot be made: systemd goes into emergency mode.
pub const NEEDED_MOUNT: &str = r#"systemd.units."data.mount" = {
  text = "[Unit]\nBefore=local-fs.target\n[Mount]\nWhat=nosuch\nWhere=/data\nType=nosuchfs\n";
  requiredBy = [ "local-fs.target" ];
};"#;

/// There is no Nixus in it.
pub const NO_NIXUS: &str = "services.nixus.enable = lib.mkForce false;";
/// Nothing begins a pass.
pub const TIMER_MASKED: &str = "systemd.timers.nixus-reconcile.enable = lib.mkForce false;";
/// The next pass begins in a far future.
pub const TIMER_IS_LATE: &str =
    r#"systemd.timers.nixus-reconcile.timerConfig = lib.mkForce { OnCalendar = "2099-01-01"; };"#;
/// What the timer starts makes no pass.
pub const NO_PASS: &str =
    r#"systemd.services.nixus-reconcile.serviceConfig.ExecStart = lib.mkForce "/bin/sh -c true";"#;
/// What is started to verify verifies nothing.
pub const NO_VERIFICATION: &str =
    r#"systemd.services.nixus-verify.serviceConfig.ExecStart = lib.mkForce "/bin/sh -c true";"#;
/// Its passes have no network.
pub const PASS_WITHOUT_NETWORK: &str =
    "systemd.services.nixus-reconcile.serviceConfig.PrivateNetwork = true;";
/// The repository is not where it looks for it.
pub const WRONG_URL: &str = r#"services.nixus.settings.repository.url = lib.mkForce "ssh://git@10.77.0.2/srv/git/other.git";"#;
/// It has no key for the git server.
pub const NO_DEPLOY_KEY: &str = "services.nixus.deployKey = lib.mkForce null;";
/// Its configuration has a word that nobody knows. An evaluation refuses a misspelt option; what it cannot see is
/// the text itself.
pub const WRONG_CONFIGURATION: &str =
    r#"environment.etc."nixus/config.toml".text = lib.mkAfter "\n[brunch]\n";"#;
/// Nix cannot read its configuration.
pub const NIX_CONF_IS_BROKEN: &str =
    r#"environment.etc."nix/nix.conf".text = lib.mkForce "this is not a configuration\n";"#;
/// Nix may not build.
pub const NIX_BUILDS_NOTHING: &str = "nix.settings.max-jobs = lib.mkForce 0;";

/// An evaluation fails.
pub const DOES_NOT_EVALUATE: &str = r#"networking.hostNaem = "web1";"#;
/// A builder fails.
pub const DOES_NOT_BUILD: &str = r#"environment.systemPackages = [ (pkgs.runCommand "broken" { } "echo no such compiler >&2; exit 1") ];"#;

/// The keys of all operators are gone.
pub const NO_KEYS: &str = "users.users.root.openssh.authorizedKeys.keys = lib.mkForce [ ];";
/// Nobody is named as an operator.
pub const NO_OPERATORS: &str = "services.nixus.operators = lib.mkForce [ ];";
/// sshd does not understand its configuration.
pub const SSHD_CONFIGURATION_IS_NONE: &str =
    r#"services.openssh.extraConfig = "NoSuchOption yes";"#;
/// sshd accepts no key.
pub const SSHD_ACCEPTS_NO_KEY: &str = "services.openssh.settings.PubkeyAuthentication = false;";
/// sshd accepts the key, and gives no shell.
pub const SSHD_FORCES_A_COMMAND: &str =
    r#"services.openssh.extraConfig = "Match User root\n  ForceCommand /bin/false";"#;
/// Nothing starts sshd, and the one that runs is stopped.
pub const SSHD_STOPS: &str = r#"
  services.openssh.enable = lib.mkForce false;
  systemd.services.stops-sshd = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig.Type = "oneshot";
    script = "systemctl stop sshd.service || true";
  };"#;

/// New connections that come in from the network are dropped.
pub const INBOUND: &str = r#"chain in { type filter hook input priority 0; iifname "host0" tcp flags & (syn|ack) == syn drop; }"#;
/// New connections that go out to the network are dropped.
pub const OUTBOUND: &str = r#"chain out { type filter hook output priority 0; oifname "host0" tcp flags & (syn|ack) == syn drop; }"#;

/// A packet filter as nixpkgs has it: a unit whose end takes its rules away.
pub fn firewall(rules: &str) -> String {
    format!(
        r#"
        environment.etc."lab.nft".text = ''
          table inet lab {{
            {rules}
          }}
        '';
        systemd.services.packet-filter = {{
          wantedBy = [ "multi-user.target" ];
          serviceConfig = {{
            Type = "oneshot";
            RemainAfterExit = true;
            ExecStart = "nft -f /etc/lab.nft";
            ExecStop = "nft destroy table inet lab";
          }};
        }};
        "#
    )
}

/// The network interface has this address, and no other.
pub fn renumbered(address: &str) -> String {
    format!(r#"systemd.network.networks."10-lab".address = lib.mkForce [ "{address}" ];"#)
}

/// A unit that says which description it was started from.
pub fn service(name: &str, mark: &str, more: &str) -> String {
    format!(
        r#"systemd.services.{name} = {{
          wantedBy = [ "multi-user.target" ];
          environment.MARK = "{mark}";
          serviceConfig.ExecStart = "sleep infinity";
          serviceConfig.ExecReload = "touch /run/{name}-reloaded";
          {more}
        }};"#
    )
}

/// A system whose build takes this long.
pub fn slow_build(seconds: u32) -> String {
    format!(
        r#"environment.systemPackages = [ (pkgs.runCommand "slow" {{ }} "sleep {seconds}; mkdir -p $out/bin") ];
        {GREETING}"#
    )
}

/// A candidate that stays on trial for so many seconds.
pub fn slow_trial(seconds: u32) -> String {
    format!(r#"services.nixus.settings.health.soak = lib.mkForce "{seconds}s";"#)
}

/// An activation that gives an order once, and waits for what comes of it.
pub fn order(order: &str) -> String {
    format!("system.activationScripts.order = \"{order} || true; sleep 5\";")
}

/// An activation that is killed as if memory ran out, but only where this file is not there.
pub fn killed_once(file: &str) -> String {
    format!(
        r#"system.activationScripts.killed = "test -e {file} || {{ touch {file}; systemctl kill --signal=KILL 'nixus-stc-*'; sleep 10; }}";"#
    )
}
