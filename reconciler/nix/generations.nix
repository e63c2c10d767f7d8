# How many generations are kept, in the boot menu and in the store. By number and not by age: the one before a
# system that has run for months is what a rollback needs, and the oldest of all.
{
  config,
  lib,
  options,
  ...
}:
let
  cfg = config.services.nixus;
  keep = cfg.keepGenerations;
  nix = config.nix;
  # nix-collect-garbage(1).
  byAge = builtins.match "(.* )?(-d|--delete-old|--delete-older-than)( .*)?" (nix.gc.options or "") != null;
in
{
  options.services.nixus.keepGenerations = lib.mkOption {
    type = lib.types.nullOr (lib.types.ints.between 2 1000);
    default = 20;
    description = "How many generations of the system are kept: this one and those before it, for the boot menu and for `nixus rollback`. It is the default of `boot.loader.*.configurationLimit`, and `nix.gc` runs each week unless it is set otherwise, before which older generations are deleted. What is boot-proven, and what an open deployment needs, is kept in any case. `null` leaves all of this as it is.";
  };
  config = lib.mkIf (cfg.enable && keep != null) (
    {
      boot.loader = {
        systemd-boot.configurationLimit = lib.mkDefault keep;
        grub.configurationLimit = lib.mkDefault keep;
        limine.maxGenerations = lib.mkDefault keep;
      };
      warnings = lib.optional byAge "nix.gc.options (${nix.gc.options}) deletes generations by their age, also those that `nixus rollback` needs: leave it out, as services.nixus.keepGenerations keeps ${toString keep} of them.";
    }
    // lib.optionalAttrs (options ? nix.gc) {
      nix.gc = {
        automatic = lib.mkDefault nix.enable;
        dates = lib.mkDefault "weekly";
        # Not on all hosts at once, which may have their caches in common.
        randomizedDelaySec = lib.mkDefault "6h";
      };
      systemd.services = lib.mkIf nix.enable {
        # Those that are newer than this one are kept, too (nix-env(1), --delete-generations).
        nix-gc.preStart = ''
          ${nix.package}/bin/nix-env --profile /nix/var/nix/profiles/system --delete-generations +${toString keep}
        '';
      };
    }
  );
}
