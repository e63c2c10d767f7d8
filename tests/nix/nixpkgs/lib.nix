# The few functions of nixpkgs' lib that modules of lab hosts need, with the same names.
rec {
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkOptionDefault = mkOverride 1500;
  mkDefault = mkOverride 1000;
  mkForce = mkOverride 50;

  mkOption = option: option // { _type = "option"; };
  mkEnableOption =
    what:
    mkOption {
      type = types.bool;
      default = false;
      description = "Whether to enable ${what}.";
    };
  literalExpression = text: text;
  literalMD = text: text;
  # Types are not checked here; real NixOS does that. Only what is not given is filled in, by modules that
  # are functions and have nothing but options.
  types = {
    bool = "bool";
    str = "str";
    int = "int";
    path = "path";
    lines = "lines";
    anything = "anything";
    package = "package";
    port = "port";
    listOf = type: "listOf ${type}";
    attrsOf = type: if type ? submodule then { each = type.submodule; } else "attrsOf ${type}";
    submodule = module: {
      submodule =
        name: given:
        let
          inherit (module { inherit name config; }) options;
          defaults = builtins.mapAttrs (_: option: option.default) (
            filterAttrs (_: option: option ? default) options
          );
          unknown = builtins.attrNames (removeAttrs given (builtins.attrNames options));
          config =
            if unknown == [ ] then
              defaults // given
            else
              throw "The option `${name}.${builtins.head unknown}' does not exist.";
        in
        config;
    };
    nullOr = type: "nullOr ${type}";
    enum = values: "enum";
  };

  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  optionalString = condition: text: if condition then text else "";
  optionalAttrs = condition: attrs: if condition then attrs else { };
  concatStringsSep = builtins.concatStringsSep;
  concatMapStrings = f: list: concatStringsSep "" (map f list);
  mapAttrsToList = f: attrs: map (name: f name attrs.${name}) (builtins.attrNames attrs);
  filterAttrs =
    keep: attrs:
    builtins.listToAttrs (
      builtins.filter (pair: keep pair.name pair.value) (
        mapAttrsToList (name: value: { inherit name value; }) attrs
      )
    );
  nameValuePair = name: value: { inherit name value; };
  mapAttrs' = f: attrs: builtins.listToAttrs (mapAttrsToList f attrs);
  genAttrs = names: f: builtins.listToAttrs (map (name: nameValuePair name (f name)) names);
  hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      length = builtins.stringLength text;
      tail = builtins.stringLength suffix;
    in
    length >= tail && builtins.substring (length - tail) tail text == suffix;
  removeSuffix =
    suffix: text:
    if hasSuffix suffix text then
      builtins.substring 0 (builtins.stringLength text - builtins.stringLength suffix) text
    else
      text;
  escapeShellArg =
    text: "'" + builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString text) + "'";
  toList = value: if builtins.isList value then value else [ value ];
  isDerivation = value: builtins.isAttrs value && (value.type or null) == "derivation";
}
