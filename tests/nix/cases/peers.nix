# Who looks after whom.
{ key, lib, ... }:
let
  of = names: {
    nodes = lib.genAttrs names (_: { });
    ssh.access = lib.genAttrs names (name: {
      hostKeys.ed25519 = key name;
      addresses = [ "${name}.example.org" ];
    });
  };
  peers = lib.mapAttrs (_: host: lib.attrNames host.services.nixus.peers);
  five = [
    "a"
    "b"
    "c"
    "d"
    "e"
  ];
in
{
  "in a ring each has two neighbours, and they have it" = {
    fleet = of five;
    expect = hosts: {
      peers = [
        (peers hosts)
        {
          a = [
            "b"
            "e"
          ];
          b = [
            "a"
            "c"
          ];
          c = [
            "b"
            "d"
          ];
          d = [
            "c"
            "e"
          ];
          e = [
            "a"
            "d"
          ];
        }
      ];
      "addresses and keys go along" = [
        hosts.a.services.nixus.peers.b
        {
          addresses = [ "b.example.org" ];
          hostKeys = [ (key "b") ];
          port = 22;
        }
      ];
      "own addresses" = [
        hosts.a.services.nixus.settings.ssh.addresses
        [ "a.example.org" ]
      ];
    };
  };
  "a wider ring in a small fleet names nobody twice" = {
    fleet = of [
      "a"
      "b"
      "c"
    ] // { peers.neighbours = 5; };
    expect = hosts: {
      peers = [
        (peers hosts)
        {
          a = [
            "b"
            "c"
          ];
          b = [
            "a"
            "c"
          ];
          c = [
            "a"
            "b"
          ];
        }
      ];
    };
  };
  "a host without a key, or alone, has no peers" = {
    fleet = {
      nodes.a = { };
      nodes.b = { };
      ssh.access.a.hostKeys.ed25519 = key "a";
    };
    expect = hosts: {
      peers = [
        (peers hosts)
        {
          a = [ ];
          b = [ ];
        }
      ];
    };
  };
  "explicit peers are each other's" = {
    fleet = of five // {
      peers.topology = "explicit";
      peers.explicit.a = [
        "c"
        "d"
      ];
    };
    expect = hosts: {
      peers = [
        (peers hosts)
        {
          a = [
            "c"
            "d"
          ];
          b = [ ];
          c = [ "a" ];
          d = [ "a" ];
          e = [ ];
        }
      ];
    };
  };
  "explicit peers come beside those of the ring" = {
    fleet = of five // { peers.explicit.a = [ "c" ]; };
    expect = hosts: {
      a = [
        (peers hosts).a
        [
          "b"
          "c"
          "e"
        ]
      ];
      c = [
        (peers hosts).c
        [
          "a"
          "b"
          "d"
        ]
      ];
    };
  };
  "no peers where none are wanted" = {
    fleet = of five // { peers.topology = "none"; };
    expect = hosts: {
      peers = [
        (lib.unique (lib.attrValues (peers hosts)))
        [ [ ] ]
      ];
    };
  };
  "a peer that there is not" = {
    fleet = of [ "a" ] // { peers.explicit.a = [ "z" ]; };
    refused = [ "peers.explicit names z, and there is no such host: there are a." ];
  };
  "an explicit peer without a host key" = {
    fleet = {
      nodes.a = { };
      nodes.b = { };
      ssh.access.a.hostKeys.ed25519 = key "a";
      peers.explicit.a = [ "b" ];
    };
    refused = [ "peers.explicit names b, which has no host key" ];
  };
  "a peer without an address" = {
    fleet = {
      nodes.a = { };
      nodes.b = { };
      ssh.access.a.hostKeys.ed25519 = key "a";
      ssh.access.b.hostKeys.ed25519 = key "b";
    };
    refused = [
      "the peer a has no address"
      "the peer b has no address"
    ];
  };
}
