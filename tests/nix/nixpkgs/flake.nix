{
  description = "A stand-in for nixpkgs: NixOS-shaped systems for the lab's Debian hosts, without a network";

  outputs =
    { self }:
    {
      lib = import ./lib.nix // {
        nixosSystem = import ./system.nix;
      };
      legacyPackages.x86_64-linux = import ./pkgs.nix "x86_64-linux";
    };
}
