# The door for peers: an account that runs one command, and sshd's patience with them.
{ config, lib, ... }:
let
  cfg = config.services.nixus;
  peers = lib.attrValues cfg.peers;
  # sshd takes no names here (sshd_config(5)), and refuses to start with one.
  isIp = address: builtins.match "[0-9.]+|[0-9a-fA-F.]*:[0-9a-fA-F:.]*" address != null;
  # Who may ask: each peer's host keys open the account, and nothing but its own question.
  keys = lib.concatLists (
    lib.mapAttrsToList (
      name: peer:
      map (key: "command=\"${cfg.package}/bin/nixus probe ${name}\",restrict ${key}") peer.hostKeys
    ) cfg.peers
  );
in
{
  config = lib.mkIf cfg.enable {
    services.nixus.settings.peers = lib.mapAttrsToList (
      name: peer:
      {
        inherit name;
        inherit (peer) addresses;
        host_keys = peer.hostKeys;
      }
      // lib.optionalAttrs (peer.port != 22) { inherit (peer) port; }
    ) cfg.peers;
    # Questions about keys look like guessing (sshd_config(5), PerSourcePenalties).
    services.openssh.settings.PerSourcePenaltyExemptList = lib.mkDefault (
      lib.concatStringsSep "," (
        [
          "127.0.0.1"
          "::1"
        ]
        ++ builtins.filter isIp (
          cfg.settings.ssh.addresses ++ lib.concatMap (peer: peer.addresses) peers
        )
      )
    );
    users.users.nixus-probe = {
      isSystemUser = true;
      group = "nixus-probe";
      home = "/var/empty";
      # sshd starts a forced command with the account's shell.
      shell = "/bin/sh";
      openssh.authorizedKeys.keys = keys;
    };
    users.groups.nixus-probe = { };
  };
}
