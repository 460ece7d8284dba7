# The package set: `nixpkgs` as it is where NixOS is in it, else with a stand-in for what is missing.
{ nixpkgs, system }:
let
  complete = builtins.pathExists "${toString nixpkgs}/nixos/lib/eval-config.nix";
  standIn = final: prev: {
    path = ./nixos;
    claude-code = final.runCommand "claude-code" { meta.mainProgram = "claude"; } "mkdir $out";
    formats = prev.formats or (import ./formats.nix { pkgs = final; });
    standInSystem =
      config:
      final.runCommand "nixos-system-${config.system.name or "host"}" {
        packages = config.environment.systemPackages or [ ];
      } "mkdir $out";
  };
in
import nixpkgs {
  inherit system;
  config.allowUnfree = true;
  overlays = if complete then [ ] else [ standIn ];
}
