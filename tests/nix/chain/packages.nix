# A package set of what the testbed's host has, with nixpkgs' own `lib`: nothing is fetched, and everything can be
# built. `first` is the testbed's system in the Nix store.
{ lib, first }:
let
  existing = builtins.storePath first;

  runCommand =
    name: attributes: script:
    derivation (
      {
        inherit name;
        system = builtins.currentSystem;
        builder = "/bin/bash";
        # The shell itself comes last: Nix kills a builder whose output is closed, as coreutils do before they end.
        args = [
          "-euc"
          "${script}\n:"
        ];
      }
      // removeAttrs attributes [
        "meta"
        "nativeBuildInputs"
      ]
      // {
        PATH = "${lib.makeBinPath (attributes.nativeBuildInputs or [ ])}:/usr/bin:/bin";
      }
    )
    // {
      pname = name;
      meta = attributes.meta or { };
    };

  # A program that says its name.
  saying =
    name:
    runCommand name { meta.mainProgram = name; } ''
      mkdir -p $out/bin
      printf '#!/bin/sh\necho ${name}\n' > $out/bin/${name}
      chmod 0555 $out/bin/${name}
    '';

  # Programs that are in the sandbox's system already.
  there = name: runCommand name { } "mkdir $out";

  pkgs = {
    inherit lib runCommand saying;
    path = ../nixos;
    stdenv.hostPlatform = { };
    stdenv.buildPlatform.canExecute = _: true;
    formats = import ../formats.nix { inherit pkgs; };

    bashInteractive = there "bash-interactive";
    git = there "git";
    iproute2 = there "iproute2";
    iptables = there "iptables";
    nftables = there "nftables";
    tmux = there "tmux";

    claude-code = runCommand "claude-code" { meta.mainProgram = "claude"; } ''
      mkdir -p $out/bin
      ln -s ${existing}/sw/bin/claude $out/bin/claude
    '';

    # As the program of this name does it.
    remarshal = runCommand "remarshal" { } ''
      mkdir -p $out/bin
      cat > $out/bin/json2toml <<EOF
      #!/usr/bin/python3
      import json, sys, tomlkit
      with open(sys.argv[1]) as source, open(sys.argv[2], "w") as target:
          tomlkit.dump(json.load(source), target)
      EOF
      chmod 0555 $out/bin/json2toml
    '';

    linkFarm =
      name: entries:
      runCommand name { } (
        lib.concatMapStrings (entry: ''
          mkdir -p "$(dirname "$out/${entry.name}")"
          ln -s ${entry.path} "$out/${entry.name}"
        '') entries
      );

    # The testbed's system with more packages, and what its configuration says of settings and files.
    standInSystem =
      config:
      runCommand "nixos-system-${config.system.name}"
        {
          inherit existing;
          packages = config.environment.systemPackages;
          environment = config.environment.extraInit;
          sysctl = lib.concatStrings (
            lib.mapAttrsToList (name: value: "${name}=${toString value}\n") config.boot.kernel.sysctl
          );
          tmpfiles = lib.concatLines config.systemd.tmpfiles.rules;
        }
        ''
          mkdir -p $out/sw/bin
          cp -d $existing/sw/bin/* $out/sw/bin/
          for package in $packages; do
            for program in "$package"/bin/*; do
              [ ! -e "$program" ] || ln -sfn "$program" $out/sw/bin/
            done
          done
          cp -d $existing/etc $existing/systemd $out/
          printf %s "$environment" > $out/set-environment
          mkdir $out/sysctl.d $out/tmpfiles.d
          printf %s "$sysctl" > $out/sysctl.d/60-nixos.conf
          printf %s "$tmpfiles" > $out/tmpfiles.d/00-nixos.conf
          sed "s|$existing|$out|g; /^exec /d" $existing/init > $out/init
          cat >> $out/init <<EOF
          cp -r $out/sysctl.d $out/tmpfiles.d /run
          echo 127.0.0.1 localhost > /etc/hosts
          # The testbed's sandboxes do without it; none of NixOS does.
          mkdir -p /run/systemd/system.control
          cp /usr/lib/systemd/system/systemd-sysctl.service /run/systemd/system.control/
          exec $out/systemd/systemd "\$@"
          EOF
          chmod 0555 $out/init
        '';
  };
in
pkgs
