# lib.nixosSystem of the stand-in: the same arguments and results as in nixpkgs.
{
  modules,
  specialArgs ? { },
  system ? "x86_64-linux",
}:
let
  lib = import ./lib.nix;
  pkgs = import ./pkgs.nix system;
  evaluated = import ./modules.nix lib (specialArgs // { inherit pkgs; }) (
    [
      ./options.nix
      ./services.nix
      ./units.nix
    ]
    ++ modules
  );
  toplevel = import ./toplevel.nix {
    inherit lib pkgs;
    config = evaluated.checked;
  };
in
{
  inherit pkgs lib;
  config = evaluated.config // {
    system = evaluated.config.system // {
      build = { inherit toplevel; };
    };
  };
}
