# The NixOS module: services.firefly-forage. docs/nixos.md describes it for users.
{
  imports = [
    ./nix/module/assertions.nix
    ./nix/module/config-file.nix
    ./nix/module/options.nix
    ./nix/module/service.nix
  ];
}
