# The files in /etc/nixus, and what of them has a default.
{ config, lib, ... }:
let
  cfg = config.services.nixus;
  toml = import ./toml.nix { inherit lib; };
  url = cfg.settings.repository.url;
  forSsh = path: lib.mkIf (url != null && lib.hasPrefix "ssh://" url) (lib.mkDefault path);
  systemName = config.system.name or config.networking.hostName;
  # Where each address that sshd listens on has a port, the others are not used.
  listens = map (one: one.port or null) (config.services.openssh.listenAddresses or [ ]);
  ports =
    if listens != [ ] && !(builtins.elem null listens) then listens else config.services.openssh.ports;
  # RSA host keys are none for Nixus, and are the first in NixOS' own list.
  hostKeys = builtins.filter (
    key:
    builtins.elem key.type [
      "ed25519"
      "ecdsa"
    ]
  ) config.services.openssh.hostKeys;
in
{
  config = lib.mkIf cfg.enable {
    services.nixus.settings = {
      # Only these two look at the URL: a condition on the whole table would look at itself.
      repository.ssh_key = forSsh "/etc/nixus/deploy_key";
      repository.known_hosts = forSsh "/etc/nixus/known_hosts";
      ssh.host_key = lib.mkIf (hostKeys != [ ]) (lib.mkDefault (builtins.head hostKeys).path);
      ssh.port = lib.mkIf (ports != [ 22 ]) (lib.mkDefault (builtins.head ports));
      # The program looks for a system of the host's name up to its first dot.
      closure.system_name = lib.mkIf (
        cfg.settings.closure.from == "manifest" && systemName != builtins.head (lib.splitString "." cfg.settings.host)
      ) (lib.mkDefault systemName);
      operators = lib.mkIf (cfg.operators != [ ]) [
        {
          user = "root";
          keys = cfg.operators;
        }
      ];
      statuses = lib.mkIf (cfg.forgeToken != null) { credential = "forge"; };
    };
    environment.systemPackages = [ cfg.package ];
    environment.etc = {
      "nixus/config.toml".text = toml.render cfg.settings;
      "nixus/known_hosts".text = cfg.knownHosts;
      "nixus/deploy_key" = lib.mkIf (cfg.deployKey != null) { source = cfg.deployKey; };
    };
  };
}
