# The options that users have, as nixpkgs' library describes them: those of a host and those of the fleet.
{ lib }:
let
  evaluate =
    modules:
    (lib.evalModules {
      modules = modules ++ [ { _module.check = false; } ];
      # Only options are looked at, and what they have for a default is not.
      specialArgs.pkgs = { };
    }).options;
  shown =
    options:
    builtins.filter (
      option: !option.internal && option.visible && !(lib.hasPrefix "_module" option.name)
    ) (lib.optionAttrSetToDocList options);
in
{
  host = shown (evaluate [
    (import ./module.nix { packageFor = _: { }; })
    ./fleet/public.nix
    ./fleet/dns-of-host.nix
  ]);
  fleet = shown (evaluate [
    (import ./fleet/modules.nix { nixosModule = { }; })
  ]);
}
