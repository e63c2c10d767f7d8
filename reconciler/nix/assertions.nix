# What cannot work is refused at evaluation, with what is right.
{
  config,
  lib,
  options,
  ...
}:
let
  cfg = config.services.nixus;
  settings = cfg.settings;
  ssh = config.services.openssh;
  sshd = import ./sshd.nix { inherit lib config; };
  forge = import ./forge.nix { inherit lib; };
  lacks =
    if settings.statuses == null then null else forge.lacks settings.repository.url settings.statuses;
  inStore = path: path != null && lib.hasPrefix "${builtins.storeDir}/" path;

  # The module and its own package are one release, in which no other key can be right.
  isOwn = options.services.nixus.package.highestPrio == (lib.mkOptionDefault null).priority;
  unknown = import ./unknown-keys.nix { inherit lib; } options.services.nixus.settings.type settings;
  stranger =
    one:
    "services.nixus.settings.${one.name}: this release knows no such key. There are ${lib.concatStringsSep ", " one.known}.";

  remotes = {
    "settings.repository" = settings.repository;
  }
  // lib.optionalAttrs (settings.reports != null) { "settings.reports" = settings.reports; };
  secrets = {
    inherit (cfg) deployKey forgeToken;
    "settings.ssh.host_key" = settings.ssh.host_key;
  }
  // lib.concatMapAttrs (name: remote: {
    "${name}.ssh_key" = remote.ssh_key;
    "${name}.token_file" = remote.token_file;
  }) remotes;

  peer = name: one: [
    {
      assertion = one.host_keys != [ ];
      message = "services.nixus: the peer ${name} has no host key, and nothing is trusted on first use: name what is in its /etc/ssh/ssh_host_ed25519_key.pub in hostKeys.";
    }
    {
      assertion = one.addresses != [ ];
      message = "services.nixus: the peer ${name} has no address: name at least one in addresses.";
    }
    {
      assertion = name != settings.host;
      message = "services.nixus: ${name} is named as its own peer: peers are other hosts.";
    }
  ];
  names = map (one: one.name) settings.peers;

  needed = {
    tcp = "address";
    http = "url";
    command = "command";
  };
  check =
    one:
    let
      key = needed.${one.kind} or null;
    in
    {
      assertion = key == null || one.${key} != null;
      message = "services.nixus.settings.checks: a check of kind ${one.kind} needs ${toString key}.";
    };
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = settings.repository.url != null;
        message = "services.nixus.settings.repository.url is not set: name the deploy repository, such as ssh://git@git.example.org/srv/git/deploy.git.";
      }
      {
        assertion =
          settings.repository.url == null
          || !(lib.hasPrefix "ssh://" settings.repository.url)
          || settings.repository.known_hosts != "/etc/nixus/known_hosts"
          || cfg.knownHosts != ""
          || config.environment.etc."nixus/known_hosts".text != "";
        message = "services.nixus.knownHosts is empty, and nothing is trusted on first use: name the host key of the git server (ssh-keyscan, then compare by hand).";
      }
      {
        assertion = cfg.peers == { } || ssh.enable;
        message = "services.nixus.peers needs services.openssh.enable: peers ask by SSH.";
      }
      {
        assertion = cfg.peers == { } || sshd.keepsOut "nixus-probe" == [ ];
        message = "services.nixus.peers: ${sshd.why "nixus-probe"}: let it in, or name no peers.";
      }
      {
        assertion = cfg.peers == { } || !(sshd.isOff (ssh.settings.PubkeyAuthentication or true));
        message = "services.nixus.peers: services.openssh.settings.PubkeyAuthentication is off, and peers have keys: turn it on, or name no peers.";
      }
      {
        assertion = builtins.length names == builtins.length (lib.unique names);
        message = "services.nixus.settings.peers: a peer is named twice (${lib.concatStringsSep ", " names}).";
      }
      {
        assertion = settings.statuses == null || (settings.statuses.token_file == null) != (settings.statuses.credential == null);
        message = "services.nixus.settings.statuses needs one of token_file and credential: a forge takes statuses from nobody else. services.nixus.forgeToken sets the latter.";
      }
      {
        assertion = lacks == null;
        message = "services.nixus.settings.statuses needs ${toString lacks}, which ${toString settings.repository.url} does not show: ${
          if lacks == "forge" then
            "one of github, gitlab, gitea, forgejo, bitbucket"
          else
            "owner and name, such as \"fleet/deploy\""
        }.";
      }
      {
        assertion = config.nix.enable or true;
        message = "services.nixus needs nix.enable: a host builds or fetches its systems with Nix.";
      }
      {
        assertion = config.system.switch.enable or true;
        message = "services.nixus needs system.switch.enable: a system without switch-to-configuration cannot be activated.";
      }
    ]
    ++ lib.mapAttrsToList (name: path: {
      assertion = !(inStore path);
      message = "services.nixus.${name} is in the Nix store, where everyone can read it: name a file on the host, as a string.";
    }) secrets
    ++ lib.concatMap (one: peer one.name one) settings.peers
    ++ map check settings.checks
    ++ map (one: {
      assertion = !isOwn;
      message = stranger one;
    }) unknown;
    warnings =
      lib.optionals (!isOwn) (map stranger unknown)
      ++ lib.optional (cfg.operators == [ ] && settings.operators == [ ])
      "services.nixus.operators is empty: no generation is kept where nobody can get in. Name the operators' public keys.";
  };
}
