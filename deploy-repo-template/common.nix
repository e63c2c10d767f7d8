# What every host of the fleet has.
{
  lib,
  fleet,
  name,
  ...
}:
{
  networking.hostName = name;

  services.openssh = {
    enable = true;
    settings.PasswordAuthentication = false;
  };
  users.users.root.openssh.authorizedKeys.keys = fleet.operators;

  services.nixus = {
    enable = true;
    # A generation is kept only if it lets these in,
    operators = fleet.operators;
    # and if the other hosts can reach it.
    peers = removeAttrs fleet.hosts [ name ];
    addresses = (fleet.hosts.${name} or { }).addresses or [ ];
    deployKey = fleet.deployKey;
    knownHosts = fleet.knownHosts;
    settings = {
      repository = {
        url = fleet.repository;
        branch = fleet.branch;
        timeout = lib.mkDefault "20s";
      };
      closure = {
        from = lib.mkDefault "flake";
        build_timeout = lib.mkDefault "30m";
      };
      switch = {
        activation_timeout = lib.mkDefault "5m";
        trial_timeout = lib.mkDefault "2m";
        failed_units = lib.mkDefault "revert";
      };
      health.soak = lib.mkDefault "10s";
      reports.url = fleet.reports;
    }
    // lib.optionalAttrs ((fleet.statuses or null) != null) { inherit (fleet) statuses; };
  };

  nix.settings.experimental-features = [
    "nix-command"
    "flakes"
  ];
  system.stateVersion = "25.05";
}
