# Hosts that are built in the testbed: by name, what a rebuild of NixOS would have switched to. `lib` is nixpkgs'
# own, `first` the testbed's system in the Nix store.
{ lib, first }:
let
  realLib = import lib;
  pkgs = import ./packages.nix {
    lib = realLib;
    inherit first;
  };
  evaluate = import ../host.nix {
    lib = realLib;
    inherit pkgs;
  };
  examples = import ../cases/examples.nix { inherit pkgs; };

  # As nix/package.nix makes it, of the programs the testbed has.
  package =
    version:
    pkgs.runCommand "firefly-forage-${version}"
      {
        data = ../../../daemon/data;
        docs = ../../../docs;
      }
      ''
        mkdir -p $out/bin $out/libexec source/daemon
        cp /usr/bin/foraged /usr/bin/forage-ctl $out/bin/
        cp /usr/libexec/forage-shim $out/libexec/
        cp -r $data source/daemon/data
        cp -r $docs source/docs
        chmod -R u+w source
        sh source/daemon/data/install.sh "" $out
      '';

  more = extra: merged: {
    services.firefly-forage.templates.claude = {
      extraPackages = [ (pkgs.saying extra) ];
      config.environment.systemPackages = [ (pkgs.saying merged) ];
    };
  };

  host =
    version: modules:
    let
      inherit (evaluate (modules ++ [ { services.firefly-forage.package = package version; } ])) config;
      failing = builtins.filter (one: !one.assertion) config.assertions;
    in
    assert failing == [ ];
    pkgs.linkFarm "host" [
      {
        name = "config.toml";
        path = config.environment.etc."firefly-forage/config.toml".source;
      }
      {
        name = "package";
        path = config.services.firefly-forage.package;
      }
    ];
in
{
  token = host "1" [ examples.token ];
  secrets = host "1" [ examples.secrets ];
  agenix = host "1" [ examples.agenix ];

  # A template that is changed, and the programs changed with it.
  before = host "1" [
    examples.token
    (more "first-extra" "merged")
  ];
  after = host "1" [
    examples.token
    (more "second-extra" "merged")
  ];
  upgraded = host "2" [
    examples.token
    (more "second-extra" "merged")
  ];

  # What the daemon refuses, although nothing else minds.
  refused = host "1" [
    { services.firefly-forage.settings.startTimeout = 100000; }
  ];
}
