# What becomes of secrets.files: tables for `lib.runTests`, whose answer is the list of failures.
#
#   nix-instantiate --eval --strict reconciler/nix/tests/secrets.nix --arg lib 'import <nixpkgs/lib>'
{ lib }:
let
  inherit (lib) mkOption types;

  # The options of NixOS that the module reads or sets.
  nixos = {
    options = {
      assertions = mkOption {
        type = types.listOf types.anything;
        default = [ ];
      };
      services.openssh.hostKeys = mkOption {
        type = types.listOf (types.attrsOf types.anything);
        default = [
          {
            type = "rsa";
            path = "/etc/ssh/ssh_host_rsa_key";
          }
          {
            type = "ed25519";
            path = "/etc/ssh/ssh_host_ed25519_key";
          }
          {
            type = "ecdsa";
            path = "/etc/ssh/ssh_host_ecdsa_key";
          }
        ];
      };
      services.nixus.package = mkOption {
        default = {
          type = "derivation";
          name = "nixus";
          outPath = "/nix/store/00000000000000000000000000000000-nixus";
        };
      };
      users.users = mkOption { default = { }; };
      users.groups = mkOption { default = { }; };
      system.activationScripts = mkOption {
        type = types.attrsOf types.anything;
        default = { };
      };
      systemd.services = mkOption {
        type = types.attrsOf types.anything;
        default = { };
      };
      environment.etc = mkOption {
        type = types.attrsOf types.anything;
        default = { };
      };
    };
  };
  userborn.options.services.userborn.enable = mkOption { default = true; };
  # Instead of a derivation, its text.
  pkgs.writeText = _: builtins.unsafeDiscardStringContext;

  evaluate =
    modules:
    (lib.evalModules {
      modules = [
        nixos
        ../secrets.nix
        { _module.args = { inherit pkgs; }; }
      ]
      ++ modules;
    }).config;
  failed =
    config: map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
  described = config: builtins.fromJSON config.environment.etc."nixus/secrets.json".source;

  file = ./secrets.nix;
  # A host with one secret.
  one = secret: evaluate [ { secrets.files.db = { inherit file; } // secret; } ];
  shop = {
    users.users.shop = { };
    users.groups.acme = { };
  };

  good = {
    testRootsAlone = {
      given = { };
      expected = {
        user = "root";
        group = "root";
        mode = "0400";
        path = "/run/nixus-secrets/db";
        restartUnits = [ ];
        reloadUnits = [ ];
      };
    };
    testAUsersAlone = {
      given.user = "shop";
      expected = {
        user = "shop";
        group = "root";
        mode = "0400";
      };
    };
    testAGroups = {
      given.group = "acme";
      expected = {
        user = "root";
        group = "acme";
        mode = "0040";
      };
    };
    testBoth = {
      given = {
        user = "shop";
        group = "acme";
      };
      expected.mode = "0400";
    };
    testAsGiven = {
      given = {
        user = "4711";
        mode = "440";
        path = "/etc/db";
        restartUnits = [ "db@one.service" ];
        reloadUnits = [ "proxy.service" ];
      };
      expected = {
        user = "4711";
        mode = "440";
        path = "/etc/db";
        restartUnits = [ "db@one.service" ];
        reloadUnits = [ "proxy.service" ];
      };
    };
  };
  bad = {
    testNoUser = {
      given.user = "nobody-here";
      words = "there is no user nobody-here";
    };
    testNoGroup = {
      given.group = "nobody-here";
      words = "there is no group nobody-here";
    };
    testNoMode = {
      given.mode = "rw";
      words = "rw is not a mode";
    };
    testSetuid = {
      given.mode = "4755";
      words = "4755 is not a mode";
    };
    testHalfAPath = {
      given.path = "etc/db";
      words = "is not an absolute path";
    };
    testAnothersPlace = {
      given.path = "/run/nixus-secrets/other";
      words = "its place in /run/nixus-secrets is /run/nixus-secrets/db";
    };
    testHalfAUnit = {
      given.restartUnits = [ "nginx" ];
      words = "units need their whole names";
    };
  };
in
lib.runTests (
  builtins.mapAttrs (
    _: test:
    let
      config = evaluate [
        shop
        { secrets.files.db = { inherit file; } // test.given; }
      ];
      secret = builtins.head (described config).secrets;
    in
    {
      expr = {
        failed = failed config;
        secret = builtins.intersectAttrs test.expected secret;
      };
      expected = {
        failed = [ ];
        secret = test.expected;
      };
    }
  ) good
  // builtins.mapAttrs (_: test: {
    expr = builtins.any (lib.hasInfix test.words) (failed (one test.given));
    expected = true;
  }) bad
  // {
    testName = {
      expr = failed (evaluate [ { secrets.files.".db".file = file; } ]) != [ ];
      expected = true;
    };
    # ecdsa keys open nothing, and RSA is slow.
    testIdentities = {
      expr = (described (one { })).identities;
      expected = [
        "/etc/ssh/ssh_host_ed25519_key"
        "/etc/ssh/ssh_host_rsa_key"
      ];
    };
    testNoIdentity = {
      expr = failed (evaluate [
        {
          services.openssh.hostKeys = [ ];
          secrets.files.db.file = file;
        }
      ]) != [ ];
      expected = true;
    };
    testProgram = {
      expr = (described (one { })).program;
      expected = "/nix/store/00000000000000000000000000000000-nixus/bin/nixus-secrets";
    };
    testOrder = {
      expr = (one { }).system.activationScripts.nixus-secrets.deps;
      expected = [
        "specialfs"
        "users"
        "groups"
        "etc"
      ];
    };
    testNothingToCheckWithoutSecrets = {
      expr = (evaluate [ ]).environment.etc;
      expected = { };
    };
    testTakenAwayWithoutSecrets = {
      expr = lib.hasPrefix "if [ -e /run/nixus-secrets.d ]" (evaluate [ ])
        .system.activationScripts.nixus-secrets.text;
      expected = true;
    };
    testUsersByAUnit = {
      expr =
        let
          config = evaluate [
            userborn
            { secrets.files.db.file = file; }
          ];
        in
        [
          (builtins.attrNames config.system.activationScripts)
          (builtins.head config.systemd.services.nixus-secrets.after)
        ];
      expected = [
        [ ]
        "userborn.service"
      ];
    };
    testFleet = {
      expr = import ../fleet-secrets.nix {
        root = ./.;
        nixosConfigurations.web1.config = one { };
        nixosConfigurations.git.config = { };
        hostKeys.web1 = [ "ssh-ed25519 AAAA" ];
        operators = [ "age1" ];
      };
      expected = {
        hosts.web1 = {
          keys = [ "ssh-ed25519 AAAA" ];
          secrets = [ "secrets.nix" ];
        };
        hosts.git = {
          keys = [ ];
          secrets = [ ];
        };
        operators = [ "age1" ];
      };
    };
  }
)
