# nixpkgs' types, as far as modules of lab hosts name them: the same names, checks and merges.
lib:
let
  inherit (builtins)
    all
    elem
    head
    isAttrs
    isBool
    isInt
    isList
    isString
    ;
  show = builtins.concatStringsSep ".";
  values = map (definition: definition.value);

  equal =
    path: definitions:
    let
      first = head (values definitions);
    in
    if all (value: value == first) (values definitions) then
      first
    else
      throw "The option `${show path}' has conflicting definition values: ${
        builtins.concatStringsSep ", " (
          map (
            definition: "${builtins.toJSON definition.value} in ${definition.file or "<unknown-file>"}"
          ) definitions
        )
      }";
  one =
    path: definitions:
    if builtins.length definitions == 1 then
      (head definitions).value
    else
      throw "The option `${show path}' is defined multiple times while it's expected to be unique.";
  type =
    attrs:
    {
      merge = equal;
      # What a second declaration of the same option makes of it.
      and = _: type attrs;
    }
    // attrs;
  plain =
    name: check:
    type {
      inherit name check;
      description = name;
    };

  isPlain = value: isAttrs value && !(value ? _type) && !(lib.isDerivation value);
  # Without a type, values are merged by their shape.
  shape = type {
    name = "unspecified";
    description = "unspecified value";
    check = _: true;
    merge =
      path: definitions:
      let
        all' = values definitions;
      in
      if all isPlain all' then
        members path shape definitions
      else if all isList all' then
        builtins.concatLists all'
      else
        equal path definitions;
  };
  # A member whose every definition is behind a false condition does not exist.
  members =
    path: of: definitions:
    builtins.mapAttrs (_: found: found.value) (
      lib.filterAttrs (_: found: found.isDefined) (
        builtins.zipAttrsWith (name: lib.modules.mergeDefinitions (path ++ [ name ]) of) (
          map (definition: builtins.mapAttrs (_: value: { inherit value; }) definition.value) definitions
        )
      )
    );
  # A function or a path is a module too.
  isModule = value: isAttrs value || builtins.isFunction value || builtins.isPath value;
in
rec {
  inherit shape;
  mkOptionType = type;
  raw = plain "raw" (_: true) // {
    merge = one;
  };
  unspecified = shape;
  anything = shape;
  attrs = shape // {
    name = "attrs";
    check = isAttrs;
  };
  bool = plain "bool" isBool // {
    description = "boolean";
  };
  str = plain "str" isString // {
    description = "string";
  };
  int = plain "int" isInt // {
    description = "signed integer";
  };
  float = plain "float" builtins.isFloat;
  path = plain "path" (value: lib.isDerivation value || builtins.substring 0 1 (toString value) == "/");
  package = plain "package" (value: lib.isDerivation value || (isAttrs value && value ? outPath)) // {
    merge = one;
  };
  lines = str // {
    name = "lines";
    description = "strings concatenated with \"\\n\"";
    merge = _: definitions: builtins.concatStringsSep "\n" (values definitions);
  };
  ints = {
    between =
      low: high:
      plain "intBetween" (value: isInt value && value >= low && value <= high)
      // {
        description = "integer between ${toString low} and ${toString high} (both inclusive)";
      };
    positive = plain "positiveInt" (value: isInt value && value > 0) // {
      description = "positive integer, meaning >0";
    };
    unsigned = plain "unsignedInt" (value: isInt value && value >= 0);
  };
  port = ints.between 0 65535;
  strMatching =
    expression:
    plain "strMatching" (value: isString value && builtins.match expression value != null)
    // {
      description = "string matching the pattern ${expression}";
    };
  enum =
    allowed:
    plain "enum" (value: elem value allowed)
    // {
      description = "one of ${builtins.concatStringsSep ", " (map builtins.toJSON allowed)}";
    };
  addCheck =
    of: check:
    of
    // {
      check = value: of.check value && check value;
    };

  nullOr =
    of:
    type {
      name = "nullOr";
      description = "null or ${of.description}";
      check = value: value == null || of.check value;
      merge =
        path: definitions:
        if all (value: value == null) (values definitions) then null else of.merge path definitions;
      and = other: nullOr (of.and other.of);
      nestedTypes.elemType = of;
      inherit of;
    };
  either =
    a: b:
    type {
      name = "either";
      description = "${a.description} or ${b.description}";
      check = value: a.check value || b.check value;
      merge =
        path: definitions:
        (if all a.check (values definitions) then a else b).merge path definitions;
    };
  oneOf = list: builtins.foldl' either (head list) (builtins.tail list);
  listOf =
    of:
    type {
      name = "listOf";
      description = "list of ${of.description}";
      check = isList;
      merge =
        path: definitions:
        let
          items = builtins.concatLists (values definitions);
          merged = builtins.genList (
            number:
            lib.modules.mergeDefinitions (path ++ [ "[definition ${toString (number + 1)}]" ]) of [
              { value = builtins.elemAt items number; }
            ]
          ) (builtins.length items);
        in
        map (found: found.value) (builtins.filter (found: found.isDefined) merged);
      and = other: listOf (of.and other.of);
      nestedTypes.elemType = of;
      inherit of;
    };
  nonEmptyListOf = of: addCheck (listOf of) (list: list != [ ]) // {
    description = "non-empty list of ${of.description}";
  };
  attrsOf =
    of:
    type {
      name = "attrsOf";
      description = "attribute set of ${of.description}";
      check = isAttrs;
      merge = path: members path of;
      and = other: attrsOf (of.and other.of);
      inherit of;
    };
  lazyAttrsOf = attrsOf;
  functionTo =
    of:
    plain "functionTo" builtins.isFunction
    // {
      merge =
        path: definitions: argument:
        (lib.modules.mergeDefinitions path of (
          map (definition: definition // { value = definition.value argument; }) definitions
        )).value;
    };
  deferredModule = plain "deferredModule" isModule // {
    description = "module";
    merge = _: definitions: { imports = values definitions; };
  };
  submoduleWith =
    {
      modules,
      specialArgs ? { },
      ...
    }:
    type {
      name = "submodule";
      description = "submodule";
      check = isModule;
      merge =
        path: definitions:
        (lib.evalModules {
          modules = modules ++ [ { _module.args.name = lib.last path; } ] ++ values definitions;
          inherit specialArgs;
          prefix = path;
        }).config;
      and =
        other:
        submoduleWith {
          modules = modules ++ other.modules;
          specialArgs = specialArgs // other.specialArgs;
        };
      getSubOptions =
        prefix:
        (lib.evalModules {
          inherit modules prefix specialArgs;
        }).options;
      inherit modules specialArgs;
    };
  submodule = module: submoduleWith { modules = if isList module then module else [ module ]; };
}
