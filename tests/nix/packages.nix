# The package set: `nixpkgs` as it is where NixOS is in it, else with stand-ins for what is missing.
{
  lib,
  nixpkgs,
  system,
}:
let
  complete = builtins.pathExists "${toString nixpkgs}/nixos/lib/eval-config.nix";
  standIn =
    final: prev:
    let
      program =
        name:
        prev.${name} or (final.runCommand name { meta.mainProgram = name; } "mkdir $out")
        // {
          override = _: program name;
        };
    in
    {
      path = ./nixos;
      formats = prev.formats or (import ./formats.nix { pkgs = final; });
      standInSystem =
        config:
        final.runCommand "nixos-system-${config.system.name}" {
          packages = config.environment.systemPackages;
        } "mkdir $out";
      testers = prev.testers or { } // {
        runNixOSTest = import ./nixos/nixos/lib/run-test.nix {
          inherit lib;
          pkgs = final;
        };
      };
      mkShell =
        prev.mkShell or (shell: final.runCommand "shell" { inherit (shell) packages; } "mkdir $out");
      claude-code = final.runCommand "claude-code" { meta.mainProgram = "claude"; } "mkdir $out";
    }
    // lib.genAttrs [
      "cargo-deny"
      "deadnix"
      "hello"
      "nixfmt"
      "nixfmt-tree"
      "rust-analyzer"
    ] program;
in
import nixpkgs {
  inherit system;
  config.allowUnfree = true;
  overlays = if complete then [ ] else [ standIn ];
}
