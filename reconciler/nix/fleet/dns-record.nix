# One name's records, wherever they are declared.
{ lib }:
let
  inherit (lib) mkOption types;
  texts =
    description:
    mkOption {
      type = types.either types.str (types.listOf types.str);
      default = [ ];
      apply = lib.toList;
      inherit description;
    };
  several =
    description: options:
    mkOption {
      type = types.listOf (types.submodule { inherit options; });
      default = [ ];
      inherit description;
    };
  field =
    type: description:
    mkOption {
      inherit type description;
    };
  number = types.ints.between 0 65535;
in
types.submodule {
  options = {
    ttl = mkOption {
      type = types.nullOr (types.ints.between 0 2147483647);
      default = null;
      description = "The time to live in seconds; the zone's unless set.";
    };
    ptr = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the addresses lead back to this name, by PTR records in a zone below in-addr.arpa or ip6.arpa.";
    };
    A = texts "IPv4 addresses.";
    AAAA = texts "IPv6 addresses.";
    CNAME = texts "The name that this one stands for.";
    NS = texts "Name servers.";
    PTR = texts "The name that an address leads to.";
    TXT = texts "Texts of any length.";
    MX = several "Mail servers." {
      preference = field number "The lowest is tried first.";
      exchange = field types.str "The server's name.";
    };
    SRV = several "Services." {
      priority = field number "The lowest is tried first.";
      weight = field number "The share among those of one priority.";
      port = field number "The port.";
      target = field types.str "The server's name.";
    };
    CAA = several "Who may issue certificates." {
      flags = mkOption {
        type = types.ints.between 0 255;
        default = 0;
        description = "128 where it must be understood.";
      };
      tag = field (types.enum [
        "issue"
        "issuewild"
        "iodef"
      ]) "What is said.";
      value = field types.str "To whom it applies.";
    };
  };
}
