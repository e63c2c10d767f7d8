# What the machine itself should give: files that outlive a power cut, and a reset when it hangs.
{
  config,
  lib,
  options,
  ...
}:
let
  cfg = config.services.nixus;
  watchdog = cfg.hardwareWatchdog;
  nix = config.nix.package;
  # Since Nix 2.25. NixOS refuses a nix.conf with settings that Nix does not know.
  syncsPaths = (nix.pname or "nix") == "nix" && lib.versionAtLeast (nix.version or "0") "2.25";
in
{
  config = lib.mkIf cfg.enable (
    lib.mkMerge [
      {
        nix.settings = lib.mkIf cfg.syncStore {
          fsync-metadata = lib.mkDefault true;
          fsync-store-paths = lib.mkIf syncsPaths (lib.mkDefault true);
        };
      }
      (lib.mkIf watchdog.enable {
        # Renamed in NixOS 25.11.
        systemd =
          if options.systemd ? settings then
            {
              settings.Manager = {
                RuntimeWatchdogSec = lib.mkDefault watchdog.timeout;
                RebootWatchdogSec = lib.mkDefault watchdog.rebootTimeout;
              };
            }
          else
            {
              watchdog = {
                runtimeTime = lib.mkDefault watchdog.timeout;
                rebootTime = lib.mkDefault watchdog.rebootTimeout;
              };
            };
      })
    ]
  );
}
