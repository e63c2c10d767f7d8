# Each host's health peers. Both sides must know each other: one asks, and the other looks back.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.peers;
  names = builtins.attrNames config.nodes;
  hasKey = name: (config.ssh.access.${name}.hostKeys or { }) != { };
  # A host without a host key cannot be a peer yet; sorted by name, so that all hosts agree.
  ring = builtins.filter hasKey names;
  size = builtins.length ring;
  at = number: builtins.elemAt ring (lib.mod (number + size) size);
  neighbours =
    name:
    let
      position = lib.findFirst (n: builtins.elemAt ring n == name) null (lib.range 0 (size - 1));
      steps = lib.range 1 (lib.min cfg.neighbours (size - 1));
    in
    if position == null then
      [ ]
    else
      lib.concatMap (step: [
        (at (position - step))
        (at (position + step))
      ]) steps;
  named = name: cfg.explicit.${name} or [ ];
  naming = name: builtins.filter (other: builtins.elem name (named other)) names;
  choose =
    name:
    {
      none = [ ];
      explicit = named name ++ naming name;
      ring = neighbours name ++ named name ++ naming name;
    }
    .${cfg.topology};
  unknown = lib.subtractLists names (
    builtins.attrNames cfg.explicit ++ builtins.concatLists (builtins.attrValues cfg.explicit)
  );
in
{
  options.peers = {
    topology = mkOption {
      type = types.enum [
        "ring"
        "explicit"
        "none"
      ];
      default = "ring";
      description = "How peers are chosen: the neighbours in a ring of all hosts that have a host key in `ssh.access`, as `peers.explicit` says, or none.";
    };
    neighbours = mkOption {
      type = types.ints.positive;
      default = 1;
      description = "How many neighbours on each side a host has in the ring.";
    };
    explicit = mkOption {
      type = types.attrsOf (types.listOf types.str);
      default = { };
      example = {
        web1 = [ "db1" ];
      };
      description = "Peers by name, for `explicit`, or beside those of the ring. Each is a peer of the other.";
    };
    of = mkOption {
      type = types.attrsOf (types.listOf types.str);
      readOnly = true;
      description = "The peers of each host, as chosen.";
    };
  };
  config = {
    peers.of = lib.genAttrs names (
      name: builtins.filter (other: other != name) (lib.unique (choose name))
    );
    assertions = map (name: {
      assertion = false;
      message = "peers.explicit names ${name}, and there is no such host: there are ${lib.concatStringsSep ", " names}.";
    }) (lib.unique unknown)
    ++ map (name: {
      assertion = hasKey name;
      message = "peers.explicit names ${name}, which has no host key: write what is in its /etc/ssh/ssh_host_ed25519_key.pub as ssh.access.${name}.hostKeys.ed25519.";
    }) (
      builtins.filter (name: builtins.elem name names) (
        lib.unique (builtins.attrNames cfg.explicit ++ builtins.concatLists (builtins.attrValues cfg.explicit))
      )
    );
  };
}
