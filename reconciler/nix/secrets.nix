# services.nixus.secrets: ciphertext in the deploy repository, opened when a generation is activated.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  cfg = config.services.nixus.secrets;

  # What `nixus-secrets` reads; see reconciler/src/secrets/description.rs.
  description = pkgs.writeText "nixus-secrets.json" (
    builtins.toJSON {
      version = 1;
      program = "${cfg.package}/bin/nixus-secrets";
      identities = cfg.identityPaths;
      secrets = lib.mapAttrsToList (name: secret: {
        inherit name;
        # In the closure, so that every generation has its own; and nothing else of the repository.
        file = "${
          builtins.path {
            name = "nixus-secret";
            path = secret.file;
          }
        }";
        user = if secret.user == null then "root" else secret.user;
        group = if secret.group == null then "root" else secret.group;
        inherit (secret)
          mode
          path
          restartUnits
          reloadUnits
          ;
      }) cfg.files;
    }
  );

  hostKeyPaths =
    type: map (key: key.path) (builtins.filter (key: key.type == type) config.services.openssh.hostKeys);

  hasSecrets = cfg.files != { };
  # A host that merely imports the modules gets nothing of it.
  isUsed = hasSecrets || config.services.nixus.enable;

  # Users are made by a unit there, and not by the activation (nixpkgs' userborn.nix, sysusers.nix).
  usersByUnit =
    lib.optional (options.services ? userborn && config.services.userborn.enable) "userborn.service"
    ++ lib.optional (
      options.systemd ? sysusers && config.systemd.sysusers.enable
    ) "systemd-sysusers.service";
  bySystemd = usersByUnit != [ ];

  isNumber = text: builtins.match "[0-9]+" text != null;
  known = accounts: name: name == "root" || isNumber name || accounts ? ${name};
  units = secret: secret.restartUnits ++ secret.reloadUnits;
  isUnit =
    unit:
    builtins.match "[a-zA-Z0-9:_.\\\\@-]+\\.(service|socket|target|timer|path|mount|automount|swap|slice|scope)" unit
    != null;

  assertionsOf = name: secret: [
    {
      assertion = builtins.match "[a-zA-Z0-9_+@][a-zA-Z0-9._+@-]*" name != null;
      message = "services.nixus.secrets.files.\"${name}\": a name has only letters, digits and ._-@+, and begins with no dot.";
    }
    {
      assertion = builtins.match "0?[0-7]{3}" secret.mode != null;
      message = "services.nixus.secrets.files.${name}.mode: ${secret.mode} is not a mode such as 0400.";
    }
    {
      assertion = secret.user == null || known config.users.users secret.user;
      message = "services.nixus.secrets.files.${name}.user: there is no user ${toString secret.user} in users.users.";
    }
    {
      assertion = secret.group == null || known config.users.groups secret.group;
      message = "services.nixus.secrets.files.${name}.group: there is no group ${toString secret.group} in users.groups.";
    }
    {
      assertion = lib.hasPrefix "/" secret.path;
      message = "services.nixus.secrets.files.${name}.path: ${secret.path} is not an absolute path.";
    }
    {
      assertion =
        lib.hasPrefix "/run/nixus-secrets/" secret.path -> secret.path == "/run/nixus-secrets/${name}";
      message = "services.nixus.secrets.files.${name}.path: its place in /run/nixus-secrets is /run/nixus-secrets/${name}.";
    }
    {
      assertion = builtins.all isUnit (units secret);
      message = "services.nixus.secrets.files.${name}: units need their whole names, such as nginx.service: ${lib.concatStringsSep ", " (units secret)}.";
    }
  ];

  secretModule =
    { name, config, ... }:
    {
      options = {
        file = lib.mkOption {
          type = lib.types.path;
          example = lib.literalExpression "../secrets/db.age";
          description = "The ciphertext, in the deploy repository. `nixus secrets set` and `nixus secrets edit` make it, encrypted to the hosts that name it here and to the operators.";
        };
        user = lib.mkOption {
          type = lib.types.nullOr lib.types.str;
          default = null;
          example = "postgres";
          description = "The user who owns the secret; root if null.";
        };
        group = lib.mkOption {
          type = lib.types.nullOr lib.types.str;
          default = null;
          example = "acme";
          description = "The group of the secret; root if null.";
        };
        mode = lib.mkOption {
          type = lib.types.str;
          default = if config.user == null && config.group != null then "0040" else "0400";
          defaultText = lib.literalMD "`0040` if there is a group and no user, else `0400`";
          description = "The permissions. Unless given, a secret for a user is readable by that user alone, and one for a group by that group.";
        };
        path = lib.mkOption {
          type = lib.types.str;
          default = "/run/nixus-secrets/${name}";
          defaultText = lib.literalExpression ''"/run/nixus-secrets/''${name}"'';
          description = "Where the secret is, to be used in any other option. Another path becomes a link. A file that is there already is never overwritten: the commit is refused instead.";
        };
        restartUnits = lib.mkOption {
          type = lib.types.listOf lib.types.str;
          default = [ ];
          example = [ "postgresql.service" ];
          description = "Units to restart, all at once, when the secret's content or owner has changed.";
        };
        reloadUnits = lib.mkOption {
          type = lib.types.listOf lib.types.str;
          default = [ ];
          example = [ "nginx.service" ];
          description = "Units to reload when the secret's content or owner has changed.";
        };
      };
    };
in
{
  options.services.nixus.secrets = {
    files = lib.mkOption {
      type = lib.types.attrsOf (lib.types.submodule secretModule);
      default = { };
      example = lib.literalExpression ''
        {
          db-password = {
            file = ../secrets/db.age;
            user = "shop";
            restartUnits = [ "shop.service" ];
          };
        }
      '';
      description = "The secrets of this host, each in a file of the deploy repository that age has encrypted. They are opened at activation, into memory, and are there before the units that need them, at boot too.";
    };
    identityPaths = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      # An RSA key takes some fifty times as long for each secret.
      default = hostKeyPaths "ed25519" ++ hostKeyPaths "rsa";
      defaultText = lib.literalMD "the ed25519 keys, then the rsa keys of `services.openssh.hostKeys`";
      description = "The private keys that open the secrets, tried in this order: while host keys are rotated, the old and the new one. What is not there is left out, as long as one of them is.";
    };
    package = lib.mkOption {
      type = lib.types.package;
      default = config.services.nixus.package;
      defaultText = lib.literalExpression "config.services.nixus.package";
      description = "The package with `bin/nixus-secrets`.";
    };
  };

  config = lib.mkMerge [
    {
      assertions =
        builtins.concatLists (lib.mapAttrsToList assertionsOf cfg.files)
        ++ lib.optional hasSecrets {
          assertion = cfg.identityPaths != [ ];
          message = "services.nixus.secrets.files: this host has no ed25519 or rsa key in services.openssh.hostKeys; set services.nixus.secrets.identityPaths.";
        };
    }
    (lib.mkIf (isUsed && !bySystemd) {
      # Without secrets, those of the generation before are taken away.
      system.activationScripts.nixus-secrets = {
        deps = [
          "specialfs"
          "users"
          "groups"
          "etc"
        ];
        supportsDryActivation = true;
        text =
          lib.optionalString (!hasSecrets) "if [ -e /run/nixus-secrets.d ]; then\n"
          + ''
            if [ "''${NIXOS_ACTION:-}" = dry-activate ]; then
              ${cfg.package}/bin/nixus-secrets dry-run --system "$systemConfig" ${description}
            else
              ${cfg.package}/bin/nixus-secrets activate --system "$systemConfig" ${description}
            fi
          ''
          + lib.optionalString (!hasSecrets) "fi\n";
      };
    })
    (lib.mkIf (bySystemd && hasSecrets) {
      systemd.services.nixus-secrets = {
        description = "Open the secrets of this generation";
        wantedBy = [ "sysinit.target" ];
        # Again at each switch, before other units are started (nixpkgs' switchable-system.nix).
        requiredBy = [ "sysinit-reactivation.target" ];
        before = [
          "sysinit.target"
          "sysinit-reactivation.target"
          "shutdown.target"
        ];
        after = usersByUnit ++ [ "local-fs.target" ];
        conflicts = [ "shutdown.target" ];
        unitConfig.DefaultDependencies = false;
        restartTriggers = [ description ];
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "${cfg.package}/bin/nixus-secrets activate ${description}";
        };
      };
    })
    (lib.mkIf hasSecrets {
      # Each switch restarts the target once systemd has the new units (nixpkgs' systemd.nix), and no boot does.
      systemd.services.nixus-secrets-units = {
        description = "Restart what uses secrets that have changed";
        wantedBy = [ "sysinit-reactivation.target" ];
        before = [ "sysinit-reactivation.target" ];
        after = lib.optional bySystemd "nixus-secrets.service";
        serviceConfig = {
          Type = "oneshot";
          ExecStart = "${cfg.package}/bin/nixus-secrets restart-units";
        };
      };
      # Nixus looks for it in a built system, and has it checked before anything is changed.
      environment.etc."nixus/secrets.json".source = description;
    })
  ];
}
