# The hosts: `nodes`, `defaults`, and what modules add to each of them.
{ nixosModule }:
{
  config,
  lib,
  options,
  ...
}:
let
  inherit (lib) mkOption types;
  fleet = config;
  publicAddresses = import ./public-addresses.nix { inherit lib; };
  nixosSystem =
    nixpkgs: arguments:
    if nixpkgs ? lib.nixosSystem then
      nixpkgs.lib.nixosSystem arguments
    else
      import (nixpkgs + "/nixos/lib/eval-config.nix") ({ system = null; } // arguments);
  libOf = nixpkgs: nixpkgs.lib or (import (nixpkgs + "/lib"));
  renamed = lib.optionalAttrs fleet.renamedOptions (import ./renamed.nix);

  argumentsOf = name: node: fleet.specialArgs // node.specialArgs // {
    inherit name fleet;
    # Other hosts, for what depends on them.
    nodes = builtins.mapAttrs (_: node: node.configuration) fleet.nodes;
  };
  # Each is blamed on the file that adds it.
  perNode =
    name:
    lib.concatMap (
      definition: map (module: lib.setDefaultModuleLocation definition.file (module name)) definition.value
    ) options.perNode.definitionsWithLocations;
  modulesOf = name: configuration: [ fleet.defaults ] ++ perNode name ++ [ configuration ];

  evaluate =
    name: node: configuration:
    let
      inherit (node) public;
      system = nixosSystem node.nixpkgs {
        specialArgs = argumentsOf name node;
        modules = [
          nixosModule
          ./public.nix
          ./dns-of-host.nix
          (named name)
          # Less than what the host says, which is the same.
          {
            services.nixus.public = {
              ipv4 = lib.mkOverride 1400 public.ipv4;
              ipv6 = lib.mkOverride 1400 public.ipv6;
            };
          }
          (
            { config, ... }:
            let
              said = config.services.nixus.public;
            in
            {
              assertions = map (version: {
                assertion = said.${version} == public.${version};
                message = "${name}: others find it at ${toString public.${version}}, and services.nixus.public.${version} is ${toString said.${version}}: set nodes.${name}.public.${version} alone.";
              }) [ "ipv4" "ipv6" ];
            }
          )
        ]
        ++ map ({ from, to }: (libOf node.nixpkgs).mkRenamedOptionModule from to) (
          lib.concatLists (builtins.attrValues renamed)
        )
        ++ modulesOf name configuration;
      };
    in
    # The whole system goes along, for nixosConfigurations.
    system.config // { passthru = system; };

  # `node` as it is described, `system` as it is evaluated, which only those modules reach that ask for it.
  declared =
    name: node: system:
    let
      inherit (node) nixpkgs;
      lib = libOf nixpkgs;
      folder = nixpkgs.outPath or (if builtins.isAttrs nixpkgs then null else nixpkgs);
    in
    import ./declared.nix {
      inherit lib;
      modules = modulesOf name node.configuration;
      renamed = renamed.declared or [ ];
      specialArgs = {
        modulesPath =
          if folder == null then
            system._module.specialArgs.modulesPath
          else
            "${toString folder}/nixos/modules";
      }
      // argumentsOf name node
      // {
        inherit (system) options pkgs;
        config = system.config // {
          inherit (system) _module;
        };
      };
    };
  own = import ../types.nix { inherit lib; };
  # NixOS keeps a host's name and its domain apart; Nixus looks for the whole in nixosConfigurations.
  named =
    name:
    let
      labels = lib.splitString "." name;
    in
    {
      networking = {
        hostName = lib.mkDefault (builtins.head labels);
      }
      // lib.optionalAttrs (builtins.length labels > 1) {
        domain = lib.mkDefault (lib.concatStringsSep "." (builtins.tail labels));
      };
      services.nixus.settings.host = lib.mkDefault name;
    };
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
    specialArgs = mkOption {
      type = types.lazyAttrsOf types.raw;
      default = { };
      example = lib.literalExpression "{ inherit inputs; }";
      description = "Arguments for the modules of every host, which `imports` may depend on: mkFleet's `specialArgs`. `name`, `nodes` and `fleet` are there in any case.";
    };
    renamedOptions = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether hosts also know `secrets.*`, `dns.records` and `networking.public`, as the original Nixus called `services.nixus.secrets.*`, `services.nixus.dns.records` and `services.nixus.public`. Turn it off where a module of your own has options of these names.";
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
              specialArgs = mkOption {
                type = types.lazyAttrsOf types.raw;
                default = { };
                description = "Arguments for this host's modules, beside the fleet's and before them.";
              };
              configuration = mkOption {
                type = types.deferredModule;
                default = { };
                description = "The host's NixOS configuration. Read, it is the evaluated configuration.";
              };
              public = mkOption {
                type = publicAddresses;
                default = { };
                description = "Where the host is reached from everywhere, as far as its configuration does not say so with `services.nixus.public`. Read, it is what others find it by, and the host is not evaluated for it.";
              };
              dns.records = mkOption {
                type = types.raw;
                readOnly = true;
                internal = true;
                description = "The records that the host's configuration declares.";
              };
            };
            config =
              let
                own = declared name config fleet.nodes.${name}.configuration.passthru;
              in
              {
                public = {
                  ipv4 = lib.mkOverride 1400 own.public.ipv4;
                  ipv6 = lib.mkOverride 1400 own.public.ipv6;
                };
                dns.records = own.dns.records;
              };
          }
        )
      );
      apply = builtins.mapAttrs (
        name: node: node // { configuration = evaluate name node node.configuration; }
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
    assertion = own.isHostName name;
    message = "nodes: ${builtins.toJSON name} is not a host name: letters and digits, - and _ between them, and dots between labels.";
  }) (builtins.attrNames fleet.nodes);
}
