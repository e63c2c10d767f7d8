# services.nixus.secrets.files, and nixusSecrets of the fleet.
{ key, lib, ... }:
let
  file = ./secrets.nix;
  host = configuration: {
    nodes.web1.configuration = configuration;
    peers.topology = "none";
  };
  secret =
    given:
    host {
      users.users.shop = {
        isSystemUser = true;
        group = "acme";
      };
      users.groups.acme = { };
      services.nixus.secrets.files.db = {
        inherit file;
      }
      // given;
    };
  # What nixus-secrets reads: in the tables, a file's path ends with its text.
  described =
    host:
    builtins.fromJSON (
      lib.last (
        lib.splitString "-nixus-secrets.json:" (
          builtins.unsafeDiscardStringContext host.environment.etc."nixus/secrets.json".source
        )
      )
    );
  first = host: builtins.head (described host).secrets;

  becomes = given: expected: {
    fleet = secret given;
    expect = hosts: {
      secret = [
        (builtins.intersectAttrs expected (first hosts.web1))
        expected
      ];
    };
  };
  refused = given: words: {
    fleet = secret given;
    refused = [ "services.nixus.secrets.files.db${words}" ];
  };

  two = {
    imports = [ (host { services.nixus.secrets.files.db.file = file; }) ];
    nodes.db1 = { };
    ssh.access.web1.hostKeys = {
      ed25519 = key "web1";
      new = key "web1-new";
    };
  };
  open = fleet: fleet.nixusSecrets;
  age = "age1${lib.fixedWidthString 58 "q" ""}";
in
{
  "a secret is root's alone" = becomes { } {
    user = "root";
    group = "root";
    mode = "0400";
    path = "/run/nixus-secrets/db";
    restartUnits = [ ];
    reloadUnits = [ ];
  };
  "a user's is that user's alone" = becomes { user = "shop"; } {
    user = "shop";
    group = "root";
    mode = "0400";
  };
  "a group's is that group's alone" = becomes { group = "acme"; } {
    user = "root";
    group = "acme";
    mode = "0040";
  };
  "with both it is the user's" =
    becomes
      {
        user = "shop";
        group = "acme";
      }
      {
        user = "shop";
        group = "acme";
        mode = "0400";
      };
  "else it is as given" =
    let
      given = {
        user = "4711";
        mode = "440";
        path = "/etc/db";
        restartUnits = [ "db@one.service" ];
        reloadUnits = [ "proxy.service" ];
      };
    in
    becomes given given;
  "a path is used in any option" = {
    fleet = host (
      { config, ... }:
      {
        services.nixus.secrets.files.db.file = file;
        environment.etc.password.text = config.services.nixus.secrets.files.db.path;
      }
    );
    expect = hosts: {
      text = [
        hosts.web1.environment.etc.password.text
        "/run/nixus-secrets/db"
      ];
    };
  };
  "ciphertext is in the closure by itself" = {
    fleet = secret { };
    expect = hosts: {
      name = [
        (lib.hasSuffix "-nixus-secret" (first hosts.web1).file)
        true
      ];
    };
  };
  # ecdsa keys open nothing, and RSA is slow.
  "host keys open, ed25519 first" = {
    fleet = host {
      services.nixus.secrets.files.db.file = file;
      services.openssh.hostKeys =
        map
          (type: {
            inherit type;
            path = "/etc/ssh/ssh_host_${type}_key";
          })
          [
            "rsa"
            "ecdsa"
            "ed25519"
          ];
    };
    expect = hosts: {
      identities = [
        (described hosts.web1).identities
        [
          "/etc/ssh/ssh_host_ed25519_key"
          "/etc/ssh/ssh_host_rsa_key"
        ]
      ];
    };
  };
  "the program is the generation's own" = {
    fleet = secret { };
    expect = hosts: {
      program = [
        (described hosts.web1).program
        "${hosts.web1.services.nixus.package}/bin/nixus-secrets"
      ];
    };
  };
  "secrets are opened once there are their owners" = {
    fleet = secret { };
    expect = hosts: {
      deps = [
        hosts.web1.system.activationScripts.nixus-secrets.deps
        [
          "specialfs"
          "users"
          "groups"
          "etc"
        ]
      ];
      units = [
        (hosts.web1.systemd.services ? nixus-secrets)
        false
      ];
    };
  };
  "where a unit makes users, one after it opens secrets" = {
    fleet = host {
      services.userborn.enable = true;
      services.nixus.secrets.files.db.file = file;
    };
    expect = hosts: {
      script = [
        (hosts.web1.system.activationScripts ? nixus-secrets)
        false
      ];
      after = [
        (builtins.head hosts.web1.systemd.services.nixus-secrets.after)
        "userborn.service"
      ];
    };
  };
  "without secrets there is nothing to check, and those before are taken away" = {
    fleet = host { };
    expect = hosts: {
      description = [
        (hosts.web1.environment.etc ? "nixus/secrets.json")
        false
      ];
      script = [
        (lib.hasPrefix "if [ -e /run/nixus-secrets.d ]" hosts.web1.system.activationScripts.nixus-secrets.text)
        true
      ];
    };
  };
  "a host that only imports the module gets nothing of it" = {
    fleet = host { services.nixus.enable = false; };
    expect = hosts: {
      script = [
        (hosts.web1.system.activationScripts ? nixus-secrets)
        false
      ];
    };
  };

  "a user who is none" = refused { user = "nobody-here"; } ".user: there is no user nobody-here";
  "a group that is none" = refused { group = "nobody-here"; } ".group: there is no group nobody-here";
  "a mode that is none" = refused { mode = "rw"; } ".mode: rw is not a mode";
  "a mode with setuid" = refused { mode = "4755"; } ".mode: 4755 is not a mode";
  "half a path" = refused { path = "etc/db"; } ".path: etc/db is not an absolute path";
  "another's place" = refused {
    path = "/run/nixus-secrets/other";
  } ".path: its place in /run/nixus-secrets is /run/nixus-secrets/db";
  "half a unit" = refused { restartUnits = [ "nginx" ]; } ": units need their whole names";
  "a hidden name" = {
    fleet = host { services.nixus.secrets.files.".db".file = file; };
    refused = [ "services.nixus.secrets.files.\".db\": a name has only letters" ];
  };
  "a host without a key that opens" = {
    fleet = host {
      services.nixus.secrets.files.db.file = file;
      services.openssh.hostKeys = [ ];
    };
    refused = [ "services.nixus.secrets.files: this host has no ed25519 or rsa key" ];
  };

  "a file is encrypted to the hosts that use it, and to the operators" = {
    fleet = {
      imports = [ two ];
      ssh.access.db1.hostKeys.ed25519 = key "db1";
    };
    gives = fleet: {
      nixusSecrets = [
        (open fleet)
        {
          hosts.web1 = {
            keys = [
              (key "web1")
              (key "web1-new")
            ];
            secrets = [ "secrets.nix" ];
          };
          hosts.db1 = {
            keys = [ (key "db1") ];
            secrets = [ ];
          };
          operators = [ "${key "operator"} operator" ];
        }
      ];
    };
  };
  "while a host's key is replaced, others know both" = {
    fleet = {
      imports = [ two ];
      ssh.access.web1.addresses = [ "192.0.2.11" ];
      ssh.access.db1 = {
        addresses = [ "192.0.2.12" ];
        hostKeys.ed25519 = key "db1";
        keys.backup = {
          publicKey = key "backup";
          hasAccessTo.web1.root = true;
        };
      };
      peers.topology = lib.mkForce "ring";
    };
    expect = hosts: {
      "known hosts" = [
        (lib.mapAttrsToList (_: one: one.publicKey) hosts.db1.programs.ssh.knownHosts)
        [
          (key "web1")
          (key "web1-new")
        ]
      ];
      peer = [
        hosts.db1.services.nixus.peers.web1.hostKeys
        [
          (key "web1")
          (key "web1-new")
        ]
      ];
    };
  };
  "operators may have keys of age" = {
    fleet =
      { config, ... }:
      {
        imports = [ two ];
        secrets.operators = config.nixus.operators ++ [ age ];
      };
    gives = fleet: {
      operators = [
        (open fleet).operators
        [
          "${key "operator"} operator"
          age
        ]
      ];
    };
  };
  "an operator's key that is none" = {
    fleet = {
      imports = [ two ];
      secrets.operators = [ "age1secret" ];
    };
    throws = "secrets.operators";
  };
  "a file that is not in the repository" = {
    fleet = host { services.nixus.secrets.files.db.file = ../nixpkgs/lib.nix; };
    throws = "is not in the deploy repository, so nobody can encrypt it anew";
  };
}
