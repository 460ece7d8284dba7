# Everything there is for a package set; flake.nix maps it for those who use flakes. Without:
#
#   nix-build nix -A packages.default
#   nix-build nix -A checks.basic
#   nix-shell nix -A devShells.default
{
  pkgs ? import <nixpkgs> { },
  lib ? pkgs.lib,
}:
let
  firefly-forage = pkgs.callPackage ./package.nix { };
in
{
  packages = {
    inherit firefly-forage;
    default = firefly-forage;
    option-docs = pkgs.writeText "nixos-options.md" (import ./option-docs.nix { inherit lib pkgs; });
  };
  checks = import ./checks.nix { inherit firefly-forage lib pkgs; };
  devShells.default = pkgs.callPackage ./dev-shell.nix { inherit firefly-forage; };
  formatter = pkgs.nixfmt-tree;
}
