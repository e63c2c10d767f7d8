# vpn.networks: what a network is. Who gets which address is decided here, how it is built in
# wireguard.nix.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  own = import ../types.nix { inherit lib; };
  ip = import ./ip.nix { inherit lib; };
  fleet = config;
  hash =
    text:
    lib.fromHexString (builtins.substring 0 7 (builtins.hashString "sha256" text));

  member =
    network:
    { name, config, ... }:
    let
      subnet4 = ip.subnet4 network.ipv4;
      subnet6 = ip.subnet6 network.ipv6;
      # As many numbers as both subnets have; the first is the server's.
      room = lib.min (if network.ipv4 != null && subnet4 != null then subnet4.hosts else 65534) 65534;
      public = fleet.nodes.${name}.public;
    in
    {
      options = {
        enable = mkOption {
          type = types.bool;
          default = true;
          description = "Whether the host takes part.";
        };
        publicKey = mkOption {
          type = types.strMatching "[A-Za-z0-9+/]{43}=";
          description = "Its WireGuard public key (`wg pubkey`).";
        };
        privateKeyFile = mkOption {
          type = own.file;
          default = "/var/lib/nixus-keys/wireguard";
          description = "The file on the host with its private key (`wg genkey`); the group systemd-network must be able to read it.";
        };
        number = mkOption {
          type = types.ints.positive;
          default =
            if name == network.server then
              1
            else if room < 3 then
              2
            else
              2 + lib.mod (hash name) (room - 1);
          defaultText = lib.literalMD "1 for the server, else made from the host's name";
          description = "Its number within the subnets. It does not change when others join.";
        };
        ipv4 = mkOption {
          type = types.nullOr types.str;
          default = if network.ipv4 == null || subnet4 == null then null else subnet4.host config.number;
          defaultText = lib.literalMD "from `number`";
          description = "Its IPv4 address within the network.";
        };
        ipv6 = mkOption {
          type = types.nullOr types.str;
          default = if network.ipv6 == null || subnet6 == null then null else subnet6.host config.number;
          defaultText = lib.literalMD "from `number`";
          description = "Its IPv6 address within the network.";
        };
        endpoint = mkOption {
          type = types.nullOr own.address;
          default =
            if !(fleet.nodes ? ${name}) then
              null
            else if public.hasIpv4 then
              public.ipv4
            else
              public.ipv6;
          defaultText = lib.literalMD "the host's `public`";
          description = "Where others reach it; without, it is only found by those whom it finds.";
        };
        port = mkOption {
          type = types.port;
          default = network.port;
          defaultText = lib.literalMD "the network's";
          description = "The UDP port at which it is reached.";
        };
        routes = mkOption {
          type = types.listOf types.str;
          default = [ ];
          example = [ "10.20.0.0/16" ];
          description = "Subnets behind it that others reach through it.";
        };
        internetGateway = mkOption {
          type = types.bool;
          default = false;
          description = "Whether all its other traffic goes through the server too.";
        };
      };
    };

  network =
    { name, config, ... }:
    {
      options = {
        enable = mkOption {
          type = types.bool;
          default = true;
          description = "Whether there is this network.";
        };
        topology = mkOption {
          type = types.enum [
            "star"
            "mesh"
          ];
          default = "star";
          description = "Whether all traffic goes through the server, or from each to each.";
        };
        server = mkOption {
          type = types.nullOr types.str;
          default = null;
          description = "The host in the middle of a star.";
        };
        interface = mkOption {
          type = types.strMatching "[A-Za-z0-9_-]{1,15}";
          default = "vpn-${name}";
          defaultText = lib.literalExpression "\"vpn-\${name}\"";
          description = "The name of the network interface, at most 15 characters.";
        };
        ipv4 = mkOption {
          type = types.nullOr types.str;
          default = null;
          example = "10.10.0.0/16";
          description = "The IPv4 subnet.";
        };
        ipv6 = mkOption {
          type = types.nullOr types.str;
          default = null;
          example = "fd10::/64";
          description = "The IPv6 subnet.";
        };
        port = mkOption {
          type = types.port;
          default = 51820;
          description = "The UDP port of those who are reached by others.";
        };
        internetGateway = mkOption {
          type = types.bool;
          default = false;
          description = "Whether the server passes its members' traffic on to the rest of the world, under its own address.";
        };
        members = mkOption {
          type = types.attrsOf (types.submodule (member config));
          default = { };
          description = "The hosts in it, by name.";
        };
      };
    };

  check =
    name: network:
    let
      here = "vpn.networks.${name}";
      all = network.members;
      on = lib.filterAttrs (_: one: one.enable) all;
      subnet4 = ip.subnet4 network.ipv4;
      subnet6 = ip.subnet6 network.ipv6;
      twice =
        what: list:
        lib.concatMap (
          value:
          let
            holders = builtins.attrNames (lib.filterAttrs (_: one: one.${what} == value) on);
          in
          lib.optional (value != null && builtins.length holders > 1) {
            assertion = false;
            message = "${here}: ${lib.concatStringsSep " and " holders} have the same ${what}, ${value}: set members.${lib.last holders}.number, or another key.";
          }
        ) (lib.unique list);
      values = what: map (one: one.${what}) (builtins.attrValues on);
      inside =
        version: subnet: is:
        lib.mapAttrsToList (
          host: one:
          let
            address = one."ipv${version}";
          in
          {
            assertion = address == null || (subnet != null && is address && subnet.has address);
            message = "${here}.members.${host}.ipv${version}: ${toString address} is not a host's address in ${toString network."ipv${version}"}: set another number or address.";
          }
        ) on;
    in
    lib.optionals network.enable (
      [
        {
          assertion = network.ipv4 != null || network.ipv6 != null;
          message = "${here} has no subnet: set ipv4, such as 10.10.0.0/16, or ipv6, such as fd10::/64.";
        }
        {
          assertion = network.ipv4 == null || subnet4 != null;
          message = "${here}.ipv4: ${toString network.ipv4} is not a subnet such as 10.10.0.0/16, with zeros behind a prefix of at most 30 bits.";
        }
        {
          assertion = network.ipv6 == null || subnet6 != null;
          message = "${here}.ipv6: ${toString network.ipv6} is not a subnet such as fd10::/64, with zeros behind a prefix of at most 112 bits.";
        }
        {
          assertion = network.topology != "star" || (network.server != null && on ? ${network.server});
          message = "${here} is a star, and its server (${toString network.server}) is not a member that takes part: name one of ${lib.concatStringsSep ", " (builtins.attrNames on)} as server, or set topology = \"mesh\".";
        }
        {
          assertion =
            network.topology != "star"
            || network.server == null
            || !(on ? ${network.server})
            || on.${network.server}.endpoint != null;
          message = "${here}: nobody can reach its server ${toString network.server}: set members.${toString network.server}.endpoint, or its services.nixus.public.";
        }
        {
          assertion = network.topology != "mesh" || network.server == null;
          message = "${here} is a mesh, which has no server: leave server out, or set topology = \"star\".";
        }
        {
          assertion = !(builtins.any (one: one.internetGateway) (builtins.attrValues on)) || (network.internetGateway && network.topology == "star");
          message = "${here}: a member sends its traffic through the server, which does not pass it on: set ${here}.internetGateway in a star.";
        }
      ]
      ++ map (host: {
        assertion = false;
        message = "${here}.members names ${host}, and there is no such host: there are ${lib.concatStringsSep ", " (builtins.attrNames fleet.nodes)}.";
      }) (lib.subtractLists (builtins.attrNames fleet.nodes) (builtins.attrNames all))
      ++ lib.optionals (network.topology == "mesh") (
        let
          hidden = builtins.attrNames (
            lib.filterAttrs (host: one: fleet.nodes ? ${host} && one.endpoint == null) on
          );
        in
        lib.optional (builtins.length hidden > 1) {
          assertion = false;
          message = "${here}: ${lib.concatStringsSep " and " hidden} cannot find each other: set endpoint, or services.nixus.public, for all of them but one.";
        }
      )
      ++ inside "4" subnet4 ip.isV4
      ++ inside "6" subnet6 ip.isV6
      ++ twice "ipv4" (values "ipv4")
      ++ twice "ipv6" (values "ipv6")
      ++ twice "publicKey" (values "publicKey")
    );
in
{
  options.vpn.networks = mkOption {
    type = types.attrsOf (types.submodule network);
    default = { };
    description = "WireGuard networks, by name. systemd-networkd has their interfaces, and on a host whose other interfaces it has not, these alone; NixOS warns of the two beside each other where `networking.useDHCP` is on.";
  };
  config.assertions = lib.concatLists (lib.mapAttrsToList check config.vpn.networks);
}
