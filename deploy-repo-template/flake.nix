{
  description = "A fleet of NixOS hosts that follow this repository";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    # Where your copy of Nixus is. Pin it like everything else: `nix flake update nixus`.
    nixus.url = "git+ssh://git@git.example.org/srv/git/nixus.git";
    nixus.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs =
    {
      self,
      nixpkgs,
      nixus,
      ...
    }:
    let
      # Every file in hosts/ is a host: hosts/web1.nix describes web1.
      names = builtins.concatMap (
        file:
        let
          name = builtins.match "(.*)\\.nix" file;
        in
        if name == null then [ ] else name
      ) (builtins.attrNames (builtins.readDir ./hosts));
      fleet = nixus.lib.mkFleet {
        inherit self nixpkgs;
        modules = [
          ./fleet.nix
          {
            defaults = ./common.nix;
            nodes = nixpkgs.lib.genAttrs names (name: {
              configuration = ./hosts + "/${name}.nix";
            });
          }
        ];
      };
    in
    {
      inherit (fleet) checks nixosConfigurations;
      # Who may open which secret: `nixus secrets` encrypts to these, and to nobody else.
      inherit (fleet) nixusSecrets;
      # `nix run .#nixus -- watch` and the like run the Nixus that the hosts have.
      inherit (nixus) packages;
    };
}
