# The few functions of nixpkgs' lib that modules of lab hosts need, with the same names.
let
  lib = self;
  self = rec {
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
    mkPackageOption =
      packages: name: _:
      mkOption {
        type = types.package;
        default = packages.${name};
        description = "The ${name} package to use.";
      };
    setDefaultModuleLocation = file: module: {
      _file = file;
      imports = [ module ];
    };
    # Of what is defined by the former name only the value is known, which is enough for hosts of the lab.
    mkRenamedOptionModule =
      from: to:
      { config, options, ... }:
      let
        former = attrByPath from { } options;
      in
      {
        options = setAttrByPath from (mkOption {
          apply = _: attrByPath to (throw "there is no ${showOption to}") config;
        });
        config = setAttrByPath to (mkMerge former.definitions);
      };
    types = import ./types.nix lib;
    modules = import ./modules.nix lib;
    inherit (modules) evalModules;
    inherit (types) mkOptionType;

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

    mkOrder = priority: content: {
      _type = "order";
      inherit priority content;
    };
    mkBefore = mkOrder 500;
    mkAfter = mkOrder 1500;
    literalExpression = text: {
      _type = "literalExpression";
      inherit text;
    };
    literalMD = literalExpression;

    inherit (builtins)
      all
      any
      attrNames
      attrValues
      concatLists
      concatMap
      elem
      elemAt
      filter
      foldl'
      genList
      hasAttr
      head
      isAttrs
      isFunction
      isList
      isString
      length
      lessThan
      listToAttrs
      mapAttrs
      match
      replaceStrings
      sort
      stringLength
      substring
      tail
      toJSON
      ;
    concatStrings = concatStringsSep "";
    concatMapStringsSep =
      separator: f: list:
      concatStringsSep separator (map f list);
    concatMapAttrs = f: attrs: builtins.foldl' (a: b: a // b) { } (mapAttrsToList f attrs);
    last = list: builtins.elemAt list (builtins.length list - 1);
    init = list: take (builtins.length list - 1) list;
    range = first: end: if first > end then [ ] else builtins.genList (n: first + n) (end - first + 1);
    take = count: list: builtins.genList (builtins.elemAt list) (min count (builtins.length list));
    drop =
      count: list:
      builtins.genList (n: builtins.elemAt list (count + n)) (max 0 (builtins.length list - count));
    min = a: b: if a < b then a else b;
    max = a: b: if a > b then a else b;
    mod = a: b: a - b * (a / b);
    flatten = value: if builtins.isList value then builtins.concatMap flatten value else [ value ];
    unique = builtins.foldl' (seen: one: if builtins.elem one seen then seen else seen ++ [ one ]) [ ];
    count = keep: list: builtins.length (builtins.filter keep list);
    imap0 = f: list: builtins.genList (n: f n (builtins.elemAt list n)) (builtins.length list);
    imap1 = f: imap0 (n: f (n + 1));
    partition = builtins.partition;
    groupBy = builtins.groupBy;
    subtractLists = gone: builtins.filter (one: !(builtins.elem one gone));
    findFirst =
      keep: default: list:
      let
        found = builtins.filter keep list;
      in
      if found == [ ] then default else builtins.head found;
    reverseList =
      list:
      let
        size = builtins.length list;
      in
      builtins.genList (n: builtins.elemAt list (size - n - 1)) size;
    hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
    removePrefix =
      prefix: text:
      if hasPrefix prefix text then
        builtins.substring (builtins.stringLength prefix) (-1) text
      else
        text;
    hasInfix = infix: text: builtins.length (splitString infix text) > 1;
    stringToCharacters =
      text: builtins.genList (n: builtins.substring n 1 text) (builtins.stringLength text);
    splitString =
      separator: text:
      builtins.filter builtins.isString (builtins.split (escapeRegex separator) text);
    escapeRegex = builtins.replaceStrings (stringToCharacters "\\[{()^$?*+|.") (
      map (c: "\\${c}") (stringToCharacters "\\[{()^$?*+|.")
    );
    toLower = builtins.replaceStrings (stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (
      stringToCharacters "abcdefghijklmnopqrstuvwxyz"
    );
    toInt = builtins.fromJSON;
    fixedWidthString =
      width: filler: text:
      if builtins.stringLength text >= width then
        text
      else
        fixedWidthString width filler (filler + text);
    toHexString =
      number:
      let
        digit = builtins.substring (mod number 16) 1 "0123456789ABCDEF";
      in
      (if number >= 16 then toHexString (number / 16) else "") + digit;
    fromHexString =
      text: (builtins.fromTOML "x = 0x${text}").x;
    versionAtLeast = a: b: builtins.compareVersions a b >= 0;
    recursiveUpdate =
      a: b:
      let
        both = name: builtins.isAttrs a.${name} && builtins.isAttrs b.${name};
        deep = name: !(isDerivation a.${name}) && !(isDerivation b.${name}) && both name;
      in
      a // builtins.mapAttrs (
        name: value: if a ? ${name} && deep name then recursiveUpdate a.${name} value else value
      ) b;
    setAttrByPath =
      path: value:
      if path == [ ] then value else { ${builtins.head path} = setAttrByPath (builtins.tail path) value; };
    attrByPath =
      path: default: attrs:
      if path == [ ] then
        attrs
      else if builtins.isAttrs attrs && attrs ? ${builtins.head path} then
        attrByPath (builtins.tail path) default attrs.${builtins.head path}
      else
        default;
    zipListsWith =
      f: a: b:
      builtins.genList (n: f (builtins.elemAt a n) (builtins.elemAt b n)) (
        min (builtins.length a) (builtins.length b)
      );
    assertMsg = holds: message: if holds then true else throw message;
    showOption = builtins.concatStringsSep ".";
  };
in
self
