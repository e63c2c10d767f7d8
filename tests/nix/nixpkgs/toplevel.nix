# The toplevel: everything that a generation is, in one derivation (nixpkgs' top-level.nix).
{ config, lib, pkgs }:
let
  quote = lib.escapeShellArg;
  failedAssertions = builtins.filter (a: !a.assertion) config.assertions;

  write = path: text: "printf %s ${quote text} > \"$out\"/${quote path}\n";
  units = lib.filterAttrs (_: unit: unit.enable or true) config.systemd.units;
  masked = lib.filterAttrs (_: unit: !(unit.enable or true)) config.systemd.units;
  unitDir = "etc/systemd/system";
  renderUnit =
    name: unit:
    (
      if unit ? source then
        "ln -s ${quote unit.source} \"$out\"/${unitDir}/${quote name}\n"
      else
        write "${unitDir}/${name}" unit.text
    )
    + lib.optionalString (unit ? overrides) (
      "mkdir -p \"$out\"/${unitDir}/${quote name}.d\n"
      + write "${unitDir}/${name}.d/overrides.conf" unit.overrides
    )
    + lib.concatMapStrings (link name "wants") (unit.wantedBy or [ ])
    + lib.concatMapStrings (link name "requires") (unit.requiredBy or [ ]);
  link = name: how: target: ''
    mkdir -p "$out"/${unitDir}/${quote target}.${how}
    ln -s ../${quote name} "$out"/${unitDir}/${quote target}.${how}/${quote name}
  '';

  renderEtc =
    name: entry:
    (
      if entry.source != null then
        "ln -s ${quote "${entry.source}"} \"$out\"/etc/${quote name}\n"
      else
        write "etc/${name}" entry.text
    )
    + lib.optionalString ((entry.mode or "symlink") != "symlink") (
      write "etc/${name}.mode" "${entry.mode}\n"
    );
  etc = lib.filterAttrs (_: entry: entry.enable or true) config.environment.etc;
  directories = builtins.attrNames (
    builtins.listToAttrs (
      map (name: {
        name = builtins.dirOf "etc/${name}";
        value = null;
      }) (builtins.attrNames etc)
    )
  );

  createUser =
    name: user:
    lib.optionalString (name != "root") ''
      id -u ${quote name} >/dev/null 2>&1 || useradd ${
        lib.optionalString (user ? uid) "--uid ${toString user.uid}"
      } ${if user.isSystemUser or false then "--system" else "--create-home"} ${
        lib.optionalString (user ? home) "--home-dir ${quote user.home}"
      } --shell ${quote (user.shell or "/bin/bash")} --password '*' ${quote name}
    '';
  snippets = config.system.activationScripts;
  # Each after those that it depends on, as far as they are there.
  inOrder =
    done: name:
    if builtins.elem name done then
      done
    else
      builtins.foldl' inOrder done (builtins.filter (dep: snippets ? ${dep}) (snippets.${name}.deps or [ ]))
      ++ [ name ];
  scripts = map (
    name:
    let
      script = snippets.${name};
    in
    ''
      #### ${name}
      _localstatus=0
      ${script.text or script}
      if (( _localstatus > 0 )); then
        echo "Activation script snippet '${name}' failed ($_localstatus)"
      fi
    ''
  ) (builtins.foldl' inOrder [ ] (builtins.attrNames snippets));
  broken = {
    exit1 = "false";
    hang = "echo 'activation hangs, as the host description asks'; sleep infinity";
    half = "echo 'activation dies half-way, as the host description asks'; kill -KILL $$";
  };
  activate = ''
    #!/bin/bash
    systemConfig=@out@
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin
    cd /
    _status=0
    trap "_status=1 _localstatus=\$?" ERR
    umask 0022
    mkdir -m 0755 -p /run/nixos
    _localstatus=0
    ${lib.concatMapStrings (text: text) (lib.mapAttrsToList createUser config.users.users)}
    ${builtins.readFile ./setup-etc.sh}
    hostname ${quote config.networking.hostName}
    ${lib.optionalString (config.lab.break.activation != null)
      broken.${config.lab.break.activation}
    }
    ${lib.concatStringsSep "\n" scripts}
    # Last, so that a system whose activation died is never called the current one.
    ln -sfn "$systemConfig" /run/current-system.new
    mv -T /run/current-system.new /run/current-system
    exit $_status
  '';

  init = ''
    #!/bin/sh
    # Stage 2: what NixOS does between the boot loader and systemd.
    systemConfig=@out@
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin
    ${
      {
        none = "";
        fail = "echo 'init fails, as the host description asks'; exit 1";
        hang = "echo 'init hangs, as the host description asks'; exec sleep infinity";
      }
      .${if config.lab.break.init == null then "none" else config.lab.break.init}
    }
    ln -sfn "$systemConfig" /run/booted-system
    "$systemConfig/activate"
    exec /usr/lib/systemd/systemd
  '';

  stc = config.lab.switchToConfiguration;
  installBootloader = ''
    #!/bin/sh
    ${
      {
        none = ''exec ${stc}/bin/switch-to-configuration install-bootloader "$@"'';
        fail = "echo 'boot loader installation fails, as the host description asks' >&2; exit 1";
        slow = "sleep 5; exec ${stc}/bin/switch-to-configuration install-bootloader \"$@\"";
        hang = "echo 'boot loader installation hangs, as the host description asks' >&2; exec sleep infinity";
      }
      .${if config.lab.break.bootloader == null then "none" else config.lab.break.bootloader}
    }
  '';
  switch = ''
    #!/bin/sh
    export OUT=@out@ TOPLEVEL=@out@ DISTRO_ID=debian INSTALL_BOOTLOADER=@out@/bin/install-bootloader
    exec ${stc}/bin/switch-to-configuration "$@"
  '';
  bootFile =
    name:
    if config.lab.bootFiles != null then
      "${config.lab.bootFiles}/${name}"
    else
      builtins.toFile "${name}-${config.lab.${name}}" config.lab.${name};
  # A generation's own files name it, which only the builder can do.
  program = path: text: ''
    printf %s ${quote text} | sed "s,@out@,$out,g" > "$out"/${path}
    chmod +x "$out"/${path}
  '';

  script = ''
    mkdir -p "$out"/bin "$out"/sw/bin "$out"/${unitDir} ${
      lib.concatStringsSep " " (map (dir: "\"$out\"/${quote dir}") directories)
    }
    ${lib.concatStringsSep "" (lib.mapAttrsToList renderUnit units)}
    ${lib.concatStringsSep "" (
      lib.mapAttrsToList (
        name: _: "ln -s /dev/null \"$out\"/${unitDir}/${quote name}\n"
      ) masked
    )}
    ${lib.concatStringsSep "" (lib.mapAttrsToList renderEtc etc)}
    ${program "activate" activate}
    ${program "init" init}
    ${lib.optionalString config.system.switch.enable (
      program "bin/switch-to-configuration" switch + program "bin/install-bootloader" installBootloader
    )}
    ${write "switch-inhibitors" (builtins.toJSON config.system.switch.inhibitors)}
    ln -s ${bootFile "kernel"} "$out"/kernel
    ln -s ${bootFile "initrd"} "$out"/initrd
    ln -s ${builtins.toFile "kernel-modules-${config.lab.kernel}" config.lab.kernel} "$out"/kernel-modules
    ln -s /usr/lib/systemd "$out"/systemd
    ${write "kernel-params" (lib.concatStringsSep " " config.boot.kernelParams)}
    ${write "nixos-version" config.system.nixos.label}
    ${write "init-interface-version" config.lab.initInterfaceVersion}
    ${write "system" config.nixpkgs.hostPlatform}
    ${lib.concatMapStrings (package: ''
      for program in ${package}/bin/*; do ln -s "$program" "$out"/sw/bin/; done
    '') config.environment.systemPackages}
  '';
in
if failedAssertions != [ ] then
  throw "Failed assertions: ${lib.concatStringsSep "; " (map (a: a.message) failedAssertions)}"
else
  pkgs.runCommand "nixos-system-${config.networking.hostName}-${config.system.nixos.label}" { } script
