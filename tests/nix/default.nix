# The cases for what is at hand: `nix-instantiate --eval --strict --json tests/nix -A …`. `lib` is the directory of
# nixpkgs' own, `nixpkgs` that of a package set: all of nixpkgs, in which case the real modules of NixOS are
# evaluated, or a part of it.
{
  lib,
  nixpkgs,
  system ? builtins.currentSystem,
}:
let
  realLib = import lib;
in
import ./cases {
  lib = realLib;
  pkgs = import ./packages.nix {
    lib = realLib;
    inherit nixpkgs system;
  };
}
