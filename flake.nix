{
  description = "Sandboxes for AI coding agents, with credentials that stay current and can be revoked";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  # Maps what nix/default.nix has, which needs no flakes.
  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      each =
        attribute:
        nixpkgs.lib.genAttrs systems (
          system: (import ./nix { pkgs = nixpkgs.legacyPackages.${system}; }).${attribute}
        );
    in
    {
      nixosModules = {
        default = self.nixosModules.firefly-forage;
        firefly-forage = ./module.nix;
        sandbox = ./nix/sandbox-system.nix;
      };
      overlays.default = import ./nix/overlay.nix;
      packages = each "packages";
      checks = each "checks";
      devShells = each "devShells";
      formatter = each "formatter";
    };
}
