{
  description = "A stand-in for the Nixus flake: the same module, with packages that the lab has put into the store";

  outputs =
    { self }:
    {
      packages.x86_64-linux = import ./packages.nix;
      nixosModules.default = import ./module.nix self;
      lib.nixusSecrets = import ./fleet-secrets.nix;
    };
}
