# dns: zones, and the records that belong to them, wherever they are declared.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  dns = import ./dns-zone.nix { inherit lib; };
  fleet = config;
  record = import ./dns-record.nix { inherit lib; };
  seconds =
    default: description:
    mkOption {
      type = types.ints.between 0 2147483647;
      inherit default description;
    };

  # Only name servers ask for them.
  records =
    dns.flat fleet.dns.records
    ++ lib.concatMap (node: dns.flat node.dns.records) (builtins.attrValues fleet.nodes)
    ++ lib.concatMap (zone: dns.flat zone.records) zones;
  zones = builtins.attrValues fleet.dns.zones;
  belongs = name: zone: name == zone.name || lib.hasSuffix ".${zone.name}" name;
  # The longest name that fits.
  zoneOf =
    name:
    builtins.foldl' (
      best: zone:
      if
        belongs name zone
        && (best == null || builtins.stringLength zone.name > builtins.stringLength best.name)
      then
        zone
      else
        best
    ) null zones;
in
{
  options.dns = {
    records = mkOption {
      type = types.attrsOf record;
      default = { };
      example = lib.literalExpression ''{ "example.org.".A = "192.0.2.11"; }'';
      description = "Records by name, which ends with a dot. They go to the zone with the longest name that fits; hosts may declare their own, as `services.nixus.dns.records`.";
    };
    zones = mkOption {
      default = { };
      description = "Zones by name, with or without a dot at the end.";
      type = types.attrsOf (
        types.submodule (
          { name, config, ... }:
          {
            options = {
              name = mkOption {
                type = types.str;
                default = if lib.hasSuffix "." name then lib.toLower name else "${lib.toLower name}.";
                defaultText = lib.literalMD "the attribute's name";
                description = "The zone's name, with a dot at the end.";
              };
              primary = mkOption {
                type = types.str;
                description = "The host whose name server has the zone.";
              };
              secondaries = mkOption {
                type = types.listOf types.str;
                default = [ ];
                description = "Hosts whose name servers copy it.";
              };
              ttl = seconds 3600 "The time to live of records that have none, in seconds.";
              records = mkOption {
                type = types.attrsOf record;
                default = { };
                description = "Records by their whole name, as `dns.records`.";
              };
              soa = {
                master = mkOption {
                  type = types.nullOr types.str;
                  default = null;
                  description = "The name of the primary name server; the first NS record's unless set.";
                };
                email = mkOption {
                  type = types.strMatching "[^@ \n]+@[^@ \n]+[^@ \n.]";
                  example = "hostmaster@example.org";
                  description = "Who answers for the zone.";
                };
                serial = mkOption {
                  type = types.nullOr (types.ints.between 0 4294967295);
                  default = fleet.lastModified;
                  defaultText = lib.literalMD "the time of the deploy repository's commit";
                  description = "The zone's version, which must grow.";
                };
                ttl = seconds config.ttl "The time to live of the SOA record itself.";
                refresh = seconds 7200 "How often secondaries look, in seconds.";
                retry = seconds 3600 "When they look again after a failure.";
                expire = seconds 1209600 "How long they answer without the primary.";
                negativeTtl = seconds 300 "How long it is remembered that there is no such record.";
              };
            };
          }
        )
      );
    };
    # What the name servers and the tests look at.
    texts = mkOption {
      type = types.attrsOf types.str;
      readOnly = true;
      internal = true;
      default = lib.mapAttrs' (
        _: zone: lib.nameValuePair zone.name (dns.render zone zone.soa.serial (config.dns.ofZone zone.name))
      ) fleet.dns.zones;
      description = "The text of each zone.";
    };
    ofZone = mkOption {
      type = types.raw;
      readOnly = true;
      internal = true;
      default =
        name: builtins.filter (one: (zoneOf one.name).name or null == name) (lib.filter (one: dns.wrong one == null) records);
      description = "The records of a zone.";
    };
    problems = mkOption {
      type = types.listOf types.str;
      readOnly = true;
      internal = true;
      description = "What is wrong with the records.";
      default =
        let
          wrong = builtins.filter (problem: problem != null) (map dns.wrong records);
          sound = builtins.filter (one: dns.wrong one == null) records;
          homeless = builtins.filter (one: zoneOf one.name == null) sound;
          apex =
            zone:
            let
              here = builtins.filter (one: one.name == zone.name) sound;
              of = type: builtins.filter (one: one.type == type) here;
            in
            lib.optional (of "NS" == [ ])
              "dns.zones.${zone.name} has no name server: set dns.records.${builtins.toJSON zone.name}.NS."
            # RFC 1912 2.4: there is an SOA record always.
            ++ lib.optional (of "CNAME" != [ ])
              "dns.records.${builtins.toJSON zone.name} has a CNAME, and is a zone's own name: use A and AAAA.";
        in
        lib.unique (
          wrong
          ++ map (
            one:
            "dns.records.${builtins.toJSON one.name}: no zone has this name. There are ${
              if zones == [ ] then "none" else lib.concatMapStringsSep ", " (zone: zone.name) zones
            }."
          ) homeless
          ++ dns.conflicts sound
          ++ lib.concatMap apex zones
        );
    };
  };
  config.assertions =
    lib.concatMap (
      zone:
      map (host: {
        assertion = fleet.nodes ? ${host};
        message = "dns.zones.${zone.name} names ${host}, and there is no such host: there are ${lib.concatStringsSep ", " (builtins.attrNames fleet.nodes)}.";
      }) ([ zone.primary ] ++ zone.secondaries)
      ++ [
        {
          assertion = dns.isName zone.name;
          message = "dns.zones: ${zone.name} is not a zone's name such as example.org.";
        }
        {
          assertion = !(builtins.elem zone.primary zone.secondaries);
          message = "dns.zones.${zone.name}: ${zone.primary} is primary and secondary: take it out of secondaries.";
        }
        {
          assertion = zone.soa.serial != null;
          message = "dns.zones.${zone.name} has no serial: give mkFleet the flake (`inherit self;`), whose commit's time it is, or set soa.serial.";
        }
      ]
    ) zones;
}
