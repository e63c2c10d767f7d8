# mkFleet itself.
{
  key,
  lib,
  nixpkgs,
  wireguard,
  ...
}:
{
  "defaults are every host's, and each host has its own name" = {
    fleet = {
      defaults.networking.nameservers = [ "192.0.2.1" ];
      nodes.web1 = { };
      nodes.db1.configuration.networking.nameservers = [ "192.0.2.2" ];
    };
    expect = hosts: {
      names = [
        (lib.mapAttrs (_: host: host.networking.hostName) hosts)
        {
          db1 = "db1";
          web1 = "web1";
        }
      ];
      web1 = [
        hosts.web1.networking.nameservers
        [ "192.0.2.1" ]
      ];
      db1 = [
        (lib.sort lib.lessThan hosts.db1.networking.nameservers)
        [
          "192.0.2.1"
          "192.0.2.2"
        ]
      ];
    };
  };
  "a host knows its name and the others" = {
    fleet = {
      nodes.web1.configuration =
        { name, nodes, ... }:
        {
          environment.etc.upstream.text = "${name} asks ${nodes.db1.networking.hostName} on ${toString (builtins.head nodes.db1.services.openssh.ports)}";
        };
      nodes.db1.configuration.services.openssh.ports = [ 2222 ];
    };
    expect = hosts: {
      text = [
        hosts.web1.environment.etc.upstream.text
        "web1 asks db1 on 2222"
      ];
    };
  };
  "one option configures several hosts" = {
    fleet =
      { config, lib, ... }:
      {
        options.backup.server = lib.mkOption { type = lib.types.str; };
        config = {
          backup.server = "db1";
          nodes.web1 = { };
          nodes.${config.backup.server}.configuration.networking.firewall.allowedTCPPorts = [ 873 ];
          perNode = [ (name: { environment.etc.backup.text = "${name} to ${config.backup.server}"; }) ];
        };
      };
    expect = hosts: {
      port = [
        hosts.db1.networking.firewall.allowedTCPPorts
        [
          22
          873
        ]
      ];
      texts = [
        (lib.mapAttrs (_: host: host.environment.etc.backup.text) hosts)
        {
          db1 = "db1 to db1";
          web1 = "web1 to db1";
        }
      ];
    };
  };
  "a host may have a nixpkgs of its own" = {
    fleet = {
      defaults.system.stateVersion = "25.11";
      nodes.web1 = { };
      nodes.old1.nixpkgs = {
        lib = nixpkgs.lib // {
          nixosSystem =
            arguments:
            nixpkgs.lib.nixosSystem (
              arguments
              // {
                modules = arguments.modules ++ [ { system.stateVersion = lib.mkForce "24.11"; } ];
              }
            );
        };
      };
    };
    expect = hosts: {
      versions = [
        (lib.mapAttrs (_: host: host.system.stateVersion) hosts)
        {
          old1 = "24.11";
          web1 = "25.11";
        }
      ];
    };
  };
  "public addresses tell what there is" = {
    fleet = {
      nodes.web1.configuration.services.nixus.public.ipv4 = "192.0.2.11";
      nodes.db1.configuration.services.nixus.public.ipv6 = "2001:db8::12";
    };
    expect = hosts: {
      has = [
        (lib.mapAttrs (_: host: [
          host.services.nixus.public.hasIpv4
          host.services.nixus.public.hasIpv6
        ]) hosts)
        {
          db1 = [
            false
            true
          ];
          web1 = [
            true
            false
          ];
        }
      ];
    };
  };

  "an address is known without the rest of the host" = {
    # Nothing else of it evaluates.
    fleet = {
      defaults =
        { name, ... }:
        {
          boot.kernel.sysctl = lib.mkIf (name == "db1") (throw "db1 is evaluated");
          services.nixus.dns.records = lib.mkIf (name == "db1") {
            "db1.example.org.".A = "192.0.2.12";
          };
        };
      nodes.web1 = { };
      nodes.db1 = {
        public.ipv6 = "2001:db8::12";
        configuration = {
          imports = [ { services.nixus.public.ipv4 = lib.mkDefault "192.0.2.99"; } ];
          services.nixus.public.ipv4 = "192.0.2.12";
          nixpkgs = throw "db1 is evaluated";
          system = throw "db1 is evaluated";
          environment.etc.big.text = throw "db1 is evaluated";
        };
      };
      ssh.access.db1.hostKeys.ed25519 = key "db1";
      ssh.access.web1.hostKeys.ed25519 = key "web1";
      dns.zones."example.org" = {
        primary = "web1";
        soa.email = "hostmaster@example.org";
        records."example.org.".NS = "ns1.example.org.";
      };
      vpn.networks.lan = {
        ipv4 = "10.10.0.0/24";
        topology = "mesh";
        members = lib.genAttrs [ "db1" "web1" ] (name: {
          publicKey = wireguard name;
        });
      };
    };
    only = [ "web1" ];
    gives = fleet: {
      addresses = [
        {
          inherit (fleet.config.nodes.db1.public)
            hasIpv4
            hasIpv6
            ipv4
            ipv6
            ;
        }
        {
          hasIpv4 = true;
          hasIpv6 = true;
          ipv4 = "192.0.2.12";
          ipv6 = "2001:db8::12";
        }
      ];
    };
    warns = [ "can cause both networkd and dhcpcd" ];
    expect = hosts: {
      peer = [
        hosts.web1.services.nixus.peers.db1.addresses
        [
          "192.0.2.12"
          "2001:db8::12"
        ]
      ];
      endpoint = [
        (map (one: one.Endpoint)
          hosts.web1.systemd.network.netdevs."50-vpn-lan".wireguardPeers
        )
        [ "192.0.2.12:51820" ]
      ];
      zone = [
        (lib.hasInfix "\ndb1.example.org. 3600 IN A 192.0.2.12\n"
          hosts.web1.services.bind.zones."example.org".file
        )
        true
      ];
    };
  };
  "an address may be made of anything in the host's configuration" = {
    fleet = {
      defaults =
        { config, ... }:
        {
          networking.nameservers = [ "192.0.2.12" ];
          services.nixus.public = lib.mkIf (config.networking.useDHCP) {
            ipv4 = builtins.head config.networking.nameservers;
          };
        };
      nodes.web1 = { };
    };
    gives = fleet: {
      address = [
        fleet.config.nodes.web1.public.ipv4
        "192.0.2.12"
      ];
    };
    expect = hosts: {
      "as the host says" = [
        hosts.web1.services.nixus.public.ipv4
        "192.0.2.12"
      ];
    };
  };
  "an address that only the fleet says is the host's, too" = {
    fleet.nodes.web1.public.ipv4 = "192.0.2.11";
    expect = hosts: {
      address = [
        hosts.web1.services.nixus.public.ipv4
        "192.0.2.11"
      ];
    };
  };
  "two addresses for one host" = {
    fleet.nodes.web1 = {
      public.ipv4 = "192.0.2.11";
      configuration.services.nixus.public.ipv4 = "192.0.2.12";
    };
    refused = [ "web1: others find it at 192.0.2.11, and services.nixus.public.ipv4 is 192.0.2.12" ];
  };
  "options have the original's names, too" = {
    fleet = {
      nodes.web1.configuration =
        { config, ... }:
        {
          networking.public.ipv4 = lib.mkDefault "192.0.2.11";
          dns.records."web1.example.org.".A = "192.0.2.11";
          secrets.files.db.file = ./fleet.nix;
          secrets.identityPaths = [ "/etc/ssh/old" ];
          environment.etc.secret.text = config.secrets.files.db.path;
        };
      nodes.db1 = { };
    };
    warns = [ "has been renamed to `services.nixus." ];
    gives = fleet: {
      address = [
        fleet.config.nodes.web1.public.ipv4
        "192.0.2.11"
      ];
      records = [
        (builtins.attrNames fleet.config.nodes.web1.dns.records)
        [ "web1.example.org." ]
      ];
      secrets = [
        fleet.nixusSecrets.hosts.web1.secrets
        [ "fleet.nix" ]
      ];
    };
    expect = hosts: {
      address = [
        hosts.web1.services.nixus.public.ipv4
        "192.0.2.11"
      ];
      path = [
        hosts.web1.environment.etc.secret.text
        "/run/nixus-secrets/db"
      ];
      identities = [
        hosts.web1.services.nixus.secrets.identityPaths
        [ "/etc/ssh/old" ]
      ];
    };
  };
  "a module of one's own may have the original's names" = {
    fleet = {
      renamedOptions = false;
      nodes.web1.configuration =
        { config, ... }:
        {
          options.secrets = lib.mkOption { type = lib.types.str; };
          options.dns = lib.mkOption { type = lib.types.str; };
          options.networking.public = lib.mkOption { type = lib.types.bool; };
          config = {
            secrets = "mine";
            dns = "mine";
            networking.public = true;
            services.nixus.public.ipv4 = "192.0.2.11";
          };
        };
    };
    gives = fleet: {
      address = [
        fleet.config.nodes.web1.public.ipv4
        "192.0.2.11"
      ];
    };
    expect = hosts: {
      own = [
        hosts.web1.secrets
        "mine"
      ];
    };
  };
  "arguments for hosts' modules, which imports may depend on" = {
    specialArgs.inputs.disk.nixosModules.default = {
      environment.etc.disk.text = "disk";
    };
    fleet =
      { inputs, ... }:
      {
        specialArgs.site = "anywhere";
        defaults =
          { inputs, ... }:
          {
            imports = [ inputs.disk.nixosModules.default ];
          };
        nodes.web1 = {
          specialArgs.site = "cellar";
          configuration =
            { name, nodes, site, ... }:
            {
              environment.etc.site.text = "${name} in the ${site} of ${toString (builtins.length (builtins.attrNames nodes))}";
              services.nixus.public.ipv4 = "192.0.2.11";
            };
        };
        nodes.db1.configuration =
          { site, ... }:
          {
            environment.etc.site.text = site;
          };
        perNode = [ (name: { environment.etc.inputs.text = toString (builtins.attrNames inputs); }) ];
      };
    gives = fleet: {
      "an address beside such arguments" = [
        fleet.config.nodes.web1.public.ipv4
        "192.0.2.11"
      ];
    };
    expect = hosts: {
      texts = [
        (lib.mapAttrs (_: host: [
          host.environment.etc.disk.text
          host.environment.etc.inputs.text
          host.environment.etc.site.text
        ]) hosts)
        {
          db1 = [
            "disk"
            "disk"
            "anywhere"
          ];
          web1 = [
            "disk"
            "disk"
            "web1 in the cellar of 2"
          ];
        }
      ];
    };
  };
  "a conflict is blamed on the file that made it" = {
    fleet = {
      imports = [ ./conflicting.nix ];
      nodes.web1.configuration.networking.hostName = "web2";
    };
    throws = "conflicting.nix";
  };

  "a fleet without a repository" = {
    fleet = {
      nixus.repository = lib.mkForce null;
      nodes.web1 = { };
    };
    refused = [ "nixus.repository is not set: name the deploy repository" ];
  };
  "a host whose name is none" = {
    fleet.nodes = lib.genAttrs [
      "web 1"
      "_web1"
      "web1_"
      "web1-.example.org"
      "web1..org"
      ".web1"
      "web1.lock"
      (lib.fixedWidthString 64 "a" "")
    ] (_: { });
    refused = [
      "nodes: \"web 1\" is not a host name"
      "nodes: \"_web1\" is not a host name"
      "nodes: \"web1_\" is not a host name"
      "nodes: \"web1-.example.org\" is not a host name"
      "nodes: \"web1..org\" is not a host name"
      "nodes: \".web1\" is not a host name"
      "nodes: \"web1.lock\" is not a host name"
      "aaaa\" is not a host name"
    ];
  };
  "a host's name may have dots" = {
    fleet = {
      nodes."mail.example.org" = { };
      nodes."mail.example.net".configuration = {
        networking.hostName = "post";
        services.nixus.settings.closure.from = "manifest";
      };
      nodes."Web_1" = { };
    };
    expect = hosts: {
      names = [
        (lib.mapAttrs (_: host: [
          host.networking.hostName
          host.networking.domain
          host.services.nixus.settings.host
          host.services.nixus.settings.closure.system_name
        ]) hosts)
        {
          "mail.example.org" = [
            "mail"
            "example.org"
            "mail.example.org"
            null
          ];
          "mail.example.net" = [
            "post"
            "example.net"
            "mail.example.net"
            "post"
          ];
          Web_1 = [
            "Web_1"
            null
            "Web_1"
            null
          ];
        }
      ];
    };
  };
  "a public address that is none" = {
    fleet.nodes.web1.configuration.services.nixus.public = {
      ipv4 = "192.0.2.300";
      ipv6 = "192.0.2.1";
    };
    refused = [
      "services.nixus.public.ipv4: 192.0.2.300 is not an IPv4 address"
      "services.nixus.public.ipv6: 192.0.2.1 is not an IPv6 address"
    ];
  };
  "operators that a host locks out" = {
    fleet.nodes.web1.configuration = {
      users.users.root.openssh.authorizedKeys.keys = lib.mkForce [ "${key "other"} other" ];
      services.openssh.settings = {
        PermitRootLogin = "no";
        AllowUsers = [ "alice" ];
        PubkeyAuthentication = false;
      };
    };
    refused = [
      "root's authorized keys lack those of operators"
      "PermitRootLogin is \"no\": operators would be locked out"
      "AllowUsers lacks root"
      "PubkeyAuthentication is off"
    ];
  };
  "a host without sshd" = {
    fleet.nodes.web1.configuration.services.openssh.enable = false;
    refused = [ "web1: services.openssh.enable is off: operators would be locked out" ];
  };
  "a failed assertion of the fleet is reported by every host" = {
    fleet = {
      nixus.repository = lib.mkForce null;
      nodes.web1 = { };
    };
    throws = "The fleet cannot work as it is described:";
  };
}
