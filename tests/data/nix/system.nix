# A system of the shape NixOS gives its containers, made of a distribution's tree instead of nixpkgs:
# `init` is stage 2, `sw` the programs, `etc` the files of /etc. Nothing is fetched.
{ tree, busybox }:
let
  below = prefix: path: builtins.substring 0 (builtins.stringLength prefix) path == prefix;
  # Its own name tells busybox what to be, so the file is in a directory of the store.
  shell = builtins.path {
    name = "busybox";
    path = dirOf busybox;
    filter = path: _: path == busybox;
  };
  left-out = map (name: "${tree}/usr/${name}") [
    "share/bash-completion"
    "share/bug"
    "share/doc"
    "share/info"
    "share/locale"
    "share/man"
    "share/perl"
    "share/zoneinfo"
  ];
in
derivation {
  name = "forage-testbed-system";
  system = builtins.currentSystem;
  inherit shell;
  usr = builtins.path {
    name = "tree";
    path = "${tree}/usr";
    filter = path: _: !(builtins.any (prefix: below prefix path) left-out);
  };
  etc = builtins.path {
    name = "etc";
    path = "${tree}/etc";
  };
  init = ./init.sh;
  builder = "${shell}/busybox";
  args = [
    "sh"
    ./build.sh
  ];
}
