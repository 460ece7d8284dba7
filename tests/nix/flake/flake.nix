# Takes the place of nixpkgs as the input of our flake: what the tests have of it, named by two variables.
{
  outputs =
    _:
    let
      lib = import (builtins.getEnv "FORAGE_NIXPKGS_LIB");
      nixpkgs = builtins.getEnv "FORAGE_NIXPKGS";
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
    in
    {
      inherit lib;
      # Beside each other, as in a copy of the repository.
      legacyPackages = lib.genAttrs systems (
        system: import ../packages.nix { inherit lib nixpkgs system; }
      );
    };
}
