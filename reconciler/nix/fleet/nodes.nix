# The hosts: `nodes`, `defaults`, and what modules add to each of them.
{ nixosModule }:
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  fleet = config;
  nixosSystem =
    nixpkgs: arguments:
    if nixpkgs ? lib.nixosSystem then
      nixpkgs.lib.nixosSystem arguments
    else
      import (nixpkgs + "/nixos/lib/eval-config.nix") ({ system = null; } // arguments);
  evaluate =
    name: nixpkgs: module:
    let
      system = nixosSystem nixpkgs {
        specialArgs = {
          inherit name fleet;
          # Other hosts, for what depends on them.
          nodes = builtins.mapAttrs (_: node: node.configuration) fleet.nodes;
        };
        modules = [
          nixosModule
          ./public.nix
          ./dns-of-host.nix
          { networking.hostName = lib.mkDefault name; }
          fleet.defaults
        ]
        ++ map (module: module name) fleet.perNode
        ++ [ module ];
      };
    in
    # The whole system goes along, for nixosConfigurations.
    system.config // { passthru = system; };
  valid = name: builtins.match "[A-Za-z0-9_][A-Za-z0-9_-]*(\\.[A-Za-z0-9_][A-Za-z0-9_-]*)*" name != null;
in
{
  options = {
    nixpkgs = mkOption {
      type = types.raw;
      description = "The nixpkgs that hosts are made from unless they have their own: a flake, or the path of a checkout.";
    };
    lastModified = mkOption {
      type = types.nullOr types.ints.unsigned;
      default = null;
      description = "The time of the deploy repository's commit, in seconds since 1970.";
    };
    defaults = mkOption {
      type = types.deferredModule;
      default = { };
      description = "A NixOS module that every host has.";
    };
    perNode = mkOption {
      type = types.listOf types.raw;
      default = [ ];
      example = lib.literalExpression "[ (name: { environment.etc.fleet.text = name; }) ]";
      description = "Functions from a host's name to a NixOS module for it: how modules that span hosts configure each of them.";
    };
    nodes = mkOption {
      default = { };
      description = "The hosts, by name.";
      type = types.attrsOf (
        types.submodule (
          { name, config, ... }:
          {
            options = {
              nixpkgs = mkOption {
                type = types.raw;
                default = fleet.nixpkgs;
                defaultText = lib.literalExpression "config.nixpkgs";
                description = "The nixpkgs that this host is made from.";
              };
              configuration = mkOption {
                type = types.deferredModule;
                default = { };
                apply = evaluate name config.nixpkgs;
                description = "The host's NixOS configuration. Read, it is the evaluated configuration.";
              };
            };
          }
        )
      );
    };
    assertions = mkOption {
      type = types.listOf types.unspecified;
      default = [ ];
      internal = true;
      description = "What must be so in the fleet, as NixOS' own `assertions`.";
    };
  };
  config.assertions = map (name: {
    assertion = valid name;
    message = "nodes: ${builtins.toJSON name} is not a host name: letters, digits, - and _, with dots between labels.";
  }) (builtins.attrNames fleet.nodes);
}
