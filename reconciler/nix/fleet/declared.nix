# What a host's own modules say of it to others: its public addresses and DNS records. Only these options are
# declared, so that nobody evaluates NixOS to learn an address; what an address is made from is evaluated if it
# is something of the host's configuration.
{
  # The library of the host's nixpkgs.
  lib,
  modules,
  specialArgs,
  # Former names: a list of { from, to }.
  renamed,
}:
let
  # lib.mkRenamedOptionModule looks at the options of NixOS.
  rename =
    { from, to }:
    let
      former = lib.attrByPath from { } own.options;
    in
    {
      options = lib.setAttrByPath from (lib.mkOption { type = lib.types.raw; });
      config = lib.setAttrByPath to (
        lib.mkMerge (map (lib.mkOverride former.highestPrio) former.definitions)
      );
    };
  own = lib.evalModules {
    class = "nixos";
    inherit specialArgs;
    modules = [
      { _module.check = false; }
      ./public.nix
      ./dns-of-host.nix
    ]
    ++ map rename renamed
    ++ modules;
  };
in
own.config.services.nixus
