# What `nix flake check` does: the package with its unit tests, what the module evaluates to, the Nix files, and a
# virtual machine for each file in tests/nixos.
{
  firefly-forage,
  lib,
  pkgs,
}:
let
  files = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      (lib.fileset.fileFilter (file: file.hasExt "nix") ../.)
      ../docs/nixos-options.md
    ];
  };
  evaluation = import ../tests/nix/cases { inherit lib pkgs; };
  wrong = lib.filterAttrs (_: case: case.expected != case.found) evaluation.assertions;
in
{
  package = firefly-forage;

  assertions = pkgs.runCommand "firefly-forage-assertions" { } (
    if wrong == { } then
      "touch $out"
    else
      throw "assertions that say something else: ${toString (lib.attrNames wrong)}"
  );

  option-docs = pkgs.runCommand "firefly-forage-option-docs" { } ''
    diff ${files}/docs/nixos-options.md ${pkgs.writeText "nixos-options.md" evaluation.documentation}
    touch $out
  '';

  nix-files =
    pkgs.runCommand "firefly-forage-nix-files"
      {
        nativeBuildInputs = [
          pkgs.deadnix
          pkgs.nixfmt
        ];
      }
      ''
        cd ${files}
        nixfmt --check $(find . -name '*.nix')
        deadnix --fail .
        touch $out
      '';
}
// import ../tests/nixos { inherit lib pkgs; }
