{
  description = "A fleet of NixOS hosts that follow this repository";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";
    # Where your copy of Nixus is. Pin it like everything else: `nix flake update nixus`.
    nixus.url = "git+ssh://git@git.example.org/srv/git/nixus.git";
  };

  outputs =
    {
      self,
      nixpkgs,
      nixus,
      ...
    }:
    let
      fleet = import ./fleet.nix;
      # Every file in hosts/ is a host: hosts/web1.nix describes web1.
      names = map (file: builtins.head (builtins.match "(.*)\\.nix" file)) (
        builtins.filter (file: builtins.match ".*\\.nix" file != null) (
          builtins.attrNames (builtins.readDir ./hosts)
        )
      );
      host =
        name:
        nixpkgs.lib.nixosSystem {
          specialArgs = {
            inherit name fleet;
          };
          modules = [
            nixus.nixosModules.default
            ./common.nix
            (./hosts + "/${name}.nix")
          ];
        };
    in
    {
      nixosConfigurations = builtins.listToAttrs (
        map (name: {
          inherit name;
          value = host name;
        }) names
      );

      # Who may open which secret: `nixus secrets` encrypts to these, and to nobody else.
      nixusSecrets = nixus.lib.nixusSecrets {
        root = ./.;
        inherit (self) nixosConfigurations;
        inherit (fleet) operators;
        hostKeys = builtins.mapAttrs (_: host: host.hostKeys) fleet.hosts;
      };
    };
}
