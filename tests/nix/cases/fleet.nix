# mkFleet itself.
{ key, lib, nixpkgs, ... }:
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
      nodes.web1.configuration.networking.public.ipv4 = "192.0.2.11";
      nodes.db1.configuration.networking.public.ipv6 = "2001:db8::12";
    };
    expect = hosts: {
      has = [
        (lib.mapAttrs (_: host: [
          host.networking.public.hasIpv4
          host.networking.public.hasIpv6
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

  "a fleet without a repository" = {
    fleet = {
      nixus.repository = lib.mkForce null;
      nodes.web1 = { };
    };
    refused = [ "nixus.repository is not set: name the deploy repository" ];
  };
  "a host whose name is none" = {
    fleet.nodes."web 1" = { };
    refused = [ "nodes: \"web 1\" is not a host name" ];
  };
  "a public address that is none" = {
    fleet.nodes.web1.configuration.networking.public = {
      ipv4 = "192.0.2.300";
      ipv6 = "192.0.2.1";
    };
    refused = [
      "networking.public.ipv4: 192.0.2.300 is not an IPv4 address"
      "networking.public.ipv6: 192.0.2.1 is not an IPv6 address"
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
  "a failed assertion of the fleet is told by every host" = {
    fleet = {
      nixus.repository = lib.mkForce null;
      nodes.web1 = { };
    };
    throws = "The fleet cannot work as it is described:";
  };
}
