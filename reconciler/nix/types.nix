# The values of a configuration, as strict as the reader of the file (reconciler/src/config/check)
# where a regular expression can be: a mistake is better reported by an evaluation than by a host.
{ lib }:
let
  inherit (lib) types;
  matching =
    what: expression:
    types.strMatching expression
    // {
      description = what;
      descriptionClass = "noun";
    };
  # As NixOS takes it for `networking.hostName`.
  label = "[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?";
  hostNamePattern = "${label}(\\.${label})*";
in
rec {
  # Its reports have a branch of this name: git keeps `.lock` for itself (git-check-ref-format(1)).
  isHostName =
    text:
    builtins.match hostNamePattern text != null
    && !(lib.hasSuffix ".lock" text)
    && builtins.stringLength text <= 253;
  hostName = types.addCheck (matching "host name" hostNamePattern) isHostName;
  duration = matching "time with a unit, such as \"90s\" or \"15m\"" "[0-9]+(\\.[0-9]+)? ?[a-z]+([ ,]*[0-9]+ ?[a-z]+)*";
  # A Nix path would be copied into the store, which everyone can read.
  file = matching "absolute path of a file on the host, as a string" "/[^\n]*";
  # Neither absolute nor through `.` and `..`; a slash at the end is dropped.
  folder = matching "path of a folder in the repository" "([^/\n.][^/\n]*|\\.[^/\n.][^/\n]*|\\.\\.[^/\n]+)(/+([^/\n.][^/\n]*|\\.[^/\n.][^/\n]*|\\.\\.[^/\n]+))*/*";
  remote = matching "URL with ssh://, https:// or file://" "(ssh|https|file)://[^ \n]+";
  https = matching "URL with https://" "https://[^ ?#\n]+";
  web = matching "URL with http:// or https://" "https?://[^ \n]+";
  proxy = matching "URL of a proxy" "[a-z0-9]+://[^ \n]+";
  account = matching "name of an account" "[A-Za-z0-9_.][A-Za-z0-9_.-]{0,31}";
  # Both addresses and names; sshd is asked at whatever is written.
  address = matching "IP address or host name" "[A-Za-z0-9_:][A-Za-z0-9_.:-]*";
  addressAndPort = matching "address with a port, such as \"127.0.0.1:8080\"" "(\\[[0-9a-fA-F:.]+]|[A-Za-z0-9_][A-Za-z0-9_.-]*):[0-9]+";
  # Options before a key are refused: they are this module's to write.
  publicKey = matching "public SSH key such as \"ssh-ed25519 AAAA… name\"" "(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp[0-9]+|sk-ssh-ed25519@openssh.com|sk-ecdsa-sha2-nistp256@openssh.com) [A-Za-z0-9+/]+=*( [^\n]*)?";
  # age's own (age-keygen), in Bech32 without its ambiguous letters.
  ageKey = matching "public key of age such as \"age1…\"" "age1[ac-hj-np-z02-9]{58}";
  hostKey = matching "ed25519 or ecdsa host key such as \"ssh-ed25519 AAAA…\"" "(ssh-ed25519|ecdsa-sha2-nistp[0-9]+) [A-Za-z0-9+/]+=*( [^\n]*)?";
  memory = matching "limit such as \"2GiB\" or \"50%\"" "[0-9]+ ?[KMGT]iB|[0-9]{1,3}%";
  # systemd.time(7).
  span =
    let
      units = lib.concatStringsSep "|" [
        "usec|us|μs|µs|msec|ms"
        "seconds|second|sec|s"
        "minutes|minute|min|months|month|M|m"
        "hours|hour|hr|h|days|day|d|weeks|week|w|years|year|y"
      ];
    in
    matching "time as in systemd.time(7), such as \"90s\" or \"1h 30min\"" "( *[0-9]+(\\.[0-9]+)? *(${units})?)+ *";
  # What TOML has. As pkgs.formats.toml has it, whose text is only known once it is built.
  toml =
    let
      value =
        types.nullOr (
          types.oneOf [
            types.bool
            types.int
            types.float
            types.str
            (types.listOf value)
            (types.attrsOf value)
          ]
        )
        // {
          description = "TOML value";
        };
    in
    types.attrsOf value;
}
