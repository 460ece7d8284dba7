# What the tests ask: `nix-instantiate --eval --strict --json tests/nix -A …`. `lib` is nixpkgs' own, `nixpkgs` a
# package set: full nixpkgs, in which case the real modules of NixOS are evaluated, or a part of it.
{
  lib,
  nixpkgs,
  system ? builtins.currentSystem,
}:
let
  pkgs = import ./packages.nix { inherit nixpkgs system; };
  evaluate = import ./host.nix {
    lib = realLib;
    inherit pkgs;
  };
  realLib = import lib;
  examples = import ./cases/examples.nix { inherit pkgs; };
  configured = modules: (evaluate modules).config;
  forage = modules: (configured modules).services.firefly-forage;

  failing =
    modules:
    map (one: one.message) (
      realLib.filter (
        one: !one.assertion && realLib.hasInfix "firefly-forage" one.message
      ) (configured modules).assertions
    );
in
{
  # Whether NixOS' own modules are evaluated.
  complete = builtins.pathExists "${nixpkgs}/nixos/lib/eval-config.nix";

  # By case: what should be said, and what is.
  assertions = realLib.mapAttrs (_: case: {
    expected = case.says;
    found = failing [ case.host ];
  }) (import ./cases/assertions.nix { inherit pkgs; });

  # What comes to be where the assertion is not heeded.
  refused =
    (configured [ (import ./cases/assertions.nix { inherit pkgs; }).secret-that-is-a-path-of-nix.host ])
    .environment.etc."firefly-forage/config.toml".source.drvPath;

  # What is no value of an option; each throws.
  mistakes = realLib.mapAttrs (_: host: builtins.deepSeq (forage [ host ]).settings true) (
    import ./cases/mistakes.nix { inherit pkgs; }
  );

  # The examples: nothing is wrong with them, and this is what the daemon is told.
  examples = realLib.mapAttrs (_: host: {
    failing = failing [ host ];
    inherit (forage [ host ]) settings;
    config = (configured [ host ]).environment.etc."firefly-forage/config.toml".source.drvPath;
  }) examples;

  # What a host is given.
  host = import ./cases/host.nix {
    lib = realLib;
    inherit configured pkgs;
  };

  package = pkgs.firefly-forage.drvPath or (pkgs.callPackage ../../nix/package.nix { }).drvPath;

  documentation = import ../../nix/option-docs.nix {
    lib = realLib;
    inherit pkgs;
  };
}
