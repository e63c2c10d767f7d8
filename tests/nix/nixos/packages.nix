# The package set: nixpkgs' own, with a stage of its standard environment in which whatever has a source
# is linked to Debian's files instead.
{ tree }:
import tree {
  system = "x86_64-linux";
  stdenvStages = import ./stage.nix { inherit tree; };
  overlays = [ (import ./overlay.nix) ];
  config = { };
}
