# How the activation of this system ended. The exit code of a switch may be that of failed units instead,
# and of a boot nobody sees one, so the last snippet of all notes it (switcher/src/machine/activation/mark.rs).
{ config, lib, ... }:
let
  name = "nixus-activation";
in
{
  config = lib.mkIf config.services.nixus.enable {
    system.activationScripts.${name} = {
      # The option adds the whole as `script` to the snippets.
      deps = builtins.filter (other: other != name && other != "script") (
        builtins.attrNames config.system.activationScripts
      );
      # `_status` is the activation script's own (nixpkgs' activation-script.nix): 1 where a snippet failed.
      text = ''
        (
          umask 077
          mkdir -p /run/nixus
          printf '%s %s\n' "''${_status:-0}" "$systemConfig" > /run/nixus/activation
        )
      '';
    };
  };
}
