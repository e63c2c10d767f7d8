# dns.
{ lib, ... }:
let
  base = {
    nodes.ns1.configuration.services.nixus.public = {
      ipv4 = "192.0.2.1";
      ipv6 = "2001:db8::1";
    };
    nodes.ns2.configuration.services.nixus.public.ipv4 = "192.0.2.2";
    nodes.web1 = { };
    dns.zones."example.org" = {
      primary = "ns1";
      secondaries = [ "ns2" ];
      soa.email = "host.master@example.org";
    };
    dns.records."example.org.".NS = [
      "ns1.example.org."
      "ns2.example.org."
    ];
  };
  fleet = more: {
    imports = [
      base
      more
    ];
  };
  records = records: fleet { dns.records = records; };
  # The text of a zone is in its file's path here.
  text = host: zone: lib.last (lib.splitString ".zone:" host.services.bind.zones.${zone}.file);
  lines = host: zone: lib.splitString "\n" (lib.removeSuffix "\n" (text host zone));
  head = [
    "$TTL 3600"
    "example.org. 3600 IN SOA ns1.example.org. host\\.master.example.org. ( 1700000000 7200 3600 1209600 300 )"
    "example.org. 3600 IN NS ns1.example.org."
    "example.org. 3600 IN NS ns2.example.org."
  ];
in
{
  "records come from wherever they are declared, and the serial from the commit" = {
    fleet = fleet {
      dns.records."www.example.org.".CNAME = "web1.example.org.";
      dns.zones."example.org".records."ns1.example.org." = {
        A = "192.0.2.1";
        AAAA = "2001:DB8:0::1";
        ttl = 60;
      };
      nodes.web1.configuration.services.nixus.dns.records."web1.example.org.".A = [
        "192.0.2.11"
        "192.0.2.12"
      ];
    };
    expect = hosts: {
      zone = [
        (lines hosts.ns1 "example.org")
        (
          head
          ++ [
            "ns1.example.org. 60 IN A 192.0.2.1"
            "ns1.example.org. 60 IN AAAA 2001:db8::1"
            "web1.example.org. 3600 IN A 192.0.2.11"
            "web1.example.org. 3600 IN A 192.0.2.12"
            "www.example.org. 3600 IN CNAME web1.example.org."
          ]
        )
      ];
      "the secondary copies it" = [
        {
          inherit (hosts.ns2.services.bind.zones."example.org") master masters;
        }
        {
          master = false;
          masters = [
            "192.0.2.1"
            "2001:db8::1"
          ];
        }
      ];
      "only the secondary may, and is told" = [
        {
          inherit (hosts.ns1.services.bind.zones."example.org") slaves extraConfig;
        }
        {
          slaves = [ "192.0.2.2" ];
          extraConfig = "notify explicit;\nalso-notify { 192.0.2.2; };\n";
        }
      ];
      "UDP and TCP" = [
        (lib.mapAttrs (_: host: [
          host.networking.firewall.allowedUDPPorts
          host.networking.firewall.allowedTCPPorts
        ]) hosts)
        {
          ns1 = [
            [ 53 ]
            [
              22
              53
            ]
          ];
          ns2 = [
            [ 53 ]
            [
              22
              53
            ]
          ];
          web1 = [
            [ ]
            [ 22 ]
          ];
        }
      ];
      "others have no name server, and no name server asks itself" = [
        [
          hosts.web1.services.bind.enable
          hosts.ns1.networking.resolvconf.useLocalResolver
          hosts.ns1.services.bind.extraOptions
        ]
        [
          false
          false
          "recursion no;"
        ]
      ];
    };
  };
  "all types are written as RFC 1035 and its followers say" = {
    fleet = records {
      "example.org." = {
        MX = [
          {
            preference = 10;
            exchange = "mail.example.org.";
          }
        ];
        CAA = [
          {
            tag = "issue";
            value = "letsencrypt.org";
          }
        ];
        TXT = "v=spf1 \"quoted\" back\\slash";
      };
      "_sip._tcp.example.org.".SRV = [
        {
          priority = 1;
          weight = 2;
          port = 5060;
          target = "sip.example.org.";
        }
      ];
      "*.example.org.".A = "192.0.2.9";
    };
    expect = hosts: {
      zone = [
        (lib.subtractLists head (lines hosts.ns1 "example.org"))
        [
          "*.example.org. 3600 IN A 192.0.2.9"
          "_sip._tcp.example.org. 3600 IN SRV 1 2 5060 sip.example.org."
          "example.org. 3600 IN CAA 0 issue \"letsencrypt.org\""
          "example.org. 3600 IN MX 10 mail.example.org."
          "example.org. 3600 IN TXT \"v=spf1 \\\"quoted\\\" back\\\\slash\""
        ]
      ];
    };
  };
  "texts are split at 255 bytes" = {
    fleet = records {
      "key.example.org.".TXT = lib.concatStrings (lib.genList (_: "x") 600);
    };
    expect = hosts: {
      pieces = [
        (map builtins.stringLength (
          builtins.filter builtins.isString (
            builtins.split " " (lib.removePrefix "key.example.org. 3600 IN TXT " (lib.last (lines hosts.ns1 "example.org")))
          )
        ))
        [
          257
          257
          92
        ]
      ];
    };
  };
  "the longest zone takes a record, and each zone has its own server" = {
    fleet = fleet {
      dns.zones."sub.example.org" = {
        primary = "ns2";
        soa.email = "x@example.org";
        soa.serial = 7;
        ttl = 60;
      };
      dns.records."sub.example.org.".NS = "ns2.example.org.";
      dns.records."a.sub.example.org.".A = "192.0.2.20";
      dns.records."asub.example.org.".A = "192.0.2.21";
    };
    expect = hosts: {
      sub = [
        (lines hosts.ns2 "sub.example.org")
        [
          "$TTL 60"
          "sub.example.org. 60 IN SOA ns2.example.org. x.example.org. ( 7 7200 3600 1209600 300 )"
          "a.sub.example.org. 60 IN A 192.0.2.20"
          "sub.example.org. 60 IN NS ns2.example.org."
        ]
      ];
      above = [
        (lib.subtractLists head (lines hosts.ns1 "example.org"))
        [ "asub.example.org. 3600 IN A 192.0.2.21" ]
      ];
    };
  };
  "addresses lead back to their name where that is wanted" = {
    fleet = fleet {
      dns.zones."2.0.192.in-addr.arpa" = {
        primary = "ns1";
        soa.email = "x@example.org";
        records."2.0.192.in-addr.arpa.".NS = "ns1.example.org.";
      };
      dns.zones."8.b.d.0.1.0.0.2.ip6.arpa" = {
        primary = "ns1";
        soa.email = "x@example.org";
        records."8.b.d.0.1.0.0.2.ip6.arpa.".NS = "ns1.example.org.";
      };
      dns.records."web1.example.org." = {
        A = "192.0.2.11";
        AAAA = "2001:db8::b";
        ptr = true;
      };
      dns.records."other.example.org.".A = "192.0.2.12";
    };
    expect = hosts: {
      four = [
        (builtins.elemAt (lines hosts.ns1 "2.0.192.in-addr.arpa") 2)
        "11.2.0.192.in-addr.arpa. 3600 IN PTR web1.example.org."
      ];
      "not for the other" = [
        (builtins.length (lines hosts.ns1 "2.0.192.in-addr.arpa"))
        4
      ];
      six = [
        (builtins.elemAt (lines hosts.ns1 "8.b.d.0.1.0.0.2.ip6.arpa") 3)
        "b.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 3600 IN PTR web1.example.org."
      ];
    };
  };

  "a record twice" = {
    fleet = fleet {
      dns.records."a.example.org.".A = "192.0.2.9";
      nodes.web1.configuration.services.nixus.dns.records."A.example.org.".A = "192.0.2.9";
    };
    refused = [ "dns.records.\"a.example.org.\": A 192.0.2.9 is declared twice" ];
  };
  "a CNAME beside another record" = {
    fleet = records {
      "a.example.org." = {
        CNAME = "web1.example.org.";
        TXT = "x";
      };
    };
    refused = [ "dns.records.\"a.example.org.\" has a CNAME beside TXT" ];
  };
  "two CNAME of one name" = {
    fleet = records {
      "a.example.org.".CNAME = [
        "b.example.org."
        "c.example.org."
      ];
    };
    refused = [ "dns.records.\"a.example.org.\" has several CNAME" ];
  };
  "a CNAME for a zone's own name" = {
    fleet = records { "example.org.".CNAME = "web1.example.org."; };
    refused = [
      "dns.records.\"example.org.\" has a CNAME beside NS"
      "dns.records.\"example.org.\" has a CNAME, and is a zone's own name"
    ];
  };
  "a mail server that is a CNAME" = {
    fleet = records {
      "example.org.".MX = [
        {
          preference = 1;
          exchange = "mail.example.org.";
        }
      ];
      "mail.example.org.".CNAME = "web1.example.org.";
    };
    refused = [ "dns.records.\"example.org.\".MX leads to mail.example.org., which is a CNAME" ];
  };
  "a name without a dot at its end" = {
    fleet = records {
      "a.example.org".A = "192.0.2.9";
      "b.example.org.".CNAME = "web1";
    };
    refused = [
      "dns.records: \"a.example.org\" is not a name that ends with a dot"
      "dns.records.\"b.example.org.\".CNAME: \"web1\" is not a name that ends with a dot"
    ];
  };
  "addresses that are none" = {
    fleet = records {
      "a.example.org." = {
        A = "192.0.2";
        AAAA = "2001:db8::1::2";
      };
    };
    refused = [
      "dns.records.\"a.example.org.\".A: 192.0.2 is not an IPv4 address"
      "dns.records.\"a.example.org.\".AAAA: 2001:db8::1::2 is not an IPv6 address"
    ];
  };
  "different times to live for records of one name" = {
    fleet = fleet {
      dns.records."a.example.org." = {
        A = "192.0.2.9";
        ttl = 60;
      };
      nodes.web1.configuration.services.nixus.dns.records."a.example.org.".A = "192.0.2.10";
    };
    refused = [ "dns.records.\"a.example.org.\".A has several ttl" ];
  };
  "a record that no zone has" = {
    fleet = records { "www.example.com.".A = "192.0.2.9"; };
    refused = [ "dns.records.\"www.example.com.\": no zone has this name. There are example.org." ];
  };
  "a zone without a name server" = {
    fleet = fleet {
      dns.zones."example.com" = {
        primary = "ns1";
        soa.email = "x@example.org";
      };
    };
    refused = [ "dns.zones.example.com. has no name server" ];
  };
  "a zone on a host that there is not" = {
    fleet = fleet { dns.zones."example.org".secondaries = [ "ns3" ]; };
    refused = [ "dns.zones.example.org. names ns3, and there is no such host" ];
  };
  "a zone without a serial" = {
    fleet = fleet { lastModified = lib.mkForce null; };
    refused = [ "dns.zones.example.org. has no serial: give mkFleet the flake" ];
  };
  "a primary that is its own secondary" = {
    fleet = fleet { dns.zones."example.org".secondaries = [ "ns1" ]; };
    refused = [ "ns1 is primary and secondary" ];
  };
  "a secondary that is not to be found" = {
    fleet = fleet { nodes.ns2.configuration.services.nixus.public.ipv4 = lib.mkForce null; };
    refused = [ "dns: ns2 has no address at which the other name servers find it" ];
  };
  "an e-mail address that is none" = {
    fleet = fleet { dns.zones."example.org".soa.email = lib.mkForce "hostmaster"; };
    throws = "is not of type `string matching the pattern [^@";
  };
}
