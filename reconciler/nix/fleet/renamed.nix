# What the original Nixus called options of a host. These names are other people's, too.
let
  of = from: {
    from = [ from ];
    to = [
      "services"
      "nixus"
      from
    ];
  };
  below = { from, to }: name: {
    from = from ++ [ name ];
    to = to ++ [ name ];
  };
in
{
  # Of what others look at.
  declared = [
    {
      from = [
        "networking"
        "public"
      ];
      inherit (of "public") to;
    }
    (below (of "dns") "records")
  ];
  others = map (below (of "secrets")) [
    "files"
    "identityPaths"
    "package"
  ];
}
