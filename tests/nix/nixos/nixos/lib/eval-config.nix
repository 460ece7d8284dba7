# Stands in for NixOS' function of this name where a package set comes without NixOS' own modules: real
# `lib.evalModules` over the options that are set. What a system comes to is `standInSystem` of the package set.
{
  lib,
  modules,
  prefix ? [ ],
  # NixOS' takes it, too: null, for a system that `nixpkgs.pkgs` names.
  system ? null,
}:
assert system == null;
lib.evalModules {
  inherit prefix;
  modules = [
    ./options.nix
    (
      { config, ... }:
      {
        _module.args.pkgs = config.nixpkgs.pkgs;
        system.build.toplevel = config.nixpkgs.pkgs.standInSystem config;
      }
    )
  ]
  ++ modules;
}
