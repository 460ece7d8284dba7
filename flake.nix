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
      inherit (nixpkgs) lib;
      of =
        system:
        import ./nix {
          inherit lib;
          pkgs = nixpkgs.legacyPackages.${system};
        };
      each = attribute: lib.genAttrs systems (system: (of system).${attribute});
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
