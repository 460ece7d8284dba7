# Stands in for `testers.runNixOSTest`: evaluates the test with its hosts, and comes to a derivation that would have
# to run its script.
{ lib, pkgs }:
test:
let
  inherit (lib) mkOption types;
  any = mkOption {
    type = types.attrsOf types.anything;
    default = { };
  };
  testOptions = {
    options = {
      name = mkOption { type = types.str; };
      globalTimeout = mkOption { type = types.ints.positive; };
      defaults = mkOption { type = types.deferredModule; };
      nodes = mkOption { type = types.attrsOf types.deferredModule; };
      testScript = mkOption { type = types.either types.str (types.functionTo types.str); };
    };
  };
  inherit
    (lib.evalModules {
      modules = [
        testOptions
        test
      ];
    })
    config
    ;
  node =
    _: module:
    (import ./eval-config.nix {
      inherit lib;
      modules = [
        {
          options.virtualisation = any;
          options.specialisation = any;
          config.nixpkgs.pkgs = pkgs;
        }
        config.defaults
        module
      ];
    }).config;
  nodes = lib.mapAttrs node config.nodes;
  script =
    if lib.isFunction config.testScript then
      config.testScript { inherit nodes; }
    else
      config.testScript;
  failing = lib.concatMap (one: lib.filter (one: !one.assertion) one.assertions) (
    lib.attrValues nodes
  );
in
assert failing == [ ];
pkgs.runCommand "vm-test-run-${config.name}" {
  inherit script;
  configurations = map (one: one.environment.etc."firefly-forage/config.toml".source) (
    lib.attrValues nodes
  );
} "false"
