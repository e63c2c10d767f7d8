# The part of options.nix that is of the fleet: what is said once, and what comes of it on several hosts.
{
  key,
  lib,
  nixpkgs,
  package,
  read,
  wireguard,
  ...
}:
let
  # Each kind of record, below a name of its own.
  records = below: number: {
    "${below}.example.org." = {
      A = "192.0.2.${number}";
      AAAA = "2001:db8::${number}";
      CAA = [
        {
          flags = 128;
          tag = "issue";
          value = "letsencrypt.org";
        }
      ];
      MX = [
        {
          preference = 10;
          exchange = "mail.example.org.";
        }
      ];
      TXT = [ "v=spf1 mx -all" ];
      ptr = true;
      ttl = 300;
    };
    "_imaps._tcp.${below}.example.org.".SRV = [
      {
        priority = 0;
        weight = 1;
        port = 993;
        target = "mail.example.org.";
      }
    ];
    "lab.${below}.example.org.".NS = "ns1.example.net.";
    "www.${below}.example.org.".CNAME = "${below}.example.org.";
    "1${number}.2.0.192.in-addr.arpa.".PTR = "printer.${below}.example.org.";
  };
  ns = [
    "ns1.example.org."
    "ns2.example.org."
  ];
  reverse = {
    primary = "web1";
    soa.email = "hostmaster@example.org";
  };
  networkd = kind: host: host.systemd.network.units."50-lan0.${kind}".text;
in
{
  "those of the fleet" = {
    fleet = {
      nixus = {
        enable = true;
        repository = "ssh://git@git.example.org/deploy.git";
        branch = "production";
        reports = "ssh://git@git.example.org/reports.git";
        knownHosts = "mirror.example.org ${key "mirror"}";
        deployKey = "/var/lib/keys/deploy";
        forgeToken = "/var/lib/keys/forge";
        operators = [ "${key "bob"} bob" ];
      };
      defaults = {
        networking.useNetworkd = true;
        services.nixus.settings.statuses = {
          forge = "gitea";
          repository = "fleet/deploy";
        };
      };
      specialArgs.owner = "people";
      renamedOptions = true;
      perNode = [ (name: { environment.etc.fleet.text = "${name}\n"; }) ];
      peers = {
        topology = "ring";
        neighbours = 1;
        explicit.web1 = [ "db1" ];
      };
      ssh.access = {
        web1 = {
          hostKeys.ed25519 = key "web1";
          hostNames = [ "web1.example.org" ];
          addresses = [ "192.0.2.11" ];
          port = 2222;
        };
        db1 = {
          hostKeys.ed25519 = key "db1";
          keys.backup = {
            publicKey = "${key "backup"} backup";
            from = [ "192.0.2.0/24" ];
            command = "/run/current-system/sw/bin/backup \"all\"";
            restrict = true;
            hasAccessTo.web1.deploy = true;
          };
        };
        hub.hostKeys.ed25519 = key "hub";
      };
      ssh.ca = {
        users.people = key "people";
        hosts.fleet = {
          publicKey = key "authority";
          hostNames = [ "*.example.org" ];
        };
        certificates.web1 = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t web1";
      };
      secrets.operators = [ (key "bob") ];
      dns = {
        records = records "fleet" "31" // {
          "example.org.".NS = ns;
          "2.0.192.in-addr.arpa.".NS = ns;
          "8.b.d.0.1.0.0.2.ip6.arpa.".NS = ns;
        };
        zones = {
          "example.org" = {
            name = "example.org.";
            primary = "web1";
            secondaries = [ "db1" ];
            ttl = 7200;
            records = records "zone" "32";
            soa = {
              master = "ns1.example.org.";
              email = "hostmaster@example.org";
              serial = 2026113001;
              ttl = 86400;
              refresh = 3600;
              retry = 600;
              expire = 604800;
              negativeTtl = 60;
            };
          };
          "2.0.192.in-addr.arpa" = reverse;
          "8.b.d.0.1.0.0.2.ip6.arpa" = reverse;
        };
      };
      vpn.networks.lan = {
        enable = true;
        interface = "lan0";
        topology = "star";
        server = "hub";
        ipv4 = "10.10.0.0/16";
        ipv6 = "fd10::/64";
        port = 51821;
        internetGateway = true;
        members = {
          hub = {
            enable = true;
            publicKey = wireguard "hub";
            privateKeyFile = "/var/lib/keys/wireguard";
            endpoint = "vpn.example.org";
            port = 51822;
          };
          web1 = {
            publicKey = wireguard "web1";
            number = 7;
            internetGateway = true;
          };
          db1 = {
            publicKey = wireguard "db1";
            ipv4 = "10.10.0.9";
            ipv6 = "fd10::9";
            routes = [ "10.20.0.0/16" ];
          };
        };
      };
      nodes = {
        web1.configuration = {
          services.nixus.dns.records = records "host" "33";
          services.nixus.public.ipv4 = "192.0.2.11";
          services.nixus.secrets = {
            files.db = {
              file = ./options-fleet.nix;
              user = "shop";
              group = "acme";
              mode = "0440";
              path = "/etc/shop/db";
              restartUnits = [ "shop.service" ];
              reloadUnits = [ "nginx.service" ];
            };
            identityPaths = [ "/etc/ssh/ssh_host_ed25519_key" ];
            inherit package;
          };
          users.groups.acme = { };
          users.users = {
            deploy.isNormalUser = true;
            shop = {
              isSystemUser = true;
              group = "acme";
            };
          };
        };
        db1 = {
          public.ipv4 = "192.0.2.12";
          specialArgs.site = "cellar";
          configuration = { site, ... }: { environment.etc.site.text = site; };
        };
        hub = {
          inherit nixpkgs;
          public.ipv6 = "2001:db8::13";
          configuration.services.nixus.public.ipv6 = "2001:db8::13";
        };
      };
    };
    folder = ./rendered/fleet;
    texts =
      hosts:
      let
        etc = hosts.web1.environment.etc;
        sshd =
          host:
          read.sshd host [
            "HostCertificate"
            "PerSourcePenaltyExemptList"
            "Port"
            "TrustedUserCAKeys"
          ];
      in
      {
        "web1.toml" = etc."nixus/config.toml".text;
        "web1.sshd_config" = sshd hosts.web1;
        "db1.sshd_config" = sshd hosts.db1;
        "web1.deploy.authorized_keys" = read.keys hosts.web1 "deploy";
        "web1.nixus-probe.authorized_keys" = read.keys hosts.web1 "nixus-probe";
        "web1.host-cert.pub" = etc."ssh/host-cert.pub".text;
        "web1.user_authorities" = etc."ssh/user_authorities".text;
        "db1.ssh_known_hosts" = hosts.db1.environment.etc."ssh/ssh_known_hosts".text;
        "db1.ssh_config" = hosts.db1.programs.ssh.extraConfig;
        "web1.named.conf" = read.zones hosts.web1;
        "db1.named.conf" = read.zones hosts.db1;
        "web1.nixus-secrets.sh" = hosts.web1.system.activationScripts.nixus-secrets.text;
        "web1.secrets.json" = read.textOf "nixus-secrets.json" "${etc."nixus/secrets.json".source}";
        "web1.sysctl.conf" = read.forwarding hosts.web1;
        "hub.sysctl.conf" = read.forwarding hosts.hub;
      }
      // lib.concatMapAttrs (name: host: {
        "${name}.lan0.netdev" = networkd "netdev" host;
        "${name}.lan0.network" = networkd "network" host;
      }) hosts;
    expect = hosts: {
      "what each host has of the fleet" = [
        (lib.mapAttrs (_: host: host.environment.etc.fleet.text) hosts)
        {
          db1 = "db1\n";
          hub = "hub\n";
          web1 = "web1\n";
        }
      ];
      "what comes in that would go out by the tunnel" = [
        (lib.mapAttrs (_: host: host.networking.firewall.checkReversePath) hosts)
        {
          db1 = true;
          hub = true;
          web1 = "loose";
        }
      ];
      "the ports that are open" = [
        (lib.mapAttrs (_: host: {
          tcp = host.networking.firewall.allowedTCPPorts;
          udp = host.networking.firewall.allowedUDPPorts;
        }) hosts)
        {
          db1 = {
            tcp = [
              22
              53
            ];
            udp = [ 53 ];
          };
          hub = {
            tcp = [ 22 ];
            udp = [ 51822 ];
          };
          web1 = {
            tcp = [
              53
              2222
            ];
            udp = [ 53 ];
          };
        }
      ];
    };
    gives = fleet: {
      "the peers of each" = [
        fleet.config.peers.of
        {
          db1 = [
            "web1"
            "hub"
          ];
          hub = [
            "db1"
            "web1"
          ];
          web1 = [
            "hub"
            "db1"
          ];
        }
      ];
      "to whom secrets are encrypted" = [
        fleet.nixusSecrets
        {
          hosts = {
            db1 = {
              keys = [ (key "db1") ];
              secrets = [ ];
            };
            hub = {
              keys = [ (key "hub") ];
              secrets = [ ];
            };
            web1 = {
              keys = [ (key "web1") ];
              secrets = [ "options-fleet.nix" ];
            };
          };
          operators = [ (key "bob") ];
        }
      ];
    };
  };
}
