# ssh.access: who gets in where. Host keys, names and ports are known to those who have access.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  own = import ../types.nix { inherit lib; };
  fleet = config;
  access = config.ssh.access;
  nodes = config.nodes;
  ip = import ./ip.nix { inherit lib; };
  blob = import ./without-comment.nix { inherit lib; };
  quote = text: builtins.replaceStrings [ "\\" "\"" ] [ "\\\\" "\\\"" ] text;

  # sshd(8), AUTHORIZED_KEYS FILE FORMAT.
  restrictions = {
    from = mkOption {
      type = types.listOf (types.strMatching "[^\",\n ]+");
      default = [ ];
      example = [ "192.0.2.0/24" ];
      description = "Addresses or patterns of them from which the key is accepted (`from=`).";
    };
    command = mkOption {
      type = types.nullOr (types.strMatching "[^\n]+");
      default = null;
      description = "The only command that the key runs (`command=`).";
    };
    restrict = mkOption {
      type = types.bool;
      default = false;
      description = "Whether forwarding, terminals and the like are refused (`restrict`).";
    };
  };
  line =
    key: grant:
    let
      limits = if builtins.isBool grant then key else grant;
      from = if limits.from != [ ] then limits.from else key.from;
      command = if limits.command != null then limits.command else key.command;
      options =
        lib.optional (from != [ ]) "from=\"${lib.concatStringsSep "," from}\""
        ++ lib.optional (command != null) "command=\"${quote command}\""
        ++ lib.optional (limits.restrict || key.restrict) "restrict";
    in
    {
      inherit command from;
      inherit (key) publicKey;
      text = lib.concatStringsSep " " (
        lib.optional (options != [ ]) (lib.concatStringsSep "," options) ++ [ key.publicKey ]
      );
    };

  # Every grant once: { source, key, target, user, line }.
  grants = lib.concatLists (
    lib.mapAttrsToList (
      source: from:
      lib.concatLists (
        lib.mapAttrsToList (
          key: described:
          lib.concatLists (
            lib.mapAttrsToList (
              target: users:
              lib.concatLists (
                lib.mapAttrsToList (
                  user: grant:
                  lib.optional (grant != false) {
                    inherit source key target user;
                    line = line described grant;
                  }
                ) users
              )
            ) described.hasAccessTo
          )
        ) from.keys
      )
    ) access
  );
  to = name: builtins.filter (grant: grant.target == name) grants;
  from = name: lib.unique (map (grant: grant.target) (builtins.filter (grant: grant.source == name) grants));

  publicOf =
    name:
    lib.optionals (nodes ? ${name}) (ip.ofPublic nodes.${name}.public);
  # With an authority, a host needs no entry of its own.
  about =
    name:
    access.${name} or {
      addresses = publicOf name;
      hostKeys = { };
      hostNames = [ ];
      port = 22;
    };
  hostNames =
    name:
    let
      target = about name;
      at = host: if target.port == 22 then host else "[${host}]:${toString target.port}";
    in
    map at (lib.unique ([ name ] ++ target.hostNames ++ target.addresses));
  knownHosts =
    name:
    lib.concatMapAttrs (key: publicKey: {
      "${name}-${key}" = {
        hostNames = hostNames name;
        inherit publicKey;
      };
    }) (about name).hostKeys;
  # A name leads to the host wherever names come from.
  client =
    name:
    let
      target = about name;
    in
    lib.optionalString (target.addresses != [ ] || target.port != 22) (
      "Host ${lib.concatStringsSep " " (lib.unique ([ name ] ++ target.hostNames))}\n"
      + lib.optionalString (target.addresses != [ ]) "  HostName ${builtins.head target.addresses}\n"
      + lib.optionalString (target.port != 22) "  Port ${toString target.port}\n"
    );

  module =
    name:
    { config, lib, ... }:
    let
      users = lib.groupBy (grant: grant.user) (to name);
      ssh = config.services.openssh;
      sshd = import ../sshd.nix { inherit lib config; };
      described = user: config.users.users.${user} or { };
      exists =
        user:
        user == "root"
        || (described user).isNormalUser or false
        || (described user).isSystemUser or false;
    in
    {
      users.users = builtins.mapAttrs (_: found: {
        openssh.authorizedKeys.keys = map (grant: grant.line.text) found;
      }) users;
      services.openssh.enable = lib.mkIf (users != { }) (lib.mkDefault true);
      services.openssh.ports = lib.mkIf (access ? ${name} && access.${name}.port != 22) (
        lib.mkDefault [ access.${name}.port ]
      );
      programs.ssh = {
        knownHosts = lib.concatMapAttrs (target: _: knownHosts target) (
          lib.genAttrs (from name) (target: null)
        );
        extraConfig = lib.concatMapStrings client (from name);
      };
      assertions =
        lib.concatMap (user: [
          {
            assertion = exists user;
            message = "ssh.access gives keys to ${user} on ${name}, where there is no such user: describe users.users.${user}, with isNormalUser or isSystemUser.";
          }
          {
            assertion = sshd.keepsOut user == [ ];
            message = "ssh.access gives keys to ${user} on ${name}, who is kept out: ${sshd.why user}.";
          }
        ]) (builtins.attrNames users)
        ++ lib.optional (access ? ${name}) {
          assertion =
            builtins.elem access.${name}.port ssh.ports
            || builtins.any (one: one.port or null == access.${name}.port) (ssh.listenAddresses or [ ]);
          message = "ssh.access.${name}.port is ${toString access.${name}.port}, and its sshd listens on ${
            lib.concatMapStringsSep ", " toString ssh.ports
          }: name one of these.";
        };
    };

  limited = grant: grant.line.command != null || grant.line.from != [ ];
  lockOut = builtins.filter (
    grant:
    grant.user == "root"
    && limited grant
    && builtins.any (key: blob key == blob grant.line.publicKey) fleet.nixus.operators
  ) grants;
  unknown = builtins.filter (grant: !(nodes ? ${grant.target})) grants;
  keyless = lib.unique (
    builtins.filter (
      target:
      nodes ? ${target} && (about target).hostKeys == { } && fleet.ssh.ca.hosts == { }
    ) (map (grant: grant.target) grants)
  );
in
{
  options.ssh.access = mkOption {
    default = { };
    description = "Hosts and others that take part in SSH, by name: how a host is known, and which keys have access to whom. Whoever is not a host of the fleet has keys only.";
    example = lib.literalExpression ''
      {
        web1.hostKeys.ed25519 = "ssh-ed25519 AAAA…";
        alice.keys.laptop = {
          publicKey = "ssh-ed25519 AAAA… alice";
          hasAccessTo.web1.deploy = true;
        };
      }
    '';
    type = types.attrsOf (
      types.submodule (
        { name, ... }:
        {
          options = {
            hostKeys = mkOption {
              type = types.attrsOf own.hostKey;
              default = { };
              example = lib.literalExpression ''{ ed25519 = "ssh-ed25519 AAAA…"; new = "ssh-ed25519 AAAA…"; }'';
              description = "The host keys, by any names: while one is replaced, the old and the new. Whoever knows the host takes each of them, and its secrets are encrypted to all of them.";
            };
            hostNames = mkOption {
              type = types.listOf own.address;
              default = [ ];
              description = "Other names of the host.";
            };
            addresses = mkOption {
              type = types.listOf own.address;
              default = publicOf name;
              defaultText = lib.literalMD "the host's `public`";
              description = "Where its sshd is, in the order in which others try.";
            };
            port = mkOption {
              type = types.port;
              default = 22;
              description = "The port of its sshd; others know its host keys by it.";
            };
            keys = mkOption {
              default = { };
              description = "The keys of users there, by any names.";
              type = types.attrsOf (
                types.submodule {
                  options = restrictions // {
                    publicKey = mkOption {
                      type = own.publicKey;
                      description = "The public key.";
                    };
                    hasAccessTo = mkOption {
                      type = types.attrsOf (
                        types.attrsOf (types.either types.bool (types.submodule { options = restrictions; }))
                      );
                      default = { };
                      description = "Host and user: `true`, or how the access is restricted.";
                    };
                  };
                }
              );
            };
          };
        }
      )
    );
  };
  config = {
    perNode = [ module ];
    assertions =
      map (grant: {
        assertion = false;
        message = "ssh.access.${grant.source}.keys.${grant.key}.hasAccessTo names ${grant.target}, and there is no such host: there are ${lib.concatStringsSep ", " (builtins.attrNames nodes)}.";
      }) unknown
      ++ map (target: {
        assertion = false;
        message = "ssh.access.${target}.hostKeys is empty, and others have access: nothing is trusted on first use. Write what is in its /etc/ssh/ssh_host_ed25519_key.pub as ssh.access.${target}.hostKeys.ed25519, or name an authority in ssh.ca.hosts.";
      }) keyless
      ++ map (grant: {
        assertion = false;
        message = "ssh.access.${grant.source}.keys.${grant.key} is an operator's key, and restricted for root on ${grant.target}: sshd takes the first line that fits, and would lock the operator out. Use another key.";
      }) lockOut;
  };
}
