# services.bind as nixpkgs' module renders it, with Debian's BIND.
{ config, lib, ... }:
let
  cfg = config.services.bind;
  each = lib.concatMapStrings (one: "${one}; ");
  zone = name: one: ''
    zone "${name}" {
      type ${if one.master then "primary" else "secondary"};
      file "${one.file}";
      ${
        if one.master then
          "allow-transfer { ${each (one.slaves or [ ])}};"
        else
          "primaries { ${each one.masters}};"
      }
      ${one.extraConfig or ""}
    };
  '';
  conf = ''
    options {
      directory "/run/named";
      pid-file "/run/named/named.pid";
      listen-on { any; };
      listen-on-v6 { any; };
      dnssec-validation no;
      ${cfg.extraOptions}
    };
    controls { };
    ${lib.concatStrings (lib.mapAttrsToList zone cfg.zones)}
  '';
in
{
  config = lib.mkIf cfg.enable {
    environment.etc."named.conf".text = conf;
    systemd.services.bind = {
      description = "BIND Domain Name Server";
      after = [ "network.target" ];
      wantedBy = [ "multi-user.target" ];
      restartTriggers = [ conf ];
      serviceConfig = {
        ExecStart = "/usr/sbin/named -f -c /etc/named.conf";
        RuntimeDirectory = "named";
        RuntimeDirectoryPreserve = true;
        Restart = "on-failure";
      };
    };
  };
}
