# The files in /etc/nixus, and what of them has a default.
{ config, lib, ... }:
let
  cfg = config.services.nixus;
  toml = import ./toml.nix { inherit lib; };
  overSsh = url: url != null && lib.hasPrefix "ssh://" url;
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
      repository = lib.mkIf (overSsh cfg.settings.repository.url) {
        ssh_key = lib.mkDefault "/etc/nixus/deploy_key";
        known_hosts = lib.mkDefault "/etc/nixus/known_hosts";
      };
      ssh.host_key = lib.mkIf (hostKeys != [ ]) (lib.mkDefault (builtins.head hostKeys).path);
      ssh.port = lib.mkIf (config.services.openssh.ports != [ 22 ]) (
        lib.mkDefault (builtins.head config.services.openssh.ports)
      );
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
