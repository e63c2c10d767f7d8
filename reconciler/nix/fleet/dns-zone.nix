# From records to the text of a zone (RFC 1035 5), and what cannot be in one.
{ lib }:
let
  ip = import ./ip.nix { inherit lib; };
  # Absolute names, so that none depends on an origin.
  isName = name: builtins.match "(\\.|([A-Za-z0-9_*/-]{1,63}\\.)+)" name != null;
  quote = text: builtins.replaceStrings [ "\\" "\"" "\n" ] [ "\\\\" "\\\"" "\\010" ] text;
  # A character string has at most 255 bytes (RFC 1035 3.3); its reader puts them together again.
  pieces =
    text:
    if builtins.stringLength text <= 255 then
      [ text ]
    else
      [ (builtins.substring 0 255 text) ] ++ pieces (builtins.substring 255 (-1) text);
  txt = text: lib.concatMapStringsSep " " (piece: "\"${quote piece}\"") (pieces text);

  data = {
    A = value: value;
    AAAA = value: ip.canonical value;
    CNAME = lib.toLower;
    NS = lib.toLower;
    PTR = lib.toLower;
    TXT = txt;
    MX = one: "${toString one.preference} ${lib.toLower one.exchange}";
    SRV =
      one:
      "${toString one.priority} ${toString one.weight} ${toString one.port} ${lib.toLower one.target}";
    CAA = one: "${toString one.flags} ${one.tag} \"${quote one.value}\"";
  };
  # The name that a record leads to.
  target = {
    CNAME = value: value;
    NS = value: value;
    PTR = value: value;
    MX = one: one.exchange;
    SRV = one: one.target;
  };
  types = builtins.attrNames data;

  # { name, type, ttl, data, value } for each record of `records`.
  flat =
    records:
    lib.concatLists (
      lib.mapAttrsToList (
        name: all:
        lib.concatMap (
          type:
          map (value: {
            name = lib.toLower name;
            inherit type value;
            inherit (all) ttl;
          }) all.${type}
        ) types
        ++ lib.optionals all.ptr (
          map (address: {
            name = ip.reverse address;
            type = "PTR";
            value = name;
            inherit (all) ttl;
          }) (builtins.filter (address: ip.canonical address != null) (all.A ++ all.AAAA))
        )
      ) records
    );

  # What is wrong with a record by itself; null where nothing is.
  wrong =
    record:
    let
      leads = target.${record.type} or null;
      to = leads record.value;
    in
    if !(isName record.name) then
      "dns.records: ${builtins.toJSON record.name} is not a name that ends with a dot, such as \"www.example.org.\"."
    else if record.type == "A" && !(ip.isV4 record.value) then
      "dns.records.${builtins.toJSON record.name}.A: ${record.value} is not an IPv4 address."
    else if record.type == "AAAA" && !(ip.isV6 record.value) then
      "dns.records.${builtins.toJSON record.name}.AAAA: ${record.value} is not an IPv6 address."
    else if leads != null && !(isName to) then
      "dns.records.${builtins.toJSON record.name}.${record.type}: ${builtins.toJSON to} is not a name that ends with a dot, such as \"www.example.org.\"."
    else
      null;

  # What is wrong with records beside each other.
  conflicts =
    records:
    let
      names = builtins.groupBy (record: record.name) records;
      same =
        name: here:
        let
          shown = map (record: "${record.type} ${data.${record.type} record.value}") here;
          twice = lib.unique (builtins.filter (one: lib.count (other: other == one) shown > 1) shown);
          types = lib.unique (map (record: record.type) here);
          cnames = builtins.filter (record: record.type == "CNAME") here;
          ttls =
            type: lib.unique (map (record: record.ttl) (builtins.filter (record: record.type == type) here));
        in
        map (one: "dns.records.${builtins.toJSON name}: ${one} is declared twice.") twice
        # RFC 1034 3.6.2.
        ++ lib.optional (cnames != [ ] && builtins.length types > 1)
          "dns.records.${builtins.toJSON name} has a CNAME beside ${lib.concatStringsSep ", " (lib.subtractLists [ "CNAME" ] types)}: a name that stands for another has nothing of its own."
        ++ lib.optional (builtins.length (lib.unique (map (record: lib.toLower record.value) cnames)) > 1)
          "dns.records.${builtins.toJSON name} has several CNAME: a name stands for one other."
        # RFC 2181 5.2.
        ++ map (type: "dns.records.${builtins.toJSON name}.${type} has several ttl: records of one name and type have the same.") (
          builtins.filter (type: builtins.length (ttls type) > 1) types
        );
      # RFC 2181 10.3.
      alias =
        record:
        lib.optional (
          builtins.elem record.type [
            "MX"
            "NS"
            "SRV"
          ]
          && builtins.any (other: other.type == "CNAME") (
            names.${lib.toLower (target.${record.type} record.value)} or [ ]
          )
        ) "dns.records.${builtins.toJSON record.name}.${record.type} leads to ${target.${record.type} record.value}, which is a CNAME: name a host itself.";
    in
    lib.concatLists (lib.mapAttrsToList same names) ++ lib.concatMap alias records;

  # first.last@example.org is first\.last.example.org. (RFC 1035 8).
  mailbox =
    address:
    let
      parts = lib.splitString "@" address;
    in
    "${builtins.replaceStrings [ "." ] [ "\\." ] (builtins.head parts)}.${lib.last parts}.";

  render =
    zone: serial: records:
    let
      nameServers = builtins.filter (
        record: record.type == "NS" && record.name == zone.name
      ) records;
      soa = zone.soa;
      master = if soa.master != null then soa.master else (builtins.head nameServers).value;
      line =
        record:
        "${record.name} ${toString (if record.ttl != null then record.ttl else zone.ttl)} IN ${record.type} ${
          data.${record.type} record.value
        }\n";
      order = a: b: line a < line b;
    in
    "$TTL ${toString zone.ttl}\n"
    + "${zone.name} ${toString soa.ttl} IN SOA ${master} ${mailbox soa.email} ( ${toString serial} ${toString soa.refresh} ${toString soa.retry} ${toString soa.expire} ${toString soa.negativeTtl} )\n"
    + lib.concatMapStrings line (builtins.sort order records);
in
{
  inherit
    conflicts
    flat
    isName
    mailbox
    render
    wrong
    ;
}
