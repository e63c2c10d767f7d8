# Of `{ what = [ got want ]; }` a sentence for each pair whose halves differ.
{ lib }:
pairs:
lib.concatLists (
  lib.mapAttrsToList (
    what: pair:
    let
      got = builtins.elemAt pair 0;
      want = builtins.elemAt pair 1;
    in
    lib.optional (got != want) "${what} is ${builtins.toJSON got} and not ${builtins.toJSON want}"
  ) pairs
)
