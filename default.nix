# Nixus without flakes: import this file, or what it is named by in a pinned checkout.
let
  packageFor = pkgs: pkgs.callPackage ./reconciler/nix/package.nix { };
  nixosModule = import ./reconciler/nix/module.nix { inherit packageFor; };
in
{
  nixosModules.default = nixosModule;
  fleetModules.default = import ./reconciler/nix/fleet/modules.nix { inherit nixosModule; };
  lib = {
    mkFleet = import ./reconciler/nix/fleet { inherit nixosModule; };
    # For those who write `nixosConfigurations` without mkFleet, which gives it by itself.
    nixusSecrets = import ./reconciler/nix/fleet-secrets.nix;
  };
  packages = pkgs: {
    default = packageFor pkgs;
    nixus = packageFor pkgs;
    nixus-switcher = (packageFor pkgs).override { program = "nixus-switcher"; };
  };
}
