# mkFleet: one evaluation of modules over all hosts, so that one option can configure several.
# `nixosModule` is services.nixus.
{ nixosModule }:
{
  # A flake, or a path to a checkout: what hosts without a `nixpkgs` of their own are made from.
  nixpkgs,
  modules ? [ ],
  # For the fleet's modules, and for those of its hosts.
  specialArgs ? { },
  # The deploy repository's flake, whose commit's time is the serial of DNS zones.
  self ? null,
  lastModified ? self.lastModified or null,
  # Its repository, in which secrets are files; the flake may be in a folder of it.
  root ? (self.sourceInfo or self).outPath or null,
}:
let
  lib = nixpkgs.lib or (import (nixpkgs + "/lib"));
  evaluated = lib.evalModules {
    modules = [
      (import ./modules.nix { inherit nixosModule; })
      { inherit nixpkgs lastModified specialArgs; }
    ]
    ++ modules;
    inherit specialArgs;
  };
  fleet = evaluated.config;
  failed = builtins.filter (one: !one.assertion) fleet.assertions;
  sound =
    value:
    if failed == [ ] then
      value
    else
      throw "\nThe fleet cannot work as it is described:\n${
        lib.concatMapStrings (one: "- ${one.message}\n") failed
      }";

  systems = builtins.mapAttrs (_: node: node.configuration.passthru) fleet.nodes;
  platform = name: systems.${name}.pkgs.stdenv.hostPlatform.system;
  # Evaluated as a whole, assertions and all, and not built.
  described =
    name:
    builtins.unsafeDiscardStringContext "${name} ${systems.${name}.config.system.build.toplevel.drvPath}\n";
  byPlatform = lib.groupBy platform (builtins.attrNames systems);
in
{
  inherit (evaluated) config options;
  nixosConfigurations = sound systems;
  # That each host's system evaluates, and all of them together. `nix flake check` builds what is here, and systems
  # are as large as NixOS is: the pipelines build them.
  checks = sound (
    builtins.mapAttrs (
      _: names:
      builtins.listToAttrs (
        map (name: {
          name = "host-${name}";
          value = systems.${name}.pkgs.writeText "host-${name}" (described name);
        }) names
      )
      // {
        fleet = systems.${builtins.head names}.pkgs.writeText "fleet" (
          lib.concatMapStrings described names
        );
      }
    ) byPlatform
  );
  # Who may open which secret, for `nixus secrets`.
  nixusSecrets = sound (
    import ../fleet-secrets.nix {
      root = if root == null then throw "mkFleet: name the deploy repository's flake, as `self`" else root;
      nixosConfigurations = systems;
      hostKeys = builtins.mapAttrs (
        name: _: builtins.attrValues (fleet.ssh.access.${name}.hostKeys or { })
      ) systems;
      inherit (fleet.secrets) operators;
    }
  );
}
