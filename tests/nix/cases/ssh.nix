# ssh.access and ssh.ca.
{ key, lib, ... }:
let
  hosts = {
    nodes.web1.configuration = {
      services.nixus.public.ipv4 = "192.0.2.11";
      users.users.deploy.isNormalUser = true;
    };
    nodes.db1.configuration.services.nixus.public.ipv6 = "2001:db8::12";
    peers.topology = "none";
    ssh.access.web1.hostKeys.ed25519 = key "web1";
    ssh.access.db1.hostKeys.ed25519 = key "db1";
  };
  fleet = access: {
    imports = [
      hosts
      { ssh.access = access; }
    ];
  };
  keysOf = host: user: host.users.users.${user}.openssh.authorizedKeys.keys;
  operator = "${key "operator"} operator";
  deploy = more: {
    db1.keys.backup = {
      publicKey = "${key "backup"} backup";
      hasAccessTo.web1.deploy = more;
    };
  };
  certificate = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t web1";
in
{
  "a key opens the account on the target, which its host knows by all its names" = {
    fleet = fleet (deploy true);
    expect = hosts: {
      "the account" = [
        (keysOf hosts.web1 "deploy")
        [ "${key "backup"} backup" ]
      ];
      "no other account" = [
        (keysOf hosts.web1 "root")
        [ operator ]
      ];
      "no other host" = [
        (keysOf hosts.db1 "root")
        [ operator ]
      ];
      "the source knows the target" = [
        (lib.mapAttrs (_: one: {
          inherit (one) hostNames publicKey;
        }) hosts.db1.programs.ssh.knownHosts)
        {
          web1-ed25519 = {
            hostNames = [
              "web1"
              "192.0.2.11"
            ];
            publicKey = key "web1";
          };
        }
      ];
      "and finds it" = [
        hosts.db1.programs.ssh.extraConfig
        "Host web1\n  HostName 192.0.2.11\n"
      ];
      "the target knows nobody" = [
        hosts.web1.programs.ssh.knownHosts
        { }
      ];
    };
  };
  "an odd port is sshd's, and a part of the names" = {
    fleet = fleet (
      deploy true
      // {
        web1 = {
          port = 2222;
          hostNames = [ "web1.example.org" ];
        };
      }
    );
    expect = hosts: {
      sshd = [
        hosts.web1.services.openssh.ports
        [ 2222 ]
      ];
      names = [
        hosts.db1.programs.ssh.knownHosts.web1-ed25519.hostNames
        [
          "[web1]:2222"
          "[web1.example.org]:2222"
          "[192.0.2.11]:2222"
        ]
      ];
      client = [
        hosts.db1.programs.ssh.extraConfig
        "Host web1 web1.example.org\n  HostName 192.0.2.11\n  Port 2222\n"
      ];
    };
  };
  "restrictions stand before the key, quoted" = {
    fleet = fleet (deploy {
      from = [
        "192.0.2.0/24"
        "2001:db8::/32"
      ];
      command = "/bin/echo \"a\\b\"";
      restrict = true;
    });
    expect = hosts: {
      line = [
        (keysOf hosts.web1 "deploy")
        [
          "from=\"192.0.2.0/24,2001:db8::/32\",command=\"/bin/echo \\\"a\\\\b\\\"\",restrict ${key "backup"} backup"
        ]
      ];
    };
  };
  "restrictions of a key are those of all its access" = {
    fleet = fleet {
      db1.keys.backup = {
        publicKey = key "backup";
        restrict = true;
        command = "/bin/true";
        hasAccessTo.web1 = {
          deploy = true;
          root.command = "/bin/backup";
        };
      };
    };
    expect = hosts: {
      deploy = [
        (keysOf hosts.web1 "deploy")
        [ "command=\"/bin/true\",restrict ${key "backup"}" ]
      ];
      root = [
        (lib.sort lib.lessThan (keysOf hosts.web1 "root"))
        [
          "command=\"/bin/backup\",restrict ${key "backup"}"
          operator
        ]
      ];
    };
  };
  "what is false is not access" = {
    fleet = fleet (deploy false);
    expect = hosts: {
      account = [
        (keysOf hosts.web1 "deploy")
        [ ]
      ];
      known = [
        hosts.db1.programs.ssh.knownHosts
        { }
      ];
    };
  };
  "a person who is not a host has keys only" = {
    fleet = fleet {
      alice.keys.laptop = {
        publicKey = "${key "alice"} alice";
        hasAccessTo.web1.deploy = true;
      };
    };
    expect = hosts: {
      account = [
        (keysOf hosts.web1 "deploy")
        [ "${key "alice"} alice" ]
      ];
    };
  };
  "authorities prove hosts and users instead of keys" = {
    fleet = {
      nodes.web1.configuration.users.users.deploy.isNormalUser = true;
      nodes.db1 = { };
      ssh.access.db1.keys.backup = {
        publicKey = key "backup";
        hasAccessTo.web1.deploy = true;
      };
      ssh.ca = {
        users.people = key "people";
        hosts.fleet = {
          publicKey = key "authority";
          hostNames = [ "*.example.org" ];
        };
        certificates.web1 = certificate;
      };
    };
    expect = hosts: {
      "users' authority" = [
        [
          hosts.web1.services.openssh.settings.TrustedUserCAKeys
          hosts.web1.environment.etc."ssh/user_authorities".text
        ]
        [
          "/etc/ssh/user_authorities"
          "${key "people"}\n"
        ]
      ];
      "the host's certificate" = [
        [
          hosts.web1.services.openssh.settings.HostCertificate
          hosts.web1.environment.etc."ssh/host-cert.pub".text
        ]
        [
          "/etc/ssh/host-cert.pub"
          "${certificate}\n"
        ]
      ];
      "only the certificate's host" = [
        (hosts.db1.services.openssh.settings ? HostCertificate)
        false
      ];
      "all know the hosts' authority" = [
        (lib.mapAttrs (
          _: host: host.programs.ssh.knownHosts.authority-fleet.certAuthority
        ) hosts)
        {
          db1 = true;
          web1 = true;
        }
      ];
    };
  };

  "access to a host that there is not" = {
    fleet = fleet { db1.keys.x = { publicKey = key "x"; hasAccessTo.web2.root = true; }; };
    refused = [
      "ssh.access.db1.keys.x.hasAccessTo names web2, and there is no such host: there are db1, web1."
    ];
  };
  "access to a host that nobody knows" = {
    fleet = {
      nodes.web1 = { };
      ssh.access.alice.keys.x = {
        publicKey = key "x";
        hasAccessTo.web1.root = true;
      };
    };
    refused = [ "ssh.access.web1.hostKeys is empty, and others have access" ];
  };
  "access to an account that there is not" = {
    fleet = fleet { db1.keys.x = { publicKey = key "x"; hasAccessTo.web1.nobody1 = true; }; };
    # The last two are NixOS' own, of the account that the key would make.
    refused = [
      "ssh.access gives keys to nobody1 on web1, where there is no such user"
      "Exactly one of users.users.nobody1.isSystemUser and users.users.nobody1.isNormalUser must be set."
      "users.users.nobody1.group is unset."
    ];
  };
  "access for somebody whom sshd keeps out" = {
    fleet = {
      imports = [ (fleet (deploy true)) ];
      nodes.web1.configuration.services.openssh.settings.AllowUsers = [ "root" ];
    };
    refused = [ "who is kept out: services.openssh.settings.AllowUsers lacks deploy" ];
  };
  "a port on which sshd does not listen" = {
    fleet = {
      imports = [ (fleet { web1.port = 2222; }) ];
      nodes.web1.configuration.services.openssh.ports = [ 22 ];
    };
    refused = [ "ssh.access.web1.port is 2222, and its sshd listens on 22" ];
  };
  "an operator's key that would lock its owner out" = {
    fleet = fleet {
      alice.keys.laptop = {
        publicKey = "${key "operator"} the same";
        hasAccessTo.web1.root.command = "/bin/true";
      };
    };
    refused = [ "ssh.access.alice.keys.laptop is an operator's key, and restricted for root on web1" ];
  };
  "a certificate of a host that there is not" = {
    fleet = fleet { } // { ssh.ca.certificates.web9 = certificate; };
    refused = [ "ssh.ca.certificates names web9" ];
  };
  "an option before a key" = {
    fleet = fleet {
      alice.keys.laptop = {
        publicKey = "no-pty ${key "x"}";
        hasAccessTo.web1.root = true;
      };
    };
    throws = "is not of type `public SSH key";
  };
}
