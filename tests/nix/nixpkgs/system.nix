# lib.nixosSystem of the stand-in: the same arguments and results as in nixpkgs.
{
  modules,
  specialArgs ? { },
  system ? "x86_64-linux",
}:
let
  lib = import ./lib.nix;
  pkgs = import ./pkgs.nix system;
  evaluated = lib.evalModules {
    specialArgs = {
      inherit pkgs;
    }
    // specialArgs;
    modules = [
      ./bind.nix
      ./options.nix
      ./services.nix
      ./units.nix
    ]
    ++ modules;
  };
  toplevel = import ./toplevel.nix {
    inherit lib pkgs;
    config = evaluated.config;
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
