# Renders systemd.{services,timers,sockets,targets,paths} into systemd.units, as nixpkgs'
# systemd-lib.nix does: the X- lines stand where switch-to-configuration looks for them.
{ config, lib, pkgs, ... }:
let
  setting = value: if value == true then "true" else if value == false then "false" else toString value;
  lines =
    settings:
    lib.concatMapStrings (
      key: lib.concatMapStrings (value: "${key}=${setting value}\n") (lib.toList settings.${key})
    ) (builtins.attrNames settings);
  words = lib.concatStringsSep " ";
  trigger = values: builtins.hashString "sha256" (builtins.toJSON (map toString values));

  unitSection =
    unit:
    "[Unit]\n"
    + lines (
      lib.optionalAttrs (unit ? description) { Description = unit.description; }
      // lib.optionalAttrs (unit ? after) { After = words unit.after; }
      // lib.optionalAttrs (unit ? before) { Before = words unit.before; }
      // lib.optionalAttrs (unit ? wants) { Wants = words unit.wants; }
      // lib.optionalAttrs (unit ? requires) { Requires = words unit.requires; }
      // lib.optionalAttrs (unit ? partOf) { PartOf = words unit.partOf; }
      // lib.optionalAttrs (unit ? conflicts) { Conflicts = words unit.conflicts; }
      // lib.optionalAttrs (unit ? restartTriggers) {
        X-Restart-Triggers = trigger unit.restartTriggers;
      }
      // lib.optionalAttrs (unit ? reloadTriggers) { X-Reload-Triggers = trigger unit.reloadTriggers; }
      // (unit.unitConfig or { })
    )
    + "\n";

  path =
    unit:
    lib.concatMapStrings (package: "${package}/bin:") (unit.path or [ ])
    + "/usr/sbin:/usr/bin:/sbin:/bin";
  environment = unit: { PATH = path unit; } // (unit.environment or { });
  scriptOf = name: kind: text: "${pkgs.writeShellScript "unit-script-${name}-${kind}" "set -e\n${text}"}";

  service =
    name: unit:
    unitSection unit
    + "[Service]\n"
    + lib.concatMapStrings (key: "Environment=\"${key}=${(environment unit).${key}}\"\n") (
      builtins.attrNames (environment unit)
    )
    + lib.optionalString (
      unit.reloadIfChanged or false
    ) "X-ReloadIfChanged=true\n"
    + lib.optionalString (!(unit.restartIfChanged or true)) "X-RestartIfChanged=false\n"
    + lib.optionalString (!(unit.stopIfChanged or true)) "X-StopIfChanged=false\n"
    + lib.optionalString (unit.notSocketActivated or false) "X-NotSocketActivated=true\n"
    + lines (
      lib.optionalAttrs (unit ? script) { ExecStart = scriptOf name "start" unit.script; }
      // lib.optionalAttrs (unit ? preStart) { ExecStartPre = scriptOf name "pre-start" unit.preStart; }
      // lib.optionalAttrs (unit ? preStop) { ExecStop = scriptOf name "pre-stop" unit.preStop; }
      // lib.optionalAttrs (unit ? reload) { ExecReload = scriptOf name "reload" unit.reload; }
      // (unit.serviceConfig or { })
    );
  plain =
    title: key: unit:
    unitSection unit + lib.optionalString (title != null) "[${title}]\n${lines (unit.${key} or { })}";

  kind =
    suffix: render: units:
    lib.mapAttrs' (
      name: unit:
      lib.nameValuePair "${name}.${suffix}" {
        text = render name unit;
        enable = unit.enable or true;
        wantedBy = unit.wantedBy or [ ];
        requiredBy = unit.requiredBy or [ ];
      }
    ) units;
  systemd = config.systemd;
in
{
  config.systemd.targets.sysinit-reactivation.description = "Reactivate sysinit units";
  config.systemd.units = lib.mkMerge [
    (kind "service" service systemd.services)
    (kind "timer" (_: plain "Timer" "timerConfig") systemd.timers)
    (kind "socket" (
      _: unit:
      plain "Socket" "socketConfig" (
        unit
        // {
          socketConfig =
            lib.optionalAttrs (unit ? listenStreams) { ListenStream = unit.listenStreams; }
            // (unit.socketConfig or { });
        }
      )
    ) systemd.sockets)
    (kind "path" (_: plain "Path" "pathConfig") systemd.paths)
    (kind "target" (_: plain null null) systemd.targets)
  ];
}
