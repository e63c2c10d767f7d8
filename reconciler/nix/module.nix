# services.nixus: a NixOS host that follows a deploy repository. `packageFor pkgs` is the package.
{ packageFor }:
{
  # The same module twice, by the fleet and by a host, is one.
  key = "nixus#services.nixus";
  _file = ./module.nix;
  imports = [
    (import ./options.nix { inherit packageFor; })
    ./settings.nix
    ./activation.nix
    ./assertions.nix
    ./files.nix
    ./generations.nix
    ./machine.nix
    ./network.nix
    ./peers.nix
    ./secrets.nix
    ./units.nix
  ];
}
