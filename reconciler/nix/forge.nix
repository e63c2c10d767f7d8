# Which forge a repository's URL leads to, as the program reads it (reconciler/src/config/forge/detect.rs).
{ lib }:
let
  known = [
    "github.com"
    "gitlab.com"
    "bitbucket.org"
    "codeberg.org"
    "gitea.com"
  ];
  # Bitbucket under another name is another thing.
  labels = [
    "github"
    "gitlab"
    "gitea"
    "forgejo"
    "bitbucket"
  ];
  isName =
    part:
    part != "."
    && part != ".."
    && builtins.match "[^[:cntrl:]]+" part != null
    && !(builtins.any (other: lib.hasInfix other part) [ " " "?" "#" "%" "\\" ]);
  trim =
    path:
    if lib.hasPrefix "/" path then
      trim (lib.removePrefix "/" path)
    else if lib.hasSuffix "/" path then
      trim (lib.removeSuffix "/" path)
    else
      path;
in
rec {
  isPath =
    path:
    let
      parts = lib.splitString "/" path;
    in
    builtins.length parts > 1 && builtins.all isName parts;
  # { server, path }, or null.
  place =
    url:
    let
      parts = builtins.match "(https?|ssh)://([^/]*)/(.*)" url;
      server = lib.last (lib.splitString "@" (builtins.elemAt parts 1));
      withoutPort = builtins.match "(.*):[0-9]*" server;
      # The port of sshd says nothing of the one for HTTPS.
      name =
        if builtins.head parts == "ssh" && withoutPort != null then builtins.head withoutPort else server;
      path = lib.removeSuffix ".git" (trim (builtins.elemAt parts 2));
    in
    if parts != null && name != "" && isPath path then
      {
        server = lib.toLower name;
        inherit path;
      }
    else
      null;
  isKnown =
    server:
    let
      host = builtins.head (lib.splitString ":" server);
      name =
        {
          "ssh.github.com" = "github.com";
          "altssh.gitlab.com" = "gitlab.com";
          "altssh.bitbucket.org" = "bitbucket.org";
        }
        .${host} or host;
      found = builtins.filter (label: builtins.elem label (lib.splitString "." name)) labels;
    in
    builtins.elem name known || (builtins.length found == 1 && found != [ "bitbucket" ]);
  # What `[statuses]` lacks beside such a URL; null where nothing.
  lacks =
    url: statuses:
    let
      here = if url == null then null else place url;
      api = if statuses.api == null then null else place "${statuses.api}/x/y";
      server =
        if api != null then
          api.server
        else if here != null then
          here.server
        else
          "";
    in
    if here == null && statuses.repository == null then
      "repository"
    else if statuses.forge == null && !(isKnown server) then
      "forge"
    else
      null;
}
