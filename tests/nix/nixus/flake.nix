{
  description = "Nixus' own modules, with packages that the lab has put into the store";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      packages = import ./packages.nix;
      # The lab puts reconciler/nix here.
      nixosModule = {
        imports = [
          (import ./modules/module.nix { packageFor = _: packages.nixus; })
          (import ./lab.nix packages)
        ];
      };
    in
    {
      packages.x86_64-linux = packages;
      nixosModules.default = nixosModule;
      lib.mkFleet = import ./modules/fleet { inherit nixosModule; };
    };
}
