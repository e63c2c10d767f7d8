# The networks that the tables of vpn.networks begin with.
{ lib, wireguard }:
let
  members = names: lib.genAttrs names (name: { publicKey = wireguard name; });
  fleet = names: network: {
    # Beside the scripted networking NixOS itself warns of networkd.
    defaults.networking.useNetworkd = true;
    nodes = lib.genAttrs names (_: { });
    vpn.networks.lan = network;
  };
  star = more: {
    imports = [
      (fleet [
        "a"
        "b"
        "hub"
      ] { })
      {
        vpn.networks.lan = {
          ipv4 = "10.10.0.0/16";
          ipv6 = "fd10::/64";
          server = "hub";
          members = members [
            "a"
            "b"
            "hub"
          ];
        };
        nodes.hub.configuration.services.nixus.public.ipv4 = "192.0.2.1";
      }
      { vpn.networks.lan = more; }
    ];
  };
  mesh = more: {
    imports = [
      (fleet [
        "a"
        "b"
        "c"
      ] { })
      {
        vpn.networks.lan = {
          topology = "mesh";
          ipv4 = "10.10.0.0/24";
          members = lib.recursiveUpdate (members [
            "a"
            "b"
            "c"
          ]) {
            a.number = 1;
            b.number = 2;
            c.number = 3;
          };
        };
        nodes.a.configuration.services.nixus.public.ipv6 = "2001:db8::a";
        nodes.b.configuration.services.nixus.public.ipv4 = "192.0.2.2";
      }
      { vpn.networks.lan = more; }
    ];
  };
in
{
  inherit
    fleet
    members
    mesh
    star
    ;
}
