# What people have besides Nixus: each is a module of one of two NixOS hosts, made from all of nixpkgs and its
# own packages. `refused` are words of the failed assertions that are right; `expect` looks at the host.
{ tree }:
let
  real = import ./real.nix { inherit tree; };
  inherit (real) lib pkgs systemd-boot;
  nixpkgs = real.nixpkgsWith [ ];
  nixosModule = import ../../reconciler/nix/module.nix { packageFor = _: pkgs.nixus; };
  differing = import ./pairs.nix { inherit lib; };
  mkFleet = import ../../reconciler/nix/fleet { inherit nixosModule; };
  # Nobody has their other halves.
  key = name: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA${builtins.substring 0 42 (builtins.hashString "sha256" name)}";
  fleet = count: module: fleetWith count module (_: { });
  members = names: {
    members = lib.genAttrs names (name: {
      publicKey = "${builtins.substring 0 42 (name + builtins.hashString "sha256" name)}E=";
      number = lib.toInt (lib.removePrefix "host" name);
    });
  };
  # `more` is a module of the fleet, made from the hosts' names.
  fleetWith =
    count: module: more:
    mkFleet {
      inherit nixpkgs;
      lastModified = 1700000000;
      root = ./.;
      modules = [
        (more (map (number: "host${toString number}") (lib.range 1 count)))
        {
          nixus = {
            repository = "ssh://git@git.example.org/deploy.git";
            knownHosts = "git.example.org ${key "git"}";
            operators = [ "${key "operator"} operator" ];
          };
          defaults.services.openssh.enable = true;
          # Each is the peer of its neighbours.
          ssh.access = lib.genAttrs (map (number: "host${toString number}") (lib.range 1 count)) (name: {
            hostKeys.ed25519 = key name;
          });
          nodes = lib.listToAttrs (
            map (number: {
              name = "host${toString number}";
              value.configuration.imports = [
                { services.nixus.public.ipv4 = "192.0.2.${toString number}"; }
                (if number == 1 then module else { })
              ];
            }) (lib.range 1 count)
          );
        }
      ];
    };
  row = module: { module.imports = [ systemd-boot module ]; };
  # Of host1 in the star, whose server is host2.
  star = internetGateway: names: {
    vpn.networks.lan = {
      ipv4 = "10.10.0.0/16";
      server = "host2";
      inherit internetGateway;
      members = lib.recursiveUpdate (members names).members {
        host1 = { inherit internetGateway; };
      };
    };
  };
  refused = words: module: row module // { refused = [ words ]; };
  secret = {
    services.nixus.secrets.files.shop.file = ./matrix.nix;
  };
  unit = host: name: host.systemd.units.${name}.text;
  has = text: words: lib.hasInfix words text;

  rows = {
    "systemd-boot" = row { };
    "boot counting" = row { boot.loader.systemd-boot.bootCounting.enable = true; };
    "XBOOTLDR" = row {
      boot.loader.systemd-boot.xbootldrMountPoint = "/boot";
      boot.loader.efi.efiSysMountPoint = "/efi";
      fileSystems."/efi" = {
        device = "/dev/disk/by-label/esp";
        fsType = "vfat";
      };
    };
    "GRUB" = {
      module.boot.loader.grub.device = "/dev/sda";
    };
    "Limine" = {
      module.boot.loader.limine.enable = true;
    };
    "a container" = {
      module.boot.isContainer = true;
    };
    "networkd" = row {
      networking.useNetworkd = true;
      networking.useDHCP = false;
    };
    "scripted networking" = row { networking.useDHCP = true; };
    "resolved" = row { services.resolved.enable = true; };
    "a private network beside scripted networking" = row { networking.useDHCP = true; } // {
      more = star false;
      warns = [ "can cause both networkd and dhcpcd to manage the same interfaces" ];
      expect = host: {
        "who resolves names" = [
          [
            host.services.resolved.enable
            host.networking.resolvconf.enable
            (host.environment.etc ? "resolv.conf")
          ]
          [
            false
            true
            false
          ]
        ];
        "what dhcpcd leaves alone" = [
          (lib.elem "vpn-lan" host.networking.dhcpcd.denyInterfaces)
          true
        ];
        "what networkd configures" = [
          (builtins.filter (name: !(lib.hasPrefix "99-" name)) (
            builtins.attrNames host.systemd.network.networks
          ))
          [ "50-vpn-lan" ]
        ];
      };
    };
    "a client of a gateway behind NixOS' own firewall" = row { networking.useNetworkd = true; } // {
      more = star true;
      expect = host: {
        "the rollback" = [
          [
            host.networking.firewall.enable
            host.networking.firewall.checkReversePath
          ]
          [
            true
            "loose"
          ]
        ];
      };
    };
    "a client of a gateway behind a firewall of nftables" =
      row {
        networking.useNetworkd = true;
        networking.nftables.enable = true;
      }
      // {
        more = star true;
        expect = host: {
          # Whatever interface it would leave by.
          "the rollback" = [
            (has host.networking.nftables.tables.nixos-fw.content "fib saddr . mark  oif exists accept")
            true
          ];
        };
      };
    "a gateway behind a firewall of nftables that filters what is passed on" =
      row {
        networking.useNetworkd = true;
        networking.nftables.enable = true;
        networking.firewall.filterForward = true;
      }
      // {
        more = names: lib.recursiveUpdate (star false names) {
          vpn.networks.lan = {
            server = "host1";
            internetGateway = true;
            members.host2.internetGateway = true;
          };
        };
        expect = host: {
          "what is passed on" = [
            (has host.networking.nftables.tables.nixos-fw.content "iifname \"vpn-lan\" accept")
            true
          ];
          forwarding = [
            (toString host.boot.kernel.sysctl."net.ipv4.conf.all.forwarding")
            "1"
          ];
        };
      };
    "no firewall" = row { networking.firewall.enable = false; };
    "a firewall of nftables" = row { networking.nftables.enable = true; };
    "users that nobody changes by hand" = row { users.mutableUsers = false; };
    "systemd-sysusers" =
      row {
        imports = [ secret ];
        systemd.sysusers.enable = true;
        users.mutableUsers = false;
      }
      // {
        expect = host: {
          "secrets in a unit" = [
            (host.systemd.services ? nixus-secrets)
            true
          ];
        };
      };
    "userborn" =
      row {
        imports = [ secret ];
        services.userborn.enable = true;
      }
      // {
        expect = host: {
          "secrets in a unit" = [
            (host.systemd.services ? nixus-secrets)
            true
          ];
        };
      };
    "/etc as an overlay" = row {
      boot.initrd.systemd.enable = true;
      system.etc.overlay.enable = true;
      services.userborn.enable = true;
    };
    "an immutable /etc" = row {
      boot.initrd.systemd.enable = true;
      system.etc.overlay.enable = true;
      system.etc.overlay.mutable = false;
      services.userborn.enable = true;
    };
    "perlless" = row (
      { modulesPath, ... }:
      {
        imports = [ (modulesPath + "/profiles/perlless.nix") ];
      }
    );
    "hardened" = row (
      { modulesPath, ... }:
      {
        imports = [ (modulesPath + "/profiles/hardened.nix") ];
      }
    );
    "sudo-rs" = row { security.sudo-rs.enable = true; };
    "dbus-broker" = row { services.dbus.implementation = "broker"; };
    "dbus-daemon" = row { services.dbus.implementation = "dbus"; };
    "Lix" = row { nix.package = pkgs.lix; };
    "the newest Nix" = row { nix.package = pkgs.nixVersions.latest; };
    "a relaxed sandbox" = row { nix.settings.sandbox = "relaxed"; };
    "without PAM in sshd" = row { services.openssh.settings.UsePAM = false; };
    "sshd from a socket at two ports" =
      row {
        services.openssh = {
          startWhenNeeded = true;
          ports = [
            2222
            22
          ];
        };
      }
      // {
        expect = host: {
          "its socket" = [
            (builtins.all (has (unit host "sshd.socket")) [
              "ListenStream=22\n"
              "ListenStream=2222\n"
            ])
            true
          ];
        };
      };
    "a specialisation" = row { specialisation.other.configuration.environment.etc.other.text = "x"; };
    "a hardware watchdog" = row { services.nixus.hardwareWatchdog.enable = true; };
    "no Nix" = refused "nix.enable" { nix.enable = false; };
    "a system that is not switched" = refused "system.switch.enable" { system.switch.enable = false; };
  };

  failed = host: map (one: one.message) (builtins.filter (one: !one.assertion) host.assertions);
  problems =
    row:
    let
      host = (fleetWith 2 row.module (row.more or (_: { }))).nixosConfigurations.host1.config;
      isExpected = warning: builtins.any (has warning) (row.warns or [ ]);
      said = failed host;
      always = {
        "its pass is started by the timer alone" = [
          (has (unit host "nixus-reconcile.service") "X-RestartIfChanged=false")
          true
        ];
        "its pass finds its programs" = [
          (builtins.all (has (unit host "nixus-reconcile.service")) [
            "-coreutils-"
            "-systemd-"
          ])
          true
        ];
        "its peer may ask often" = [
          (has host.services.openssh.settings.PerSourcePenaltyExemptList "192.0.2.2")
          true
        ];
        "its toplevel is a derivation" = [
          (lib.hasSuffix ".drv" host.system.build.toplevel.drvPath)
          true
        ];
        warnings = [
          (builtins.filter (warning: !(isExpected warning)) host.warnings)
          [ ]
        ];
      };
      expected = always // (row.expect or (_: { })) host;
    in
    if row ? refused then
      lib.concatMap (
        words: lib.optional (!(builtins.any (text: has text words) said)) "was to be refused with ${words}, and was with ${builtins.toJSON said}"
      ) row.refused
    else
      map (message: "is refused: ${message}") said
      ++ lib.optionals (said == [ ]) (differing expected);
in
{
  names = builtins.attrNames rows;
  problems = name: problems rows.${name};
  # What one host's system costs in a fleet of so many.
  toplevel = count: (fleet count systemd-boot).nixosConfigurations.host1.config.system.build.toplevel.drvPath;
  # The same of a host that has to know something of each other one: a name server's, the middle of a star's and
  # a mesh's.
  toplevelOfAll =
    count:
    (fleetWith count systemd-boot (names: {
      vpn.networks = {
        star = {
          ipv4 = "10.10.0.0/16";
          server = "host1";
          inherit (members names) members;
        };
        mesh = {
          ipv4 = "10.11.0.0/16";
          port = 51821;
          topology = "mesh";
          inherit (members names) members;
        };
      };
      dns.zones."example.org" = {
        primary = "host1";
        soa.email = "hostmaster@example.org";
        records."example.org.".NS = "host1.example.org.";
      };
      defaults =
        { name, ... }:
        {
          networking.useNetworkd = true;
          services.nixus.dns.records."${name}.example.org.".A = "192.0.2.1";
        };
    })).nixosConfigurations.host1.config.system.build.toplevel.drvPath;
}
