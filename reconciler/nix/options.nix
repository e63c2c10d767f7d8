# What is said to Nixus beside the configuration file.
{ packageFor }:
{ lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkOption types;
  own = import ./types.nix { inherit lib; };
in
{
  options.services.nixus = {
    enable = mkEnableOption "Nixus, which keeps this host on the commit that the deploy repository says";
    package = lib.mkPackageOption { nixus = packageFor pkgs; } "nixus" {
      pkgsText = "nixus.packages.\${system}";
      extraDescription = "It has `nixus`, `nixus-switcher` and `nixus-secrets`.";
    };
    interval = mkOption {
      type = own.span;
      default = "1min";
      description = "The time between two passes ({manpage}`systemd.time(7)`).";
    };
    bootDelay = mkOption {
      type = own.span;
      default = "30s";
      description = "The time from the boot to the first pass ({manpage}`systemd.time(7)`).";
    };
    deployKey = mkOption {
      type = types.nullOr own.file;
      default = null;
      example = "/var/lib/nixus-keys/deploy_key";
      description = "The private key for the git server, a file on the host; `/etc/nixus/deploy_key` leads to it.";
    };
    knownHosts = mkOption {
      type = types.lines;
      default = "";
      example = "git.example.org ssh-ed25519 AAAA…";
      description = "The host keys of the git server, as in known_hosts. They are written to `/etc/nixus/known_hosts`.";
    };
    memoryLimit = mkOption {
      type = types.str;
      default = "1G";
      example = "25%";
      description = "What a pass and a verification may use ({manpage}`systemd.resource-control(5)`, `MemoryMax`), git among it. Evaluations and builds have `settings.closure.memory_limit` instead.";
    };
    operators = mkOption {
      type = types.listOf own.publicKey;
      default = [ ];
      description = "The keys that must let an operator in as root: a generation is kept only if they do.";
    };
    peers = mkOption {
      type = types.attrsOf (
        types.submodule {
          options = {
            addresses = mkOption {
              type = types.listOf own.address;
              default = [ ];
              description = "Where its sshd is, in the order in which they are tried.";
            };
            port = mkOption {
              type = types.port;
              default = 22;
              description = "Its sshd's port.";
            };
            hostKeys = mkOption {
              type = types.listOf own.hostKey;
              default = [ ];
              description = "The host keys that it may show. With one of them it may ask this host, and nothing else.";
            };
          };
        }
      );
      default = { };
      description = "The hosts that look whether this one can be reached, by name. They are let in as `nixus-probe`, by a forced command.";
    };
    forgeToken = mkOption {
      type = types.nullOr own.file;
      default = null;
      description = "The file on the host with the forge's token. Only the unit that posts gets it, as a systemd credential.";
    };
    syncStore = mkOption {
      type = types.bool;
      default = true;
      description = "Whether Nix writes store paths to the disk before it calls them valid: without, a power cut may leave files of a kept generation empty.";
    };
    hardwareWatchdog = {
      enable = mkEnableOption "the hardware's watchdog, which resets a machine whose systemd hangs";
      timeout = mkOption {
        type = own.span;
        default = "60s";
        description = "The time without a sign of life after which the machine is reset ({manpage}`systemd.time(7)`).";
      };
      rebootTimeout = mkOption {
        type = own.span;
        default = "10min";
        description = "The time that a reboot may take before the machine is reset.";
      };
    };
  };
}
