# What is asked, and what the Nix side says to it.
{ lib, pkgs }:
let
  evaluate = import ../host.nix { inherit lib pkgs; };
  examples = import ./examples.nix { inherit pkgs; };
  configured = modules: (evaluate modules).config;
  forage = modules: (configured modules).services.firefly-forage;

  failing =
    modules:
    map (one: one.message) (
      lib.filter (one: !one.assertion && lib.hasInfix "firefly-forage" one.message)
        (configured modules).assertions
    );
in
{
  # By case: what should be said, and what is.
  assertions = lib.mapAttrs (_: case: {
    expected = case.says;
    found = failing [ case.host ];
  }) (import ./assertions.nix { inherit pkgs; });

  # What comes to be where the assertion is not heeded.
  refused =
    map
      (
        case:
        (configured [ (import ./assertions.nix { inherit pkgs; }).${case}.host ])
        .environment.etc."firefly-forage/config.toml".source.drvPath
      )
      [
        "secret-that-is-a-path-of-nix"
        "secret-of-settings-that-is-a-path-of-nix"
        "secret-that-is-no-path"
      ];

  # What is said of templates without a network.
  warnings =
    map
      (
        template:
        (configured [
          {
            services.firefly-forage.templates.t = {
              agents.claude.package = pkgs.tmux;
            }
            // template;
          }
        ]).warnings
      )
      [
        { }
        { network = "none"; }
        { network = "full"; }
        { agents.plain.package = pkgs.tmux; }
      ];

  # What is no value of an option; each throws.
  mistakes = lib.mapAttrs (_: host: builtins.deepSeq (forage [ host ]).settings true) (
    import ./mistakes.nix { inherit pkgs; }
  );

  # The examples: nothing is wrong with them, and this is what the daemon is told.
  examples = lib.mapAttrs (_: host: {
    failing = failing [ host ];
    inherit (forage [ host ]) settings;
    config = (configured [ host ]).environment.etc."firefly-forage/config.toml".source.drvPath;
  }) examples;

  # What a host is given.
  host = import ./host.nix {
    inherit configured lib pkgs;
  };

  documentation = import ../../../nix/option-docs.nix {
    inherit lib pkgs;
  };
}
