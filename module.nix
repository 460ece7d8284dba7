# The NixOS module: services.firefly-forage. docs/nixos.md describes it for users.
{
  # Once, also where it is imported by its path and by the flake.
  key = "firefly-forage/module.nix";
  _class = "nixos";

  imports = [
    ./nix/module/assertions
    ./nix/module/config-file.nix
    ./nix/module/options.nix
    ./nix/module/service.nix
    ./nix/module/systems.nix
  ];
}
