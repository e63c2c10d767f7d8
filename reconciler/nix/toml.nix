# Settings as TOML, at evaluation: what a host will read can be looked at without a build.
{ lib }:
let
  isTables = value: builtins.isList value && value != [ ] && builtins.all builtins.isAttrs value;
  bare = name: builtins.match "[A-Za-z0-9_-]+" name != null;
  key = name: if bare name then name else builtins.toJSON name;
  header = lib.concatMapStringsSep "." key;

  # JSON's strings are TOML's, but for a character that no setting may have.
  inline =
    value:
    if builtins.isAttrs value then
      "{ ${lib.concatStringsSep ", " (lib.mapAttrsToList (name: item: "${key name} = ${inline item}") value)} }"
    else if builtins.isList value then
      "[${lib.concatMapStringsSep ", " inline value}]"
    else
      builtins.toJSON value;

  # Plain keys come first: what follows a header belongs to it.
  table =
    path: attrs:
    let
      plain = lib.filterAttrs (_: value: !(builtins.isAttrs value || isTables value)) attrs;
      tables = lib.filterAttrs (_: builtins.isAttrs) attrs;
      lists = lib.filterAttrs (_: isTables) attrs;
    in
    lib.concatStrings (
      lib.mapAttrsToList (name: value: "${key name} = ${inline value}\n") plain
      ++ lib.mapAttrsToList (
        name: value: "\n[${header (path ++ [ name ])}]\n" + table (path ++ [ name ]) value
      ) tables
      ++ lib.mapAttrsToList (
        name:
        lib.concatMapStrings (item: "\n[[${header (path ++ [ name ])}]]\n" + table (path ++ [ name ]) item)
      ) lists
    );

  # What was not set is not written: the program's own defaults hold.
  set =
    value:
    if builtins.isAttrs value then
      lib.filterAttrs (_: item: item != null && item != { } && item != [ ]) (
        builtins.mapAttrs (_: set) value
      )
    else if builtins.isList value then
      map set value
    else
      value;
in
{
  render = settings: table [ ] (set settings);
}
