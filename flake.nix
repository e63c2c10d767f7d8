{
  description = "Keeps a fleet of NixOS hosts on the commit that their git repository says";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      nixus = import ./.;
      each = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ];
      # The template as its users have it, with this Nixus.
      template = (import ./deploy-repo-template/flake.nix).outputs {
        self = {
          lastModified = self.lastModified or 0;
          outPath = ./deploy-repo-template;
        };
        inherit nixpkgs;
        nixus = self;
      };
    in
    {
      inherit (nixus) fleetModules lib nixosModules;
      packages = each (system: nixus.packages nixpkgs.legacyPackages.${system});
      templates.default = {
        path = ./deploy-repo-template;
        description = "A fleet of NixOS hosts that follow a git repository";
        welcomeText = "README.md leads from here to two running hosts; fleet.nix is what you edit first.";
      };
      checks = each (system: {
        inherit (self.packages.${system}) nixus nixus-switcher;
        # Evaluates all hosts and builds none: they are as large as NixOS is. On other releases of NixOS:
        # tests/nix/releases.
        template = nixpkgs.legacyPackages.${system}.writeText "template" (
          lib.concatMapStrings (
            host: builtins.unsafeDiscardStringContext "${host.config.system.build.toplevel.drvPath}\n"
          ) (lib.attrValues template.nixosConfigurations)
          + builtins.toJSON template.nixusSecrets
        );
      });
    };
}
