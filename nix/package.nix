# The programs, and what they need beside themselves.
{
  lib,
  rustPlatform,
}:
let
  root = ../.;
  manifest = lib.importTOML (root + "/Cargo.toml");
  programs = [
    "foraged"
    "forage-shim"
    "forage-ctl"
  ];
  packages = lib.concatMap (name: [
    "--package"
    name
  ]);
in
rustPlatform.buildRustPackage {
  pname = "firefly-forage";
  inherit (manifest.workspace.package) version;

  src = lib.fileset.toSource {
    inherit root;
    # Of members that are not built Cargo wants to see no more than that they are there.
    fileset = lib.fileset.unions [
      (root + "/Cargo.lock")
      (root + "/Cargo.toml")
      (root + "/LICENSE")
      (root + "/api")
      (root + "/cli")
      (root + "/daemon")
      (root + "/docs")
      (root + "/shim")
      (root + "/tests/Cargo.toml")
      (root + "/tests/data")
      (root + "/tests/src")
      (root + "/xtask/Cargo.toml")
      (root + "/xtask/src")
    ];
  };

  cargoLock.lockFile = root + "/Cargo.lock";
  cargoBuildFlags = packages programs;
  # Tests beyond these need root or a booted host, and so do some of these, of what root alone can do.
  checkFlags = map (test: "--skip=${test}") [
    "network::watch::tests"
    "profile::tests"
    "secrets::source::tests::files_are_taken_byte_for_byte"
    "secrets::watch::tests::a_link_that_points_elsewhere"
  ];
  # As `cargo xtask test` does: children of one test would have the files of another open.
  dontUseCargoParallelTests = true;
  cargoTestFlags = packages (programs ++ [ "forage-api" ]) ++ [
    "--lib"
    "--bins"
  ];

  postInstall = ''
    mkdir -p $out/libexec
    mv $out/bin/forage-shim $out/libexec/
    sh daemon/data/install.sh "" $out
    install -D -m 0644 LICENSE $out/share/licenses/firefly-forage/LICENSE
  '';

  meta = {
    description = "Sandboxes for AI coding agents, with credentials that stay current and can be revoked";
    license = lib.licenses.mit;
    mainProgram = "forage-ctl";
    platforms = lib.platforms.linux;
  };
}
