# What the whole fleet says to Nixus, filled into services.nixus of each host.
{ config, lib, ... }:
let
  inherit (lib) mkEnableOption mkOption types;
  own = import ../types.nix { inherit lib; };
  fleet = config;
  cfg = config.nixus;
  blob = import ./without-comment.nix { inherit lib; };

  # Where an operator's key is said to come from, wherever it has access.
  comeFrom = lib.concatLists (
    lib.mapAttrsToList (
      _: source:
      map
        (key: {
          user = "root";
          keys = [ key.publicKey ];
          inherit (key) from;
        })
        (
          builtins.filter (
            key: key.from != [ ] && builtins.any (one: blob one == blob key.publicKey) cfg.operators
          ) (lib.attrValues source.keys)
        )
    ) fleet.ssh.access
  );

  module =
    name:
    { config, lib, ... }:
    let
      ssh = config.services.openssh;
      root = config.users.users.root.openssh.authorizedKeys;
      sshd = import ../sshd.nix { inherit lib config; };
      rootLogin = ssh.settings.PermitRootLogin or "prohibit-password";
      missing = builtins.filter (
        key: !(builtins.any (line: blob line == blob key) root.keys)
      ) cfg.operators;
      lockOut = assertion: message: {
        assertion = cfg.operators == [ ] || !config.services.nixus.enable || assertion;
        message = "${name}: ${message}";
      };
    in
    {
      services.openssh.enable = lib.mkDefault true;
      users.users.root.openssh.authorizedKeys.keys = cfg.operators;
      services.nixus = {
        enable = lib.mkDefault true;
        inherit (cfg) knownHosts operators;
        deployKey = lib.mkDefault cfg.deployKey;
        forgeToken = lib.mkDefault cfg.forgeToken;
        peers = lib.genAttrs (fleet.peers.of.${name} or [ ]) (
          peer:
          let
            access = fleet.ssh.access.${peer};
          in
          {
            inherit (access) addresses port;
            hostKeys = lib.attrValues access.hostKeys;
          }
        );
        settings = {
          repository.url = lib.mkIf (cfg.repository != null) (lib.mkDefault cfg.repository);
          repository.branch = lib.mkDefault cfg.branch;
          ssh.addresses = fleet.ssh.access.${name}.addresses or [ ];
          operators = comeFrom;
          reports = lib.mkIf (cfg.reports != null) { url = lib.mkDefault cfg.reports; };
        };
      };
      assertions = [
        (lockOut (
          missing == [ ] || (root.keyFiles or [ ]) != [ ]
        ) "root's authorized keys lack those of operators (${lib.concatStringsSep ", " missing}): they would be locked out. Take a key out of nixus.operators to end its access.")
        (lockOut ssh.enable "services.openssh.enable is off: operators would be locked out.")
        (lockOut (
          !(sshd.isOff rootLogin) && lib.toLower (toString rootLogin) != "forced-commands-only"
        ) "services.openssh.settings.PermitRootLogin is ${builtins.toJSON rootLogin}: operators would be locked out. Their keys need \"prohibit-password\".")
        (lockOut (sshd.keepsOut "root" == [ ]) "${sshd.why "root"}: operators would be locked out.")
        (lockOut (
          !(sshd.isOff (ssh.settings.PubkeyAuthentication or true))
        ) "services.openssh.settings.PubkeyAuthentication is off: operators would be locked out.")
      ];
    };
in
{
  options.nixus = {
    enable = mkEnableOption "Nixus on every host" // {
      default = true;
    };
    repository = mkOption {
      type = types.nullOr own.remote;
      default = null;
      example = "ssh://git@git.example.org/srv/git/deploy.git";
      description = "The deploy repository, as hosts reach it.";
    };
    branch = mkOption {
      type = types.str;
      default = "main";
      description = "The branch that says what is to run.";
    };
    reports = mkOption {
      type = types.nullOr own.remote;
      default = null;
      description = "The repository that hosts write their reports to, a branch for each.";
    };
    knownHosts = mkOption {
      type = types.lines;
      default = "";
      description = "The host keys of the git server, as in known_hosts.";
    };
    deployKey = mkOption {
      type = types.nullOr own.file;
      default = "/var/lib/nixus-keys/deploy_key";
      description = "Where each host has its private key for the git server.";
    };
    forgeToken = mkOption {
      type = types.nullOr own.file;
      default = null;
      description = "Where each host has the forge's token, for commit statuses.";
    };
    operators = mkOption {
      type = types.listOf own.publicKey;
      default = [ ];
      description = "The public keys of those who log in as root on every host. No generation that keeps them out is kept.";
    };
  };
  config = lib.mkIf cfg.enable {
    perNode = [ module ];
    assertions = [
      {
        assertion = cfg.repository != null || config.nodes == { };
        message = "nixus.repository is not set: name the deploy repository, such as ssh://git@git.example.org/srv/git/deploy.git.";
      }
    ];
  };
}
