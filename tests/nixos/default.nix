# A test in a virtual machine for each file here: `nix flake check`, or `nix-build nix -A checks.<name>`. They need
# nixpkgs and KVM; the rest of the tests does without.
{ lib, pkgs }:
let
  isTest = name: type: type == "regular" && lib.hasSuffix ".nix" name && name != "default.nix";
  files = builtins.attrNames (lib.filterAttrs isTest (builtins.readDir ./.));
  test = file: {
    name = lib.removeSuffix ".nix" file;
    value = pkgs.testers.runNixOSTest {
      imports = [ ./${file} ];
      name = "firefly-forage-${lib.removeSuffix ".nix" file}";
      globalTimeout = 10 * 60;
      defaults.imports = [ ./common/host.nix ];
    };
  };
in
lib.listToAttrs (map test files)
