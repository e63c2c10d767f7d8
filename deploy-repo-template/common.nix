# What every host of the fleet has. The fleet's operators, Nixus and the hosts' peers come from
# fleet.nix.
{ lib, ... }:
{
  imports = [ ./users.nix ];

  services.openssh.settings.PasswordAuthentication = false;

  services.nixus.settings = {
    repository.timeout = lib.mkDefault "20s";
    closure.build_timeout = lib.mkDefault "30m";
    switch = {
      activation_timeout = lib.mkDefault "5m";
      trial_timeout = lib.mkDefault "2m";
    };
    # With nixus.forgeToken in fleet.nix:
    # statuses.sign = true;
  };

  # How many systems can be gone back to, from the boot menu and by `nixus rollback`. Each week `nix.gc` removes what
  # older ones alone have needed.
  services.nixus.keepGenerations = lib.mkDefault 20;

  nix.settings.experimental-features = [
    "nix-command"
    "flakes"
  ];
  system.stateVersion = lib.mkDefault "26.05";
}
