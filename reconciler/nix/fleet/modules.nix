# The modules that span hosts (the flake's fleetModules.default).
{ nixosModule }:
{
  key = "nixus#fleet";
  imports = [
    (import ./nodes.nix { inherit nixosModule; })
    ./nixus.nix
    ./peers.nix
    ./secrets.nix
    ./ssh.nix
    ./ssh-ca.nix
    ./vpn.nix
    ./wireguard.nix
    ./dns.nix
    ./bind.nix
  ];
}
