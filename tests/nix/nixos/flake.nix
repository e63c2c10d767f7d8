{
  description = "nixpkgs itself, for the lab's NixOS hosts: what has a source is linked to Debian's files";

  # The lab has put it into the store.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";
  inputs.nixpkgs.flake = false;

  outputs =
    { self, nixpkgs }:
    let
      # A path of the store, whose files refer to each other.
      tree = nixpkgs.outPath;
      lib = import (tree + "/lib");
      pkgs = import ./packages.nix { inherit tree; };
    in
    {
      lib = lib // {
        nixosSystem =
          arguments:
          import (tree + "/nixos/lib/eval-config.nix") (
            {
              inherit lib;
              system = null;
            }
            // arguments
            // {
              modules = arguments.modules ++ [
                (tree + "/nixos/modules/profiles/minimal.nix")
                ./host.nix
                { nixpkgs.pkgs = pkgs; }
              ];
            }
          );
      };
      legacyPackages.x86_64-linux = pkgs;
    };
}
