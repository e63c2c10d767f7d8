# Evaluates the tables beside this file. A case is a fleet and, of all its hosts, what has come of it:
#
#   "the promise" = {
#     fleet = { … };                           # a module of the fleet
#     expect = hosts: { what = [ got want ]; } # from the hosts' configurations
#     gives = fleet: { what = [ got want ]; }  # from what mkFleet gives; instead of it, or beside it
#     only = [ name ];                         # the hosts that are looked at; all unless given
#     specialArgs = { … };                     # mkFleet's
#     texts = hosts: { name = text; };         # which are to be as the files in `folder`
#   };
#
# or what is refused: `refused` are words of failed assertions, each of which must be said; `throws`
# are words of an evaluation's error, which only its caller can see. No host may warn of anything but with the
# words in `warns`.
#
# The hosts are of the stand-in (nixos.nix) with the types of `lib`, or with `tree`, which is all of nixpkgs, of
# NixOS' own modules.
{
  tree ? null,
  lib ? import (tree + "/lib"),
}:
let
  real = import ../real.nix { inherit tree; };
  nixpkgs =
    if tree == null then
      import ./nixos.nix { inherit lib; }
    else
      real.nixpkgsWith [ real.systemd-boot ];
  differing = import ../pairs.nix { inherit lib; };
  read = import ./rendered.nix { inherit lib; };
  hostsOf = fleet: builtins.mapAttrs (_: node: node.configuration) fleet.config.nodes;
  textsOf = case: hosts: builtins.mapAttrs (_: read.plain) (case.texts hosts);
  nixosModule = import ../../../reconciler/nix/module.nix { packageFor = pkgs: pkgs.nixus; };
  mkFleet = import ../../../reconciler/nix/fleet { inherit nixosModule; };
  # Keys with a name in them; nobody has their other halves.
  key =
    name:
    let
      letters = builtins.substring 0 42 (
        builtins.replaceStrings [ "-" ] [ "" ] name + builtins.hashString "sha256" name
      );
    in
    # The key's length takes two bits of the first letter.
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA${letters}";
  wireguard =
    name: "${builtins.substring 0 42 (name + builtins.hashString "sha256" "wg-${name}")}E=";
  # What every fleet of the tables says.
  base = {
    nixus = {
      repository = "ssh://git@git.example.org/deploy.git";
      knownHosts = "git.example.org ${key "git"}";
      operators = [ "${key "operator"} operator" ];
    };
  };
  arguments = {
    inherit
      key
      lib
      nixpkgs
      wireguard
      ;
    inherit (real) pkgs;
  };
  tables =
    lib.mapAttrs (_: file: import file arguments) {
      "services.nixus" = ./services-nixus.nix;
      fleet = ./fleet.nix;
      "ssh.access" = ./ssh.nix;
      peers = ./peers.nix;
      "vpn.networks" = ./vpn.nix;
      dns = ./dns.nix;
      secrets = ./secrets.nix;
    }
    // lib.optionalAttrs (tree != null) { options = ofOptions; };
  ofOptions = import ./options.nix arguments;

  evaluate =
    case:
    mkFleet {
      inherit nixpkgs;
      specialArgs = case.specialArgs or { };
      lastModified = 1700000000;
      # Where secrets are files.
      root = ./.;
      modules = [
        base
        case.fleet
      ];
    };
  failed = assertions: map (one: one.message) (builtins.filter (one: !one.assertion) assertions);
  show = value: builtins.toJSON value;

  # What is not as the table says.
  problems =
    case:
    let
      fleet = evaluate case;
      # Some may not be looked at.
      hosts = lib.genAttrs (case.only or (builtins.attrNames fleet.config.nodes)) (name: (hostsOf fleet).${name});
      ofFleet = failed fleet.config.assertions;
      # Where the fleet itself is wrong, its hosts are not looked at.
      said =
        if ofFleet != [ ] then
          ofFleet
        else
          lib.concatMap (host: failed host.assertions) (builtins.attrValues hosts);
      unsaid = builtins.filter (words: !(builtins.any (lib.hasInfix words) said)) (case.refused or [ ]);
      isExpected = warning: builtins.any (words: lib.hasInfix words warning) (case.warns or [ ]);
      warnings = builtins.mapAttrs (
        _: host: builtins.filter (warning: !(isExpected warning)) host.warnings
      ) hosts;
      expected =
        lib.mapAttrs' (name: said: lib.nameValuePair "what ${name} is warned of" [ said [ ] ]) warnings
        // lib.optionalAttrs (case ? texts) (read.differing case.folder (textsOf case hosts))
        // (case.expect or (_: { })) hosts
        // (case.gives or (_: { })) fleet;
    in
    if case ? refused then
      map (words: "was to be refused with ${show words}, and was with ${show said}") unsaid
      ++ lib.optional (
        builtins.length said != builtins.length case.refused
      ) "was refused for other reasons too: ${show said}"
    else
      map (message: "is refused: ${message}") said
      ++ differing expected;

  cases = lib.concatLists (
    lib.mapAttrsToList (
      table: lib.mapAttrsToList (name: case: { inherit table name case; })
    ) tables
  );
  isThrown = one: one.case ? throws;
  row = one: "${one.table}: ${one.name}";
  judged = map (one: {
    inherit (one) table name;
    problems = problems one.case;
  }) (builtins.filter (one: !(isThrown one)) cases);
in
{
  # Those that can be judged here.
  inherit judged;
  # The same by their tables and names, of which some are judged.
  rows = map row judged;
  # What the files in a folder of rendered/ should be, if what there is is right.
  texts =
    table: name:
    let
      case = tables.${table}.${name};
    in
    textsOf case (hostsOf (evaluate case));
  judge = rows: builtins.filter (one: builtins.elem (row one) rows) judged;
  # Those whose caller has to look at the error.
  throwing = map (one: {
    inherit (one) table name;
    inherit (one.case) throws;
  }) (builtins.filter isThrown cases);
  # Evaluates what the hosts of one of the latter would build, and who opens their secrets.
  throw =
    table: name:
    let
      fleet = evaluate tables.${table}.${name};
      built =
        _: system:
        let
          host = system.config;
        in
        [
          host.environment.etc
          host.programs.ssh
          host.services.bind
          host.system.build.toplevel.name
          host.systemd.network
          host.users.users
        ];
    in
    {
      hosts = builtins.mapAttrs built fleet.nixosConfigurations;
      secrets = fleet.nixusSecrets;
    };

  # The options of OPTIONS.md that no fleet of options.nix sets.
  unset = import ./unset.nix {
    inherit lib;
    fleets = map (case: case.fleet) (builtins.attrValues ofOptions);
  };

  # Those of these that are spans of time.
  spans = builtins.filter (import ../../../reconciler/nix/types.nix { inherit lib; }).span.check;
  # What `[statuses]` lacks beside each of these URLs of a repository.
  forges =
    let
      forge = import ../../../reconciler/nix/forge.nix { inherit lib; };
    in
    map (url: forge.lacks url {
      api = null;
      forge = null;
      repository = null;
    });
  # Those of these that a host may have for a name.
  hostNames = builtins.filter (import ../../../reconciler/nix/types.nix { inherit lib; }).isHostName;
  # What the drift test compares with the Rust side.
  settings = import ./settings.nix arguments;
  # The template as its users have it.
  template =
    let
      flake = (import ../../../deploy-repo-template/flake.nix).outputs {
        self = {
          lastModified = 1700000000;
          outPath = ../../../deploy-repo-template;
        };
        inherit nixpkgs;
        nixus.lib = { inherit mkFleet; };
      };
    in
    {
      # What `nix flake check` would build.
      checks = builtins.mapAttrs (_: builtins.mapAttrs (_: check: "${check}")) flake.checks;
      hosts = builtins.mapAttrs (name: system: {
        toplevel = system.config.system.build.toplevel.name;
        config = system.config.environment.etc."nixus/config.toml".text;
        peers = builtins.attrNames system.config.services.nixus.peers;
        secrets = flake.nixusSecrets.hosts.${name}.secrets;
      }) flake.nixosConfigurations;
    };
  # The template on each release of NixOS, here all of them the same.
  releases =
    let
      flake = import ../releases/flake.nix;
    in
    builtins.mapAttrs (_: check: "${check}")
      (flake.outputs (builtins.mapAttrs (_: _: nixpkgs) flake.inputs // { self = { }; })).checks.x86_64-linux;
  reference = import ../../../reconciler/nix/reference.nix { inherit lib; };
  # The root's flake, of which packages are only named.
  flake =
    let
      packagesOf =
        system:
        let
          packages = {
            inherit lib;
            installShellFiles = null;
            rustPlatform.buildRustPackage = package: package;
            stdenv = { };
            writeText = _: text: text;
            callPackage =
              file: arguments:
              lib.makeOverridable (import file) (
                builtins.intersectAttrs (builtins.functionArgs (import file)) packages // arguments
              );
          };
        in
        packages;
      self = outputs // {
        lastModified = 1700000000;
      };
      outputs = (import ../../../flake.nix).outputs {
        inherit self;
        nixpkgs = nixpkgs // {
          legacyPackages = lib.genAttrs [
            "x86_64-linux"
            "aarch64-linux"
          ] packagesOf;
        };
      };
    in
    {
      outputs = builtins.attrNames outputs;
      packages = builtins.mapAttrs (
        _: builtins.mapAttrs (_: package: {
          inherit (package) pname version;
          inherit (package.passthru) format;
        })
      ) outputs.packages;
      template = builtins.mapAttrs (_: checks: checks.template) outputs.checks;
    };
}
