# IP addresses as numbers. IPv6 ones are lists of eight groups: Nix has integers of 64 bits.
{ lib }:
let
  power = exponent: if exponent == 0 then 1 else 2 * power (exponent - 1);
  split = separator: text: lib.splitString separator text;
  # toInt refuses leading zeros; JSON would too.
  decimal =
    most: text:
    if builtins.match "0|[1-9][0-9]{0,4}" text != null && lib.toInt text <= most then
      lib.toInt text
    else
      null;
  whole = list: if builtins.any (one: one == null) list then null else list;

  parse4 =
    text:
    let
      parts = whole (map (decimal 255) (split "." text));
    in
    if parts == null || builtins.length parts != 4 then
      null
    else
      builtins.foldl' (sum: one: sum * 256 + one) 0 parts;
  format4 =
    number:
    lib.concatMapStringsSep "." (shift: toString (lib.mod (number / power shift) 256)) [
      24
      16
      8
      0
    ];

  group =
    text: if builtins.match "[0-9a-fA-F]{1,4}" text != null then lib.fromHexString text else null;
  groups = text: if text == "" then [ ] else map group (split ":" text);
  parse6 =
    text:
    let
      halves = split "::" text;
      left = whole (groups (builtins.head halves));
      right = whole (groups (lib.last halves));
      missing = 8 - builtins.length left - builtins.length right;
    in
    if left == null || right == null then
      null
    else if builtins.length halves == 1 then
      if builtins.length left == 8 then left else null
    else if builtins.length halves == 2 && missing >= 1 then
      left ++ lib.genList (_: 0) missing ++ right
    else
      null;
  # RFC 5952: lower case, the longest run of zeros is `::`.
  format6 =
    list:
    let
      runAt = n: if n < 8 && builtins.elemAt list n == 0 then 1 + runAt (n + 1) else 0;
      longest = builtins.foldl' (best: n: if runAt n > runAt best then n else best) 0 (lib.range 0 7);
      size = runAt longest;
      show = lib.concatMapStringsSep ":" (one: lib.toLower (lib.toHexString one));
    in
    if size < 2 then
      show list
    else
      "${show (lib.take longest list)}::${show (lib.drop (longest + size) list)}";

  # All bits behind the prefix.
  host6 =
    length: list:
    lib.imap0 (
      n: one:
      let
        bits = lib.min 16 (lib.max 0 (length - 16 * n));
      in
      lib.mod one (power (16 - bits))
    ) list;
in
rec {
  isV4 = text: parse4 text != null;
  isV6 = text: parse6 text != null;
  # The one way to write an address; null where it is none.
  canonical =
    text:
    if isV4 text then
      text
    else if isV6 text then
      format6 (parse6 text)
    else
      null;

  # Whether an address is in a network such as 192.0.2.0/24, or is the same address.
  contains =
    network: address:
    let
      parts = split "/" network;
      base = builtins.head parts;
      length = decimal (if isV4 base then 32 else 128) (lib.last parts);
      inside =
        if isV4 base && isV4 address then
          parse4 base / power (32 - length) == parse4 address / power (32 - length)
        else if isV6 base && isV6 address then
          host6Of length base == host6Of length address
        else
          false;
      # All bits before the prefix's end.
      host6Of = length: text: lib.zipListsWith (a: b: a - b) (parse6 text) (host6 length (parse6 text));
    in
    if builtins.length parts == 1 then
      canonical address != null && canonical network == canonical address
    else
      builtins.length parts == 2 && length != null && inside;

  # What a host's public addresses are.
  ofPublic = public: lib.optional public.hasIpv4 public.ipv4 ++ lib.optional public.hasIpv6 public.ipv6;

  # The subnet `text`, or null where it is none or has bits of a host.
  subnet4 =
    text:
    let
      parts = split "/" text;
      base = parse4 (builtins.head parts);
      length = decimal 30 (lib.last parts);
      size = power (32 - length);
    in
    if builtins.length parts != 2 || base == null || length == null || lib.mod base size != 0 then
      null
    else
      {
        inherit length text;
        # Network and broadcast address are nobody's.
        hosts = size - 2;
        host = number: format4 (base + number);
        has =
          address:
          let
            number = parse4 address;
          in
          number != null && number > base && number < base + size - 1;
      };
  subnet6 =
    text:
    let
      parts = split "/" text;
      base = parse6 (builtins.head parts);
      length = decimal 112 (lib.last parts);
      clear = builtins.all (one: one == 0) (host6 length base);
    in
    if builtins.length parts != 2 || base == null || length == null || !clear then
      null
    else
      {
        inherit length text;
        hosts = 65534;
        host = number: format6 (lib.take 7 base ++ [ number ]);
        has =
          address:
          let
            list = parse6 address;
            prefix = lib.zipListsWith (a: b: a - b) list (host6 length list);
          in
          list != null && prefix == base && list != base;
      };

  # The name under which an address is looked up (RFC 1035 3.5, RFC 3596 2.5).
  reverse =
    address:
    if isV4 address then
      "${lib.concatStringsSep "." (lib.reverseList (split "." address))}.in-addr.arpa."
    else
      let
        digits = lib.concatMapStrings (one: lib.toLower (lib.fixedWidthString 4 "0" (lib.toHexString one))) (
          parse6 address
        );
      in
      "${lib.concatStringsSep "." (lib.reverseList (lib.stringToCharacters digits))}.ip6.arpa.";
}
