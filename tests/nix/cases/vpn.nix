# vpn.networks.
{ lib, wireguard, ... }@arguments:
let
  inherit (import ./vpn-fleets.nix { inherit lib wireguard; }) mesh star;
  netdev = host: {
    inherit (host.systemd.network.netdevs."50-vpn-lan") netdevConfig wireguardConfig wireguardPeers;
  };
  network = host: host.systemd.network.networks."50-vpn-lan";
  ports = lib.mapAttrs (_: host: host.networking.firewall.allowedUDPPorts);
in
{
  "in a star all goes through the server, and only it is reached" = {
    fleet = star { };
    expect = hosts: {
      server = [
        (netdev hosts.hub)
        {
          netdevConfig = {
            Kind = "wireguard";
            Name = "vpn-lan";
          };
          wireguardConfig = {
            ListenPort = 51820;
            PrivateKeyFile = "/var/lib/nixus-keys/wireguard";
          };
          wireguardPeers = [
            {
              PublicKey = wireguard "a";
              AllowedIPs = [
                "10.10.158.14/32"
                "fd10::9e0e/128"
              ];
            }
            {
              PublicKey = wireguard "b";
              AllowedIPs = [
                "10.10.74.41/32"
                "fd10::4a29/128"
              ];
            }
          ];
        }
      ];
      "the server's addresses" = [
        (network hosts.hub).address
        [
          "10.10.0.1/16"
          "fd10::1/64"
        ]
      ];
      "it forwards" = [
        [
          (network hosts.hub).networkConfig.IPv4Forwarding
          hosts.hub.boot.kernel.sysctl."net.ipv6.conf.all.forwarding"
        ]
        [
          true
          true
        ]
      ];
      client = [
        (netdev hosts.a).wireguardPeers
        [
          {
            PublicKey = wireguard "hub";
            AllowedIPs = [
              "10.10.0.0/16"
              "fd10::/64"
            ];
            Endpoint = "192.0.2.1:51820";
            PersistentKeepalive = 25;
          }
        ]
      ];
      "a client's address is what the server lets in" = [
        (network hosts.a).address
        [
          "10.10.158.14/16"
          "fd10::9e0e/64"
        ]
      ];
      "the firewall" = [
        (ports hosts)
        {
          a = [ ];
          b = [ ];
          hub = [ 51820 ];
        }
      ];
      "no interface is trusted" = [
        (lib.mapAttrs (_: host: host.networking.firewall.interfaces) hosts)
        {
          a = { };
          b = { };
          hub = { };
        }
      ];
      "no boot waits for it" = [
        (network hosts.a).linkConfig.RequiredForOnline
        "no"
      ];
    };
  };
  "who is not enabled is nowhere" = {
    fleet = star { members.b.enable = false; };
    expect = hosts: {
      "the server's peers" = [
        (map (peer: peer.PublicKey) (netdev hosts.hub).wireguardPeers)
        [ (wireguard "a") ]
      ];
      itself = [
        [
          hosts.b.systemd.network.netdevs
          (hosts.b.systemd.network.networks ? "50-vpn-lan")
        ]
        [
          { }
          false
        ]
      ];
    };
  };
  "a network that is not enabled is nowhere, whatever it lacks" = {
    fleet = star {
      enable = false;
      ipv4 = lib.mkForce "nonsense";
    };
    expect = hosts: {
      networks = [
        (lib.mapAttrs (_: host: host.systemd.network.netdevs) hosts)
        {
          a = { };
          b = { };
          hub = { };
        }
      ];
    };
  };
  "addresses and numbers may be chosen, and do not change when others join" = {
    fleet = star {
      members.a.number = 7;
      members.b.ipv4 = "10.10.0.9";
      members.c.publicKey = wireguard "c";
    } // { nodes.c = { }; };
    expect = hosts: {
      a = [
        (network hosts.a).address
        [
          "10.10.0.7/16"
          "fd10::7/64"
        ]
      ];
      b = [
        (network hosts.b).address
        [
          "10.10.0.9/16"
          "fd10::4a29/64"
        ]
      ];
    };
  };
  "a gateway passes on what a client sends to the world" = {
    fleet = star {
      internetGateway = true;
      members.a.internetGateway = true;
    };
    expect = hosts: {
      masquerade = [
        (network hosts.hub).networkConfig.IPMasquerade
        "both"
      ];
      "answers are forwarded too" = [
        hosts.hub.boot.kernel.sysctl."net.ipv4.conf.all.forwarding"
        true
      ];
      "answers of the server come in at the client" = [
        (lib.mapAttrs (_: host: host.networking.firewall.checkReversePath) hosts)
        {
          a = "loose";
          b = true;
          hub = true;
        }
      ];
      "all of the client's traffic" = [
        (builtins.head (netdev hosts.a).wireguardPeers).AllowedIPs
        [
          "0.0.0.0/0"
          "::/0"
        ]
      ];
      "but WireGuard's own" = [
        (map (rule: rule.InvertRule or false) (network hosts.a).routingPolicyRules)
        [
          false
          true
        ]
      ];
      "not the other client's" = [
        (network hosts.b).routingPolicyRules
        [ ]
      ];
    };
  };
  "a gateway forwards whatever NixOS has by default" = {
    fleet = {
      imports = [ (star { internetGateway = true; }) ];
      # In 25.11.
      nodes.hub.configuration.boot.kernel.sysctl."net.ipv4.conf.all.forwarding" = lib.mkDefault false;
    };
    expect = hosts: {
      it = [
        hosts.hub.boot.kernel.sysctl."net.ipv4.conf.all.forwarding"
        true
      ];
    };
  };
  "beside the scripted networking it changes nothing else" = {
    fleet = {
      imports = [ (star { }) ];
      defaults.networking.useNetworkd = lib.mkForce false;
      nodes.b.configuration.services.resolved.enable = true;
    };
    # Which knows nothing of what networkd is told.
    warns = [ "can cause both networkd and dhcpcd to manage the same interfaces" ];
    expect = hosts: {
      resolvers = [
        (lib.mapAttrs (_: host: host.services.resolved.enable) hosts)
        {
          a = false;
          b = true;
          hub = false;
        }
      ];
      "what dhcpcd leaves alone" = [
        hosts.a.networking.dhcpcd.denyInterfaces
        [ "vpn-lan" ]
      ];
      "what networkd has" = [
        (builtins.attrNames hosts.a.systemd.network.networks)
        [ "50-vpn-lan" ]
      ];
      "no boot waits for it" = [
        hosts.a.systemd.network.wait-online.enable
        false
      ];
    };
  };
  "a subnet behind a member is reached through it" = {
    fleet = star { members.b.routes = [ "10.20.0.0/16" ]; };
    expect = hosts: {
      "the server lets it in from there" = [
        (lib.last (netdev hosts.hub).wireguardPeers).AllowedIPs
        [
          "10.10.74.41/32"
          "fd10::4a29/128"
          "10.20.0.0/16"
        ]
      ];
      routes = [
        (lib.mapAttrs (_: host: (network host).routes) hosts)
        {
          a = [ { Destination = "10.20.0.0/16"; } ];
          b = [ ];
          hub = [ { Destination = "10.20.0.0/16"; } ];
        }
      ];
    };
  };
  "in a mesh each finds each, by IPv4 or IPv6" = {
    fleet = mesh { };
    expect = hosts: {
      "who is hidden keeps its way open" = [
        (netdev hosts.c).wireguardPeers
        [
          {
            PublicKey = wireguard "a";
            AllowedIPs = [ "10.10.0.1/32" ];
            Endpoint = "[2001:db8::a]:51820";
            PersistentKeepalive = 25;
          }
          {
            PublicKey = wireguard "b";
            AllowedIPs = [ "10.10.0.2/32" ];
            Endpoint = "192.0.2.2:51820";
            PersistentKeepalive = 25;
          }
        ]
      ];
      "who is hidden is waited for" = [
        (lib.last (netdev hosts.a).wireguardPeers)
        {
          PublicKey = wireguard "c";
          AllowedIPs = [ "10.10.0.3/32" ];
        }
      ];
      "the firewall" = [
        (ports hosts)
        {
          a = [ 51820 ];
          b = [ 51820 ];
          c = [ ];
        }
      ];
      "nobody forwards" = [
        (lib.mapAttrs (_: host: (network host).networkConfig ? IPv4Forwarding) hosts)
        {
          a = false;
          b = false;
          c = false;
        }
      ];
    };
  };
}
// import ./vpn-refused.nix arguments
