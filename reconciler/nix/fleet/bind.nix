# dns on the name servers: BIND (nixpkgs' services.bind), by UDP and TCP.
{ config, lib, ... }:
let
  ip = import ./ip.nix { inherit lib; };
  fleet = config;
  zones = builtins.attrValues fleet.dns.zones;
  addresses =
    host:
    lib.unique (
      ip.ofPublic fleet.nodes.${host}.public
      ++ fleet.ssh.access.${host}.addresses or [ ]
    );
  bare = zone: lib.removeSuffix "." zone.name;
  module =
    name:
    { lib, pkgs, ... }:
    let
      primary = builtins.filter (zone: zone.primary == name) zones;
      secondary = builtins.filter (zone: builtins.elem name zone.secondaries) zones;
      own = zone: {
        ${bare zone} = {
          master = true;
          file = "${pkgs.writeText "${bare zone}.zone" fleet.dns.texts.${zone.name}}";
          # Who may copy it.
          slaves = lib.concatMap addresses zone.secondaries;
          extraConfig = lib.optionalString (zone.secondaries != [ ]) ''
            notify explicit;
            also-notify { ${lib.concatMapStrings (one: "${one}; ") (lib.concatMap addresses zone.secondaries)}};
          '';
        };
      };
      copy = zone: {
        ${bare zone} = {
          master = false;
          # Fetched anew after a boot.
          file = "/run/named/${bare zone}.secondary";
          masters = addresses zone.primary;
        };
      };
      needed = map (host: {
        assertion = addresses host != [ ];
        message = "dns: ${host} has no address at which the other name servers find it: set services.nixus.public there, or ssh.access.${host}.addresses.";
      }) (lib.concatMap (zone: zone.secondaries) primary ++ map (zone: zone.primary) secondary);
    in
    {
      config = lib.mkIf (primary != [ ] || secondary != [ ]) {
        services.bind = {
          enable = true;
          # Only what is here is answered: nobody may use it to ask for the rest of the world.
          extraOptions = "recursion no;";
          zones = lib.mkMerge (map own primary ++ map copy secondary);
        };
        # nixpkgs' module would have the host ask this server, which knows nothing but its zones.
        networking.resolvconf.useLocalResolver = lib.mkOverride 900 false;
        networking.firewall = {
          allowedTCPPorts = [ 53 ];
          allowedUDPPorts = [ 53 ];
        };
        assertions =
          needed
          ++ lib.optionals (primary != [ ]) (
            map (message: {
              assertion = false;
              inherit message;
            }) fleet.dns.problems
          );
      };
    };
in
{
  perNode = [ module ];
}
