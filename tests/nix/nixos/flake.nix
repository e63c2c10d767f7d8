{
  description = "nixpkgs itself, for the lab's NixOS hosts: what has a source is linked to Debian's files";

  # The lab has put it into the store.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
  inputs.nixpkgs.flake = false;

  outputs =
    { self, nixpkgs }:
    let
      # A path of the store, whose files refer to each other.
      nixos = import ./nixos.nix { tree = nixpkgs.outPath; };
    in
    {
      inherit (nixos) lib;
      legacyPackages.x86_64-linux = nixos.pkgs;
      # A host of which nothing is said, built once for all others.
      plain =
        (nixos.lib.nixosSystem {
          modules = [ { lab.switchToConfiguration = "/"; } ];
        }).config.system.build.toplevel;
    };
}
