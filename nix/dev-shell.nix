# What one works on the sources with. The testbed of `cargo xtask` wants a Debian machine; what it does not need
# (formatting, lints, unit tests, `nix flake check`) works anywhere.
{
  mkShell,
  cargo-deny,
  clippy,
  deadnix,
  firefly-forage,
  nixfmt,
  rust-analyzer,
  rustfmt,
}:
mkShell {
  inputsFrom = [ firefly-forage ];
  packages = [
    cargo-deny
    clippy
    deadnix
    nixfmt
    rust-analyzer
    rustfmt
  ];
}
