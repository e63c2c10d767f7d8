# The template on each NixOS that Nixus is for: the two newest releases, and what becomes the next.
#
#   nix flake check "git+file://$PWD?dir=tests/nix/releases"
{
  description = "Nixus on the releases of NixOS that it is for";

  inputs = {
    nixos-25_11.url = "github:NixOS/nixpkgs/nixos-25.11";
    nixos-26_05.url = "github:NixOS/nixpkgs/nixos-26.05";
    nixos-unstable.url = "github:NixOS/nixpkgs/nixos-unstable";
  };

  outputs =
    { self, ... }@inputs:
    let
      releases = removeAttrs inputs [ "self" ];
      nixus = import ../../..;
      template =
        nixpkgs:
        (import ../../../deploy-repo-template/flake.nix).outputs {
          self = {
            lastModified = self.lastModified or 0;
            outPath = ../../../deploy-repo-template;
          };
          inherit nixpkgs;
          nixus = {
            inherit (nixus) lib;
            packages = { };
          };
        };
      # Both hosts are evaluated as a whole, and neither is built.
      check = nixpkgs: (template nixpkgs).checks.x86_64-linux.fleet;
    in
    {
      checks.x86_64-linux = builtins.mapAttrs (_: check) releases;
    };
}
