# ssh.ca: authorities that sign users' and hosts' keys, instead of keys known one by one.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  own = import ../types.nix { inherit lib; };
  cfg = config.ssh.ca;
  module = name: {
    environment.etc = lib.mkMerge [
      (lib.mkIf (cfg.users != { }) {
        "ssh/user_authorities".text = lib.concatMapStrings (key: key + "\n") (lib.attrValues cfg.users);
      })
      (lib.mkIf (cfg.certificates ? ${name}) {
        "ssh/host-cert.pub".text = cfg.certificates.${name} + "\n";
      })
    ];
    services.openssh.settings = lib.mkMerge [
      # A certificate opens the accounts that are among its principals (sshd_config(5)).
      (lib.mkIf (cfg.users != { }) { TrustedUserCAKeys = "/etc/ssh/user_authorities"; })
      (lib.mkIf (cfg.certificates ? ${name}) { HostCertificate = "/etc/ssh/host-cert.pub"; })
    ];
    programs.ssh.knownHosts = lib.concatMapAttrs (authority: one: {
      "authority-${authority}" = {
        certAuthority = true;
        inherit (one) hostNames publicKey;
      };
    }) cfg.hosts;
  };
  strangers = lib.subtractLists (builtins.attrNames config.nodes) (
    builtins.attrNames cfg.certificates
  );
in
{
  options.ssh.ca = {
    users = mkOption {
      type = types.attrsOf own.publicKey;
      default = { };
      description = "Authorities, by any names, whose certificates let users in as their principals say. Nixus does not count on them: an operator's plain key must let in too.";
    };
    hosts = mkOption {
      default = { };
      description = "Authorities, by any names, whose certificates prove hosts.";
      type = types.attrsOf (
        types.submodule {
          options = {
            publicKey = mkOption {
              type = own.publicKey;
              description = "The authority's public key.";
            };
            hostNames = mkOption {
              type = types.nonEmptyListOf types.str;
              example = [ "*.example.org" ];
              description = "The names of hosts that it may prove.";
            };
          };
        }
      );
    };
    certificates = mkOption {
      type = types.attrsOf (types.strMatching "[a-z0-9@.-]+-cert-v01@openssh.com [A-Za-z0-9+/]+=*( [^\n]*)?");
      default = { };
      description = "The certificate of each host's key (`ssh-keygen -h -s`), by the host's name.";
    };
  };
  config = {
    perNode = [ module ];
    assertions = map (name: {
      assertion = false;
      message = "ssh.ca.certificates names ${name}, and there is no such host: there are ${lib.concatStringsSep ", " (builtins.attrNames config.nodes)}.";
    }) strangers;
  };
}
