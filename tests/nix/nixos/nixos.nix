# nixpkgs' library and package set, and its hosts with what is the lab's.
{ tree }:
let
  lib = import (tree + "/lib");
  pkgs = import ./packages.nix { inherit tree; };
in
{
  inherit pkgs;
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
            ./machine.nix
            { nixpkgs.pkgs = pkgs; }
          ];
        }
      );
  };
}
