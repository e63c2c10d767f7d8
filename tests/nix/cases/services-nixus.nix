# services.nixus on a host, whatever the fleet.
{ key, lib, ... }:
let
  web1 = configuration: { nodes.web1 = { inherit configuration; }; };
  text = host: host.environment.etc."nixus/config.toml".text;
  # NixOS has settings of its own.
  synced = host: lib.filterAttrs (name: _: lib.hasPrefix "fsync-" name) host.nix.settings;
  ours = lib.filterAttrs (name: _: lib.hasPrefix "nixus-" name);
in
{
  "a host has what the fleet says, and nothing that it does not" = {
    fleet = web1 { };
    expect = hosts: {
      "the configuration" = [
        (text hosts.web1)
        ''
          host = "web1"

          [passes]
          boot_delay = "30s"
          interval = "1min"

          [repository]
          branch = "main"
          known_hosts = "/etc/nixus/known_hosts"
          ssh_key = "/etc/nixus/deploy_key"
          url = "ssh://git@git.example.org/deploy.git"

          [ssh]
          host_key = "/etc/ssh/ssh_host_ed25519_key"

          [[operators]]
          keys = ["${key "operator"} operator"]
          user = "root"
        ''
      ];
      "known_hosts" = [
        hosts.web1.environment.etc."nixus/known_hosts".text
        "git.example.org ${key "git"}"
      ];
      "the deploy key" = [
        hosts.web1.environment.etc."nixus/deploy_key".source
        "/var/lib/nixus-keys/deploy_key"
      ];
      "root's keys" = [
        hosts.web1.users.users.root.openssh.authorizedKeys.keys
        [ "${key "operator"} operator" ]
      ];
      "sshd" = [
        hosts.web1.services.openssh.enable
        true
      ];
      "store paths are synced" = [
        (synced hosts.web1)
        {
          fsync-metadata = true;
          fsync-store-paths = true;
        }
      ];
    };
  };
  "no activation restarts or stops a unit of Nixus" = {
    fleet = web1 { };
    expect = hosts: {
      units = [
        (builtins.mapAttrs (
          _: unit:
          [
            unit.restartIfChanged
            unit.stopIfChanged
            unit.unitConfig.X-StopOnRemoval
          ]
        ) (ours hosts.web1.systemd.services))
        {
          "nixus-probe@" = [
            false
            false
            false
          ];
          nixus-recover = [
            false
            false
            false
          ];
          nixus-reconcile = [
            false
            false
            false
          ];
          nixus-report = [
            false
            false
            false
          ];
          nixus-verify = [
            false
            false
            false
          ];
        }
      ];
      "a verification may what a pass may" = [
        (removeAttrs hosts.web1.systemd.services.nixus-verify.serviceConfig [ "ExecStart" ])
        (removeAttrs hosts.web1.systemd.services.nixus-reconcile.serviceConfig [ "ExecStart" ])
      ];
      "recovery comes first" = [
        hosts.web1.systemd.services.nixus-recover.before
        [
          "nixus-reconcile.timer"
          "nixus-reconcile.service"
          "shutdown.target"
        ]
      ];
    };
  };
  "the hardware's watchdog and the store are set as they are asked for" = {
    fleet = web1 {
      services.nixus.hardwareWatchdog = {
        enable = true;
        timeout = "30s";
      };
      services.nixus.syncStore = false;
    };
    expect = hosts: {
      watchdog = [
        {
          inherit (hosts.web1.systemd.settings.Manager) RuntimeWatchdogSec RebootWatchdogSec;
        }
        {
          RuntimeWatchdogSec = "30s";
          RebootWatchdogSec = "10min";
        }
      ];
      store = [
        (synced hosts.web1)
        { }
      ];
    };
  };
  "old generations are kept by number, in the menu and in the store" = {
    fleet = {
      nodes.web1 = { };
      nodes.db1.configuration = {
        services.nixus.keepGenerations = 5;
        boot.loader.grub.configurationLimit = 3;
        nix.gc.dates = "daily";
      };
      nodes.old1.configuration.services.nixus.keepGenerations = null;
      nodes.own1.configuration = {
        nix.gc.automatic = false;
        nix.gc.options = "--delete-older-than 14d";
      };
    };
    warns = [ "nix.gc.options (--delete-older-than 14d) deletes generations by their age" ];
    expect = hosts: {
      warned = [
        (builtins.attrNames (lib.filterAttrs (_: host: host.warnings != [ ]) hosts))
        [ "own1" ]
      ];
      menus = [
        (lib.mapAttrs (_: host: [
          (host.boot.loader.systemd-boot.configurationLimit or null)
          (host.boot.loader.grub.configurationLimit or null)
          (host.boot.loader.limine.maxGenerations or null)
        ]) (removeAttrs hosts [ "old1" ]))
        {
          web1 = [
            20
            20
            20
          ];
          db1 = [
            5
            3
            5
          ];
          own1 = [
            20
            20
            20
          ];
        }
      ];
      collections = [
        (lib.mapAttrs (_: host: [
          host.nix.gc.automatic
          (lib.concatStringsSep " " (lib.toList host.nix.gc.dates))
        ]) hosts)
        {
          web1 = [
            true
            "weekly"
          ];
          db1 = [
            true
            "daily"
          ];
          old1 = [
            false
            "03:15"
          ];
          own1 = [
            false
            "weekly"
          ];
        }
      ];
      "what is deleted before one" = [
        (lib.mapAttrs (
          _: host:
          builtins.match ".*/bin/nix-env --profile /nix/var/nix/profiles/system (.*)\n" host.systemd.services.nix-gc.preStart or ""
        ) hosts)
        {
          web1 = [ "--delete-generations +20" ];
          db1 = [ "--delete-generations +5" ];
          old1 = null;
          own1 = [ "--delete-generations +20" ];
        }
      ];
    };
  };
  "an older Nix is not told what it does not know" = {
    fleet = web1 (
      { pkgs, ... }:
      {
        nix.package = pkgs.nix // {
          version = "2.24.9";
        };
      }
    );
    expect = hosts: {
      store = [
        (synced hosts.web1)
        { fsync-metadata = true; }
      ];
    };
  };
  "a host without peers asks its own sshd unpunished" = {
    fleet = web1 {
      systemd.network.networks."10-lan".address = [ "192.0.2.11/24" ];
    };
    expect = hosts: {
      exempt = [
        hosts.web1.services.openssh.settings.PerSourcePenaltyExemptList
        "127.0.0.1,::1,192.0.2.11"
      ];
    };
  };
  "where an operator comes from is known to each host" = {
    fleet = web1 { } // {
      ssh.access.alice.keys.laptop = {
        publicKey = key "operator";
        from = [ "192.0.2.0/24" ];
      };
    };
    expect = hosts: {
      operators = [
        (builtins.filter (one: one.from != [ ]) hosts.web1.services.nixus.settings.operators)
        [
          {
            user = "root";
            keys = [ (key "operator") ];
            from = [ "192.0.2.0/24" ];
          }
        ]
      ];
    };
  };
  "a peer gets in by a forced command only" = {
    fleet = web1 {
      services.nixus.peers.db1 = {
        addresses = [
          "192.0.2.12"
          "db1.example.org"
        ];
        port = 2222;
        hostKeys = [ (key "db1") ];
      };
    };
    expect = hosts: {
      account = [
        hosts.web1.users.users.nixus-probe.openssh.authorizedKeys.keys
        [
          "command=\"${hosts.web1.services.nixus.package}/bin/nixus probe db1\",restrict ${key "db1"}"
        ]
      ];
      "only addresses are exempt: sshd takes no names" = [
        hosts.web1.services.openssh.settings.PerSourcePenaltyExemptList
        "127.0.0.1,::1,192.0.2.12"
      ];
      "the file" = [
        hosts.web1.services.nixus.settings.peers
        [
          {
            name = "db1";
            addresses = [
              "192.0.2.12"
              "db1.example.org"
            ];
            port = 2222;
            host_keys = [ (key "db1") ];
            user = null;
          }
        ]
      ];
    };
  };
  "the forge's token goes to the unit that posts, and to no other" = {
    fleet =
      web1 {
        services.nixus.settings.repository.url = "ssh://git@gitlab.example.org/fleet/deploy.git";
        services.nixus.settings.statuses.sign = true;
      }
      // {
        nixus.forgeToken = "/var/lib/nixus-keys/forge_token";
      };
    expect = hosts: {
      posts = [
        hosts.web1.systemd.services.nixus-report.serviceConfig.LoadCredential
        "forge:/var/lib/nixus-keys/forge_token"
      ];
      others = [
        (hosts.web1.systemd.services.nixus-reconcile.serviceConfig ? LoadCredential)
        false
      ];
      "the file" = [
        hosts.web1.services.nixus.settings.statuses.credential
        "forge"
      ];
    };
  };
  "over HTTPS nothing of SSH is written" = {
    fleet = web1 {
      services.nixus.settings.repository = {
        url = "https://git.example.org/deploy.git";
        token_file = "/var/lib/nixus-keys/token";
      };
    };
    expect = hosts: {
      repository = [
        {
          inherit (hosts.web1.services.nixus.settings.repository) ssh_key known_hosts;
        }
        {
          ssh_key = null;
          known_hosts = null;
        }
      ];
    };
  };
  "an odd port of sshd is checked there" = {
    fleet = {
      nodes = lib.mapAttrs (_: sshd: { configuration.services.openssh = sshd; }) {
        web1.ports = [ 2222 ];
        db1.listenAddresses = [
          {
            addr = "192.0.2.12";
            port = 2223;
          }
        ];
        db2 = {
          ports = [ 2224 ];
          listenAddresses = [ { addr = "192.0.2.13"; } ];
        };
        db3 = { };
      };
      ssh.access.db1 = {
        port = 2223;
        addresses = [ "192.0.2.12" ];
      };
    };
    expect = hosts: {
      port = [
        (lib.mapAttrs (_: host: host.services.nixus.settings.ssh.port) hosts)
        {
          web1 = 2222;
          db1 = 2223;
          db2 = 2224;
          db3 = null;
        }
      ];
    };
  };

  "a host without a repository" = {
    fleet = {
      nodes.web1.configuration.services.nixus.settings.repository.url = null;
    };
    refused = [ "services.nixus.settings.repository.url is not set" ];
  };
  "a git server that nobody knows" = {
    fleet = web1 ({ lib, ... }: { services.nixus.knownHosts = lib.mkForce ""; });
    refused = [ "services.nixus.knownHosts is empty, and nothing is trusted on first use" ];
  };
  "a peer without a host key and an address" = {
    fleet = web1 { services.nixus.peers.db1 = { }; };
    refused = [
      "the peer db1 has no host key"
      "the peer db1 has no address"
    ];
  };
  "a host that is its own peer" = {
    fleet = web1 {
      services.nixus.peers.web1 = {
        addresses = [ "192.0.2.11" ];
        hostKeys = [ (key "web1") ];
      };
    };
    refused = [ "web1 is named as its own peer" ];
  };
  "peers that sshd keeps out" = {
    fleet = web1 {
      services.openssh.settings.AllowUsers = [ "root" ];
      services.nixus.peers.db1 = {
        addresses = [ "192.0.2.12" ];
        hostKeys = [ (key "db1") ];
      };
    };
    refused = [ "AllowUsers lacks nixus-probe" ];
  };
  "peers that sshd keeps out by a group, and by their keys" = {
    fleet = web1 {
      services.openssh.settings = {
        AllowGroups = [ "root" ];
        PubkeyAuthentication = "no";
      };
      services.nixus.peers.db1 = {
        addresses = [ "192.0.2.12" ];
        hostKeys = [ (key "db1") ];
      };
    };
    refused = [
      "AllowGroups lacks the groups of nixus-probe"
      "PubkeyAuthentication is off, and peers have keys"
      "web1: services.openssh.settings.PubkeyAuthentication is off"
    ];
  };
  "patterns of sshd let in whom they match" = {
    fleet = {
      nodes = lib.mapAttrs (_: settings: { configuration.services.openssh = { inherit settings; }; }) {
        a.AllowUsers = [
          "root@192.0.2.*"
          "nixus-probe@10.0.0.*"
        ];
        b.AllowUsers = [ "*" ];
        c.AllowUsers = [
          "r??t"
          "nixus-*@*.example.org"
        ];
        d = {
          PubkeyAuthentication = "yes";
          PermitRootLogin = "without-password";
          AllowUsers = [ "root nixus-probe" ];
        };
        e = {
          AllowGroups = [
            "r*"
            "nixus-probe"
          ];
          DenyUsers = [ "root@203.0.113.*" ];
        };
      };
      ssh.access = lib.genAttrs [ "a" "b" "c" "d" "e" ] (name: {
        hostKeys.ed25519 = key name;
        addresses = [ "192.0.2.1" ];
      });
    };
  };
  "a list of one's own that forgets the peers" = {
    fleet = web1 {
      services.openssh.settings.PerSourcePenaltyExemptList = "10.0.0.0/8,2001:db8:0:1::/64,192.0.3.*";
      services.nixus.settings.ssh.addresses = [
        "10.1.2.3"
        "192.0.3.9"
        "2001:db8:0:1::9"
      ];
      services.nixus.peers.db1 = {
        addresses = [
          "192.0.2.12"
          "2001:db8:0:2::9"
        ];
        hostKeys = [ (key "db1") ];
      };
    };
    warns = [ "PerSourcePenaltyExemptList" ];
    expect = hosts: {
      said = [
        (builtins.filter (lib.hasInfix "ExemptList lacks 192.0.2.12, 2001:db8:0:2::9: sshd refuses") hosts.web1.warnings != [ ])
        true
      ];
    };
  };
  "statuses for a forge that the URL does not show" = {
    fleet = web1 { } // {
      nixus.forgeToken = "/var/lib/nixus-keys/forge_token";
    };
    refused = [ "settings.statuses needs repository, which ssh://git@git.example.org/deploy.git does not show" ];
  };
  "statuses for a server that may be any forge" = {
    fleet = web1 { services.nixus.settings.statuses.repository = "fleet/deploy"; } // {
      nixus.forgeToken = "/var/lib/nixus-keys/forge_token";
    };
    refused = [ "settings.statuses needs forge" ];
  };
  "statuses without a token" = {
    fleet = web1 {
      services.nixus.settings.statuses = {
        sign = true;
        forge = "gitea";
        repository = "fleet/deploy";
      };
    };
    refused = [ "needs one of token_file and credential" ];
  };
  "a key in the store" = {
    fleet = web1 (
      { lib, ... }: { services.nixus.deployKey = "/nix/store/00000000000000000000000000000000-key"; }
    );
    refused = [ "services.nixus.deployKey is in the Nix store, where everyone can read it" ];
  };
  "a check that lacks what it checks" = {
    fleet = web1 { services.nixus.settings.checks = [ { kind = "tcp"; } ]; };
    refused = [ "a check of kind tcp needs address" ];
  };
  "a misspelt key of the file" = {
    fleet = web1 {
      services.nixus.settings = {
        repository.brunch = "main";
        repository.mirrors = [
          {
            url = "https://mirror.example.org/deploy.git";
            tokenfile = "/k";
          }
        ];
        swich.drift = "report";
      };
    };
    refused = [
      "services.nixus.settings.repository.brunch: this release knows no such key. There are branch, "
      "services.nixus.settings.repository.mirrors.tokenfile: this release knows no such key"
      "services.nixus.settings.swich: this release knows no such key"
    ];
  };
  "keys of a newer program are written as they are" = {
    fleet = web1 (
      { pkgs, ... }:
      {
        services.nixus.package = pkgs.nixus // {
          version = "9";
        };
        services.nixus.settings = {
          closure.shape = "round";
          waves = {
            number = 3;
            names = [
              "first"
              "second"
            ];
            first.share = 0.5;
          };
          checks = [
            {
              kind = "units";
              since = "boot";
            }
          ];
        };
      }
    );
    warns = [ "this release knows no such key" ];
    expect = hosts: {
      "how many are named" = [
        (builtins.length hosts.web1.warnings)
        3
      ];
      "the file" = [
        (builtins.filter (words: !(lib.hasInfix words (text hosts.web1))) [
          "shape = \"round\""
          "[waves]\nnames = [\"first\", \"second\"]\nnumber = 3\n"
          "[waves.first]\nshare = 0.5"
          "since = \"boot\""
        ])
        [ ]
      ];
    };
  };
  "a span of time that systemd does not know" = {
    fleet = web1 { services.nixus.interval = "1 fortnight"; };
    throws = "is not of type `time as in systemd.time(7)";
  };
  "a time without a unit" = {
    fleet = web1 { services.nixus.settings.health.soak = "10"; };
    throws = "is not of type `null or time with a unit";
  };
  "a key that is a path, and would be copied into the store" = {
    fleet = web1 { services.nixus.deployKey = ./run.nix; };
    throws = "is not of type `null or absolute path of a file on the host, as a string'";
  };
  "an operator's key that is none" = {
    fleet = {
      nixus.operators = [ "no key" ];
      nodes.web1 = { };
    };
    throws = "is not of type `public SSH key";
  };
  "a kind of check that there is not" = {
    fleet = web1 { services.nixus.settings.checks = [ { kind = "ping"; } ]; };
    throws = "is not of type `one of";
  };
}
