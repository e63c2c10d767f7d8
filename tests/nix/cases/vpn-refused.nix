# The networks that vpn.networks refuses.
{ lib, wireguard, ... }:
let
  inherit (import ./vpn-fleets.nix { inherit lib wireguard; })
    fleet
    members
    mesh
    star
    ;
  two = {
    publicKey = wireguard "two";
  };
in
{
  "a network without a subnet" = {
    fleet = fleet [ "a" ] {
      topology = "mesh";
      members = members [ "a" ];
    };
    refused = [ "vpn.networks.lan has no subnet: set ipv4, such as 10.10.0.0/16" ];
  };
  "subnets that are none" = {
    fleet = fleet [ "a" ] {
      topology = "mesh";
      ipv4 = "10.10.0.1/16";
      ipv6 = "fd10::/128";
      members = members [ "a" ];
    };
    refused = [
      "vpn.networks.lan.ipv4: 10.10.0.1/16 is not a subnet"
      "vpn.networks.lan.ipv6: fd10::/128 is not a subnet"
    ];
  };
  "a star without a server" = {
    fleet = star { server = lib.mkForce null; };
    refused = [ "vpn.networks.lan is a star, and its server () is not a member that takes part: name one of a, b, hub" ];
  };
  "a server that does not take part" = {
    fleet = star { members.hub.enable = false; };
    refused = [ "its server (hub) is not a member that takes part" ];
  };
  "a server that nobody can reach" = {
    fleet = star { } // { nodes.hub.configuration.services.nixus.public.ipv4 = lib.mkForce null; };
    refused = [ "nobody can reach its server hub: set members.hub.endpoint, or its services.nixus.public" ];
  };
  "a mesh with a server" = {
    fleet = mesh { server = "a"; };
    refused = [ "is a mesh, which has no server" ];
  };
  "two in a mesh that cannot find each other" = {
    fleet = mesh { members.b.endpoint = null; };
    refused = [ "b and c cannot find each other" ];
  };
  "an address outside of the subnet, and the network's own" = {
    fleet = star {
      members.a.ipv4 = "10.11.0.1";
      members.b.ipv6 = "fd10::";
    };
    refused = [
      "members.a.ipv4: 10.11.0.1 is not a host's address in 10.10.0.0/16"
      "members.b.ipv6: fd10:: is not a host's address in fd10::/64"
    ];
  };
  "an address twice" = {
    fleet = star {
      members.a.ipv4 = "10.10.0.5";
      members.b.ipv4 = "10.10.0.5";
    };
    refused = [ "a and b have the same ipv4, 10.10.0.5: set members.b.number, or another key" ];
  };
  "a key twice" = {
    fleet = star { members.b.publicKey = lib.mkForce (wireguard "a"); };
    refused = [ "a and b have the same publicKey" ];
  };
  "a number that is too high" = {
    fleet = mesh { members.a.number = lib.mkForce 255; };
    refused = [ "members.a.ipv4: 10.10.0.255 is not a host's address in 10.10.0.0/24" ];
  };
  "a member that is not a host" = {
    fleet = star { members.z = two; };
    refused = [ "vpn.networks.lan.members names z, and there is no such host" ];
  };
  "a firewall that drops what the gateway answers" = {
    fleet = star { internetGateway = true; members.a.internetGateway = true; } // {
      defaults.networking.firewall.checkReversePath = "strict";
    };
    refused = [ "vpn.networks.lan.members.a.internetGateway: networking.firewall.checkReversePath is \"strict\"" ];
  };
  "a client of a gateway that is none" = {
    fleet = star { members.a.internetGateway = true; };
    refused = [ "a member sends its traffic through the server, which does not pass it on" ];
  };
  "a private key in the store" = {
    fleet = star { members.a.privateKeyFile = "/nix/store/00000000000000000000000000000000-key"; };
    refused = [ "vpn.networks.lan.members.a.privateKeyFile is in the Nix store" ];
  };
  "an interface's name that is too long for Linux" = {
    fleet = star { interface = "a-very-long-name"; };
    throws = "is not of type `string matching the pattern [A-Za-z0-9_-]{1,15}'";
  };
}
