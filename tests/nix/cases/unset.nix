# Which of the options that users have are set in none of these fleets, each a plain value.
{ fleets, lib }:
let
  documented = import ../../../reconciler/nix/documented.nix { inherit lib; };
  # What mkFleet gives to every fleet, and what can only be read.
  others = {
    host = [
      "services.nixus.public.hasIpv4"
      "services.nixus.public.hasIpv6"
    ];
    fleet = [
      "lastModified"
      "nodes.<name>.public.hasIpv4"
      "nodes.<name>.public.hasIpv6"
      "nixpkgs"
      "peers.of"
    ];
  };
  isSetIn =
    path: value:
    let
      rest = builtins.tail path;
      first = builtins.head path;
    in
    if path == [ ] then
      true
    else if builtins.isList value then
      first == "*" && builtins.any (isSetIn rest) value
    else if !(builtins.isAttrs value) then
      false
    else if first == "<name>" then
      builtins.any (isSetIn rest) (builtins.attrValues value)
    else
      value ? ${first} && isSetIn rest value.${first};
  hosts = lib.concatMap (fleet: map (node: node.configuration) (builtins.attrValues fleet.nodes)) fleets;
  unset =
    kind: values:
    map (option: option.name) (
      builtins.filter (
        option:
        !(builtins.elem option.name others.${kind}) && !(builtins.any (isSetIn option.loc) values)
      ) documented.${kind}
    );
in
{
  host = unset "host" hosts;
  fleet = unset "fleet" fleets;
  options = builtins.length documented.host + builtins.length documented.fleet;
}
