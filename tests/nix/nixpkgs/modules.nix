# Evaluates modules as nixpkgs' lib/modules.nix does: `imports`, `options` and `config`, conditions,
# priorities and order, types, freeform modules and `_module.args`.
lib:
let
  inherit (builtins) concatMap filter isAttrs;
  isSpecial = type: value: isAttrs value && (value._type or null) == type;
  show = builtins.concatStringsSep ".";

  # Conditions and priorities are pushed down to the option that they are about; otherwise the names
  # of all options would depend on the value of one.
  pushDown =
    value:
    if isSpecial "merge" value then
      concatMap pushDown value.contents
    else if isSpecial "if" value then
      map (builtins.mapAttrs (_: lib.mkIf value.condition)) (pushDown value.content)
    else if isSpecial "override" value then
      map (builtins.mapAttrs (_: lib.mkOverride value.priority)) (pushDown value.content)
    else
      [ value ];

  discharge =
    definition:
    let
      value = definition.value;
      inner = value: discharge (definition // { inherit value; });
    in
    if isSpecial "merge" value then
      concatMap inner value.contents
    else if isSpecial "if" value then
      if value.condition then inner value.content else [ ]
    else if isSpecial "override" value then
      map (found: { priority = value.priority; } // found) (inner value.content)
    else if isSpecial "order" value then
      map (found: { order = value.priority; } // found) (inner value.content)
    else
      [ (removeAttrs definition [ "priority" "order" ]) ];

  priorityOf = found: found.priority or 100;
  strongestOf =
    all:
    let
      lowest = builtins.foldl' (a: d: if priorityOf d < a then priorityOf d else a) 9999 all;
    in
    filter (found: priorityOf found == lowest) all;
  mergeDefinitions =
    path: type: definitions:
    let
      all = concatMap discharge definitions;
      strongest = strongestOf all;
      sorted =
        if builtins.any (found: found ? order) strongest then
          builtins.sort (a: b: (a.order or 1000) < (b.order or 1000)) strongest
        else
          strongest;
      wrong = filter (found: !(type.check found.value)) sorted;
    in
    {
      isDefined = all != [ ];
      value =
        if all == [ ] then
          throw "The option `${show path}' was accessed but has no value defined. Try setting the option."
        else if wrong != [ ] then
          throw "A definition for option `${show path}' is not of type `${type.description}'."
        else
          type.merge path sorted;
    };

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
      ...
    }:
    let
      known = {
        inherit lib config;
        options = described;
      }
      // specialArgs;
      call =
        module:
        let
          asked = removeAttrs (builtins.functionArgs module) (builtins.attrNames known);
        in
        module (known // builtins.mapAttrs (name: _: known.config._module.args.${name}) asked);

      # `parent` is the file of whoever imports it.
      load =
        parent: module:
        let
          file = if builtins.isPath module || builtins.isString module then module else null;
          read = if file != null then import file else module;
          value = if builtins.isFunction read then call read else read;
          structured = value ? config || value ? options;
          body = {
            key = value.key or (if file != null then toString file else null);
            imports = value.imports or [ ];
            options = if structured then value.options or { } else { };
            config =
              if structured then
                value.config or { }
              else
                removeAttrs value [
                  "_class"
                  "_file"
                  "freeformType"
                  "imports"
                  "key"
                ];
            freeform = value.freeformType or null;
            file = value._file or (if file != null then file else parent);
          };
        in
        [ body ] ++ concatMap (load body.file) body.imports;
      # The same file, imported twice, is one module.
      once = builtins.foldl' (
        seen: module:
        if module.key != null && builtins.any (other: other.key == module.key) seen then
          seen
        else
          seen ++ [ module ]
      ) [ ];
      loaded = once (
        concatMap (load null) (
          [
            {
              options._module.check = lib.mkOption { default = true; };
              options._module.args = lib.mkOption {
                type = lib.types.shape // {
                  merge = _: found: builtins.foldl' (a: one: a // one.value) { } found;
                };
                default = { };
              };
            }
          ]
          ++ modules
        )
      );

      declared = mergeDeclared prefix (map (module: module.options) loaded);
      mergeDeclared =
        path: sets:
        let
          options = filter (isSpecial "option") sets;
          typed = filter (option: option ? type) options;
        in
        if options == [ ] then
          builtins.zipAttrsWith (name: mergeDeclared (path ++ [ name ])) sets
        else
          builtins.foldl' (a: b: a // b) { } options
          // {
            loc = path;
            type =
              if typed == [ ] then
                lib.types.shape
              else
                builtins.foldl' (a: b: a.and b) (builtins.head typed).type (
                  map (option: option.type) (builtins.tail typed)
                );
          };

      freeform =
        let
          found = filter (type: type != null) (map (module: module.freeform) loaded);
        in
        if found == [ ] then null else builtins.head found;

      valueOf =
        path: option: definitions:
        let
          default = lib.optional (option ? default) { value = lib.mkOptionDefault option.default; };
          merged = mergeDefinitions path option.type (definitions ++ default);
        in
        (option.apply or (value: value)) merged.value;

      # What is defined below a place, by name.
      below =
        definitions:
        builtins.zipAttrsWith (_: found: found) (
          concatMap (
            definition:
            map (builtins.mapAttrs (_: value: definition // { inherit value; })) (pushDown definition.value)
          ) definitions
        );
      configAt =
        path: options: definitions:
        let
          named = below definitions;
        in
        builtins.mapAttrs (
          name: option:
          (if isSpecial "option" option then valueOf else configAt) (path ++ [ name ]) option (
            named.${name} or [ ]
          )
        ) options;
      # What no option takes: a misspelt option is an error.
      strayAt =
        path: options: definitions:
        let
          named = below definitions;
        in
        concatMap (
          name:
          if !(options ? ${name}) then
            [
              {
                path = path ++ [ name ];
                definitions = named.${name};
              }
            ]
          else if isSpecial "option" options.${name} then
            [ ]
          else
            strayAt (path ++ [ name ]) options.${name} named.${name}
        ) (builtins.attrNames named);

      definitions = map (module: {
        value = module.config;
        file = if module.file == null then "<unknown-file>" else toString module.file;
      }) loaded;
      # Options with what is defined of them.
      describe =
        options: definitions:
        let
          named = below definitions;
        in
        builtins.mapAttrs (
          name: option:
          if isSpecial "option" option then
            option // found (strongestOf (concatMap discharge (named.${name} or [ ])))
          else
            describe option (named.${name} or [ ])
        ) options;
      described = describe declared definitions;
      found = definitions: {
        definitionsWithLocations = definitions;
        definitions = map (definition: definition.value) definitions;
        highestPrio = if definitions == [ ] then 1500 else priorityOf (builtins.head definitions);
      };
      stray = strayAt prefix declared definitions;
      free = lib.foldl' lib.recursiveUpdate { } (
        map (
          found:
          lib.setAttrByPath (lib.drop (builtins.length prefix) found.path) (
            mergeDefinitions found.path (freeform.of or lib.types.shape) found.definitions
          ).value
        ) (filter (found: concatMap discharge found.definitions != [ ]) stray)
      );
      plain = configAt prefix declared definitions;
      config = if freeform == null then plain else lib.recursiveUpdate free plain;
      checked =
        if config._module.check && freeform == null && stray != [ ] then
          throw "The option `${show (builtins.head stray).path}' does not exist."
        else
          removeAttrs config [ "_module" ];
    in
    {
      config = checked;
      options = described;
      inherit (config) _module;
      _type = "configuration";
    };
in
{
  inherit evalModules mergeDefinitions;
}
