# A host that imports the module: what it evaluates to. `modules` are what its administrator writes.
{ lib, pkgs }:
modules:
import "${toString pkgs.path}/nixos/lib/eval-config.nix" {
  inherit lib;
  system = null;
  modules = [
    ../../module.nix
    ./cases/secret-managers.nix
    {
      nixpkgs.pkgs = pkgs;
      # What every host has, whatever else is in it.
      boot.isContainer = true;
      system.stateVersion = lib.trivial.release;
      users.users.alice.isNormalUser = true;
      services.firefly-forage.enable = lib.mkDefault true;
    }
  ]
  ++ modules;
}
