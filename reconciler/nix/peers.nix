# The door for peers: an account that runs one command, and sshd's patience with them.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  cfg = config.services.nixus;
  peers = lib.attrValues cfg.peers;
  # sshd takes no names here (sshd_config(5)), and refuses to start with one.
  isIp = address: builtins.match "[0-9.]+|[0-9a-fA-F.]*:[0-9a-fA-F:.]*" address != null;
  ip = import ./fleet/ip.nix { inherit lib; };
  sshd = import ./sshd.nix { inherit lib config; };
  # The host looks at its own door, too.
  without = address: builtins.head (lib.splitString "/" address);
  own =
    map without (
      lib.concatMap (network: lib.toList (network.address or [ ])) (
        lib.attrValues (config.systemd.network.networks or { })
      )
    )
    ++ lib.concatMap (
      interface:
      map (one: one.address) (
        (interface.ipv4.addresses or [ ]) ++ (interface.ipv6.addresses or [ ])
      )
    ) (lib.attrValues (config.networking.interfaces or { }));
  # Who may ask: each peer's host keys open the account, and nothing but its own question.
  keys = lib.concatLists (
    lib.mapAttrsToList (
      name: peer:
      map (key: "command=\"${cfg.package}/bin/nixus probe ${name}\",restrict ${key}") peer.hostKeys
    ) cfg.peers
  );
  asking = builtins.filter isIp (
    lib.unique (cfg.settings.ssh.addresses ++ own ++ lib.concatMap (peer: peer.addresses) peers)
  );
  exempt = config.services.openssh.settings.PerSourcePenaltyExemptList or null;
  # Somebody may have written another list, which takes the place of ours.
  forgotten = builtins.filter (
    address:
    exempt != null
    && !(builtins.any (one: ip.contains one address || sshd.matches one address) (
      lib.concatMap (lib.splitString ",") (lib.toList exempt)
    ))
  ) asking;
  pam = config.security.pam.services.sshd;
in
{
  config = lib.mkIf cfg.enable {
    # A login session for each question would come and go beside switches, which fail where they cannot talk to the
    # systemd of a user who is just leaving (pam_succeed_if(8): success skips the next rule).
    ${if options ? security then "security" else null}.pam.services.sshd.rules.session.nixus-probe = {
      enable = config.services.openssh.enable && pam.rules.session.systemd.enable or false;
      control = "[success=1 default=ignore]";
      modulePath = "${config.security.pam.package or pkgs.pam}/lib/security/pam_succeed_if.so";
      args = [
        "quiet"
        "user"
        "="
        "nixus-probe"
      ];
      order = pam.rules.session.systemd.order or 1 - 1;
    };
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
        ++ asking
      )
    );
    warnings = lib.optional (config.services.openssh.enable && forgotten != [ ]) "services.openssh.settings.PerSourcePenaltyExemptList lacks ${lib.concatStringsSep ", " forgotten}: sshd refuses peers, and this host itself, after a few questions. Add them to the list, or leave it out.";
    # sshd's account rules alone, to ask what they make of an operator's account: no session begins.
    environment.etc."pam.d/nixus-account" = lib.mkIf config.services.openssh.enable {
      text = ''
        auth required pam_permit.so
        account include sshd
        session required pam_permit.so
      '';
    };
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
