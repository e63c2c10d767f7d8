# Merges modules: functions or attribute sets, with `imports`, `options` and `config`, as NixOS does
# it, but without types. Values are merged by their shape: sets recursively, lists one after the
# other, everything else must be equal or have a different priority.
lib: specialArgs: modules:
let
  isSpecial = type: value: builtins.isAttrs value && (value._type or null) == type;
  isPlain =
    value: builtins.isAttrs value && !(value ? _type) && !(lib.isDerivation value);

  load =
    file: module:
    let
      loaded = if builtins.isPath module || builtins.isString module then import module else module;
      value = if builtins.isFunction loaded then loaded args else loaded;
      body =
        if value ? config || value ? options then
          {
            imports = value.imports or [ ];
            options = value.options or { };
            config = value.config or { };
          }
        else
          {
            imports = value.imports or [ ];
            options = { };
            config = removeAttrs value [ "imports" ];
          };
    in
    [ body ] ++ builtins.concatMap (load file) body.imports;
  loaded = builtins.concatMap (load null) modules;

  args = specialArgs // {
    inherit config lib;
    options = declared;
  };

  # Conditions and priorities are pushed down to the option that they are about; otherwise the names
  # of all options would depend on the value of one.
  flatten =
    value:
    if isSpecial "merge" value then
      builtins.concatMap flatten value.contents
    else if isSpecial "if" value then
      map (push (lib.mkIf value.condition)) (flatten value.content)
    else if isSpecial "override" value then
      map (push (lib.mkOverride value.priority)) (flatten value.content)
    else
      [ value ];
  push =
    wrap: value: if isPlain value then builtins.mapAttrs (_: wrap) value else wrap value;

  resolve =
    priority: value:
    if isSpecial "merge" value then
      builtins.concatMap (resolve priority) value.contents
    else if isSpecial "if" value then
      if value.condition then resolve priority value.content else [ ]
    else if isSpecial "override" value then
      resolve value.priority value.content
    else
      [ { inherit priority value; } ];

  show = builtins.concatStringsSep ".";
  depth = path: if builtins.elem (builtins.head path) [ "services" "lab" ] then 3 else 2;

  mergeOption =
    path: definitions:
    let
      resolved = builtins.concatMap (resolve 100) definitions;
      values = map (d: d.value) resolved;
      lowest = builtins.foldl' (a: d: if d.priority < a then d.priority else a) 9999 resolved;
      strongest = map (d: d.value) (builtins.filter (d: d.priority == lowest) resolved);
      first = builtins.head strongest;
    in
    if resolved == [ ] then
      throw "The option `${show path}' was accessed but has no value defined."
    else if builtins.all isPlain values then
      # A set's own priority is that of its members.
      builtins.zipAttrsWith (name: mergeOption (path ++ [ name ])) (
        map (
          d:
          builtins.mapAttrs (
            _: value: if d.priority == 100 then value else lib.mkOverride d.priority value
          ) d.value
        ) (keepDefined path resolved)
      )
    else if builtins.all builtins.isList strongest then
      builtins.concatLists strongest
    else if builtins.all (value: value == first) strongest then
      first
    else
      throw "The option `${show path}' has conflicting definition values: ${
        builtins.concatStringsSep ", " (map builtins.toJSON strongest)
      }";

  # A member whose every definition is behind a false condition does not exist.
  keepDefined =
    path: resolved:
    let
      names = builtins.concatMap (d: builtins.attrNames d.value) resolved;
      defined =
        name: builtins.any (d: d.value ? ${name} && resolve 100 d.value.${name} != [ ]) resolved;
      gone = builtins.filter (name: !(defined name)) names;
    in
    map (d: d // { value = removeAttrs d.value gone; }) resolved;

  mergeAt =
    path: definitions:
    if path != [ ] && builtins.length path >= depth path then
      mergeOption path definitions
    else
      let
        flat = builtins.concatMap flatten definitions;
      in
      if builtins.all isPlain flat then
        builtins.zipAttrsWith (name: mergeAt (path ++ [ name ])) flat
      else
        mergeOption path definitions;

  defaults =
    option:
    if isSpecial "option" option then
      if option ? default then lib.mkOptionDefault option.default else lib.mkMerge [ ]
    else
      builtins.mapAttrs (_: defaults) option;

  merged = mergeAt [ ] (
    map (module: module.config) loaded ++ map (module: defaults module.options) loaded
  );

  # A misspelt option is an error, as in NixOS.
  declared = mergeDeclared (map (module: module.options) loaded);
  mergeDeclared =
    sets:
    if builtins.any (isSpecial "option") sets then
      builtins.head (builtins.filter (isSpecial "option") sets)
    else
      builtins.zipAttrsWith (_: mergeDeclared) sets;
  unknown =
    path: options: value:
    if isSpecial "option" options then
      [ ]
    else
      builtins.concatMap (
        name:
        if options ? ${name} then
          unknown (path ++ [ name ]) options.${name} value.${name}
        else
          [ (show (path ++ [ name ])) ]
      ) (builtins.attrNames value);

  # What sets of submodules leave out.
  fill =
    options: value:
    if isSpecial "option" options then
      if options ? type.each then builtins.mapAttrs options.type.each value else value
    else
      builtins.mapAttrs (name: fill (options.${name} or { _type = "option"; })) value;
  config = fill declared merged;
in
{
  inherit config;
  checked =
    let
      wrong = unknown [ ] declared merged;
    in
    if wrong == [ ] then
      config
    else
      throw "The option `${builtins.head wrong}' does not exist.";
}
