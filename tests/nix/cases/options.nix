# Every option of OPTIONS.md at a realistic value, on NixOS' own modules alone: what comes of it is what systemd,
# sshd and the others read. The fleets are plain values, in which run.nix looks for each option.
{
  key,
  lib,
  pkgs,
  ...
}@arguments:
let
  inherit (import ./settings.nix arguments) files;
  read = import ./rendered.nix { inherit lib; };
  package = pkgs.callPackage ../../../reconciler/nix/package.nix { };
  bob = "${key "bob"} bob";
  units = [
    "nixus-probe.socket"
    "nixus-probe@.service"
    "nixus-reconcile.service"
    "nixus-reconcile.timer"
    "nixus-recover.service"
    "nixus-report.service"
    "nixus-verify.service"
  ];
in
{
  "those of a host" = {
    fleet.nodes = {
      web1.configuration = {
        services.nixus.public = {
          ipv4 = "192.0.2.11";
          ipv6 = "2001:db8::11";
        };
        services.openssh.ports = [ 2222 ];
        users.users.root.openssh.authorizedKeys.keys = [ bob ];
        services.nixus = {
          enable = true;
          inherit package;
          interval = "5min";
          bootDelay = "1min";
          memoryLimit = "50%";
          deployKey = "/var/lib/keys/deploy";
          knownHosts = "mirror.example.org ${key "mirror"}";
          operators = [ bob ];
          syncStore = false;
          keepGenerations = 7;
          hardwareWatchdog = {
            enable = true;
            timeout = "30s";
            rebootTimeout = "5min";
          };
          settings = builtins.elemAt files 0 // {
            host = "web1";
          };
        };
      };
      db1.configuration.services.nixus = {
        forgeToken = "/var/lib/keys/forge";
        peers.web1 = {
          addresses = [ "192.0.2.11" ];
          hostKeys = [ (key "web1") ];
          port = 2222;
        };
        settings = lib.recursiveUpdate (builtins.elemAt files 1) { closure.system_name = "db1"; };
      };
      old1.configuration.services.nixus.settings = builtins.elemAt files 2;
      old2.configuration.services.nixus.settings = builtins.elemAt files 3;
    };
    folder = ./rendered/host;
    texts =
      hosts:
      lib.mapAttrs' (
        name: host: lib.nameValuePair "${name}.toml" host.environment.etc."nixus/config.toml".text
      ) hosts
      // lib.genAttrs units (read.unit hosts.web1)
      // {
        known_hosts = hosts.web1.environment.etc."nixus/known_hosts".text;
        "db1.nixus-report.service" = read.unit hosts.db1 "nixus-report.service";
        "db1.authorized_keys" = read.keys hosts.db1 "nixus-probe";
        "root.authorized_keys" = read.keys hosts.web1 "root";
        # The account's logins begin no session of logind.
        "db1.pam.sshd" = read.naming [
          "pam_succeed_if"
          "pam_systemd"
        ] hosts.db1.security.pam.services.sshd.text;
        "db1.sshd_config" = read.sshd hosts.db1 [ "PerSourcePenaltyExemptList" ];
        "system.conf" = read.only [
          "RebootWatchdogSec"
          "RuntimeWatchdogSec"
        ] hosts.web1.environment.etc."systemd/system.conf".text;
      };
    expect = hosts: {
      "the deploy key" = [
        hosts.web1.environment.etc."nixus/deploy_key".source
        "/var/lib/keys/deploy"
      ];
      "the format that the package writes" = [
        (lib.hasInfix "X-Nixus-Format=${toString package.format}\n"
          hosts.web1.systemd.units."nixus-verify.service".text
        )
        true
      ];
      "programs in the PATH of operators" = [
        (builtins.elem package hosts.web1.environment.systemPackages)
        true
      ];
      "the store is synced by default alone" = [
        (lib.mapAttrs (_: host: host.nix.settings.fsync-store-paths or false) hosts)
        {
          db1 = true;
          old1 = true;
          old2 = true;
          web1 = false;
        }
      ];
      "which public addresses there are" = [
        (lib.mapAttrs (_: host: host.services.nixus.public.hasIpv4 && host.services.nixus.public.hasIpv6) hosts)
        {
          db1 = false;
          old1 = false;
          old2 = false;
          web1 = true;
        }
      ];
    };
  };
}
// import ./options-fleet.nix (arguments // { inherit package read; })
