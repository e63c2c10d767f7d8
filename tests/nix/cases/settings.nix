# All options of services.nixus.settings: their names, and files in which each of them is set, for the
# Rust side to read.
{
  key,
  lib,
  nixpkgs,
  ...
}:
let
  toml = import ../../../reconciler/nix/toml.nix { inherit lib; };
  host =
    settings:
    (nixpkgs.lib.nixosSystem {
      modules = [
        (import ../../../reconciler/nix/module.nix { packageFor = pkgs: pkgs.nixus; })
        {
          networking.hostName = "web1";
          services.nixus = { inherit settings; };
        }
      ];
    });
  evaluated = host { };

  # The options below a type, by path; lists of tables have a `*`.
  below =
    path: type:
    let
      inner =
        if type.name == "nullOr" then
          below path type.nestedTypes.elemType
        else if type.name == "listOf" || type.name == "attrsOf" then
          below (path ++ [ "*" ]) type.nestedTypes.elemType
        else if type.name == "submodule" then
          options path (removeAttrs (type.getSubOptions [ ]) [ "_freeformOptions" "_module" ])
        else
          [ ];
    in
    inner;
  options =
    path: set:
    lib.concatLists (
      lib.mapAttrsToList (
        name: option:
        let
          here = path ++ [ name ];
          type = option.type;
          element =
            if builtins.elem type.name [ "nullOr" "listOf" ] then type.nestedTypes.elemType else type;
        in
        [
          {
            path = here;
            # A table's own keys follow.
            values = if element.name == "enum" then element.functor.payload.values or [ ] else [ ];
          }
        ]
        ++ below here type
      ) set
    );

  ssh = {
    ssh_key = "/k/deploy";
    known_hosts = "/k/known_hosts";
    timeout = "20s";
  };
  https = {
    token_file = "/k/token";
    pinned_ca_file = "/k/ca.pem";
    timeout = "90s";
  };
  # Each option is set in one of these at least; what does not go together is in different ones.
  files = [
    {
      repository = ssh // {
        url = "ssh://git@git.example.org/deploy.git";
        branch = "main";
        mirror_after = "30m";
        mirrors = [
          (ssh // { url = "ssh://git@mirror.example.org/deploy.git"; })
          (https // { url = "https://mirror.example.org/deploy.git"; })
          {
            url = "https://second.example.org/deploy.git";
            extra_ca_file = "/k/ca.pem";
          }
          {
            url = "https://third.example.org/deploy.git";
            ca_file = "/k/ca.pem";
          }
          { url = "file:///srv/git/deploy.git"; }
        ];
      };
      reports = ssh // {
        url = "ssh://git@git.example.org/reports.git";
        heartbeat = "12h";
      };
      closure = {
        from = "file";
        file = "hosts.nix";
        directory = "nix/fleet";
        attribute = "web1";
        submodules = true;
        lfs = "ignore";
        build_timeout = "30m";
        memory_limit = "2GiB";
        cpu_weight = 50;
        recheck = "1m";
        retries = 3;
      };
      switch = {
        activation_timeout = "5m";
        trial_timeout = "2m";
        commit_timeout = "3m";
        carrier_timeout = "20m";
        failed_units = "ignore";
        drift = "report";
      };
      passes = {
        interval = "2min";
        boot_delay = "10s";
        timeout = "3h";
      };
      hooks = {
        before = [
          "/bin/true"
          "--ready"
        ];
        after = [
          [ "/bin/true" ]
          [
            "/bin/true"
            "it is \"done\""
          ]
        ];
        timeout = "1m";
      };
      health.soak = "20s";
      health.peers_lost_after = "2h";
      statuses = {
        forge = "gitea";
        api = "https://forge.example.org/api/v1";
        repository = "fleet/deploy";
        token_file = "/k/forge";
        pinned_ca_file = "/k/ca.pem";
        proxy = "http://proxy.example.org:3128";
        timeout = "20s";
        link = "https://logs.example.org/{host}";
        sign = true;
        hosts = 12;
        canary = true;
      };
      ssh = {
        addresses = [
          "192.0.2.11"
          "2001:db8::11"
        ];
        port = 2222;
        host_key = "/etc/ssh/ssh_host_ed25519_key";
        host_keys = [ (key "web1") ];
      };
      operators = [
        {
          user = "root";
          keys = [ "${key "alice"} alice" ];
          from = [ "192.0.2.0/24" ];
        }
      ];
      peers = [
        {
          name = "db1";
          addresses = [ "192.0.2.12" ];
          port = 2223;
          host_keys = [ (key "db1") ];
          user = "probe";
        }
      ];
      checks = [
        {
          kind = "peer";
          name = "peer";
          need = "wanted";
          timeout = "30s";
          interval = "3s";
          quorum = "all";
          ports = [
            80
            443
          ];
        }
        {
          kind = "tcp";
          name = "shop";
          address = "[2001:db8::11]:8080";
        }
        {
          kind = "http";
          url = "http://127.0.0.1/";
          status = 204;
          body = "it \"works\"\n\\o/";
        }
        {
          kind = "command";
          command = [
            "/bin/true"
            "--all"
          ];
        }
        {
          kind = "units";
          ignore = [ "shop.service" ];
        }
      ];
    }
    {
      repository = https // {
        url = "https://git.example.org/deploy.git";
      };
      reports = https // {
        url = "https://git.example.org/reports.git";
      };
      closure = {
        from = "manifest";
        manifest_keys = [ (key "ci") ];
        system_name = "web1";
        wait = "10m";
        fallback = "build";
      };
      statuses = {
        forge = "github";
        credential = "forge";
        repository = "fleet/deploy";
        api = "https://api.example.org";
      };
      checks = [
        { kind = "ssh"; }
        { kind = "repository"; }
      ];
    }
    {
      repository = {
        url = "https://git.example.org/deploy.git";
        extra_ca_file = "/k/ca.pem";
      };
      reports = {
        url = "https://git.example.org/reports.git";
        extra_ca_file = "/k/ca.pem";
      };
      statuses = {
        forge = "gitlab";
        repository = "fleet/deploy";
        credential = "forge";
        extra_ca_file = "/k/ca.pem";
      };
      closure = {
        from = "manifest";
        older = true;
      };
      peers = [
        {
          name = "db1";
          addresses = [ "db1.example.org" ];
          host_keys = [ (key "db1") ];
        }
      ];
      checks = [
        {
          kind = "peer";
          quorum = 2;
        }
      ];
    }
    {
      repository = {
        url = "https://git.example.org/deploy.git";
        # Its former name.
        ca_file = "/k/ca.pem";
      };
      reports = {
        url = "https://git.example.org/reports.git";
        ca_file = "/k/ca.pem";
      };
      statuses = {
        forge = "gitea";
        repository = "fleet/deploy";
        credential = "forge";
        ca_file = "/k/ca.pem";
      };
    }
  ];
in
{
  # Every option, with the values of those that have few.
  options = options [ ] (
    removeAttrs (evaluated.options.services.nixus.settings.type.getSubOptions [ ]) [ "_freeformOptions" "_module" ]
  );
  inherit files;
  rendered = map (settings: toml.render (host settings).config.services.nixus.settings) files;
}
