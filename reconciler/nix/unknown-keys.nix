# The keys of a configuration that no option describes, each with those that there are beside it. Settings may have
# others, which a newer program knows (RFC 42 of NixOS).
{ lib }:
let
  unknown =
    path: type: value:
    if value == null then
      [ ]
    else if type.name == "nullOr" then
      unknown path type.nestedTypes.elemType value
    else if type.name == "listOf" then
      lib.concatMap (unknown path type.nestedTypes.elemType) value
    else if type.name == "submodule" then
      let
        options = removeAttrs (type.getSubOptions [ ]) [
          "_freeformOptions"
          "_module"
        ];
      in
      lib.concatMap (
        key:
        let
          here = path ++ [ key ];
        in
        if options ? ${key} then
          unknown here options.${key}.type value.${key}
        else
          lib.optional (value.${key} != null) {
            name = lib.concatStringsSep "." here;
            known = builtins.attrNames options;
          }
      ) (builtins.attrNames value)
    else
      [ ];
in
unknown [ ]
