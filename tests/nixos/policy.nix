# What the daemon's user, members and strangers may do: units, bus, files, and the exposure of the daemon's unit.
{
  nodes.machine = { };

  testScript = builtins.readFile ./common/people.py + ''
    as_daemon = "setpriv --reuid=foraged --regid=foraged --clear-groups"
    with subtest("the daemon's user starts sandboxes, and nothing else"):
        for unit in ["sshd.service", "forage-sandbox@x.service", "forage-sandbox@0123456789.service"]:
            machine.fail(f"{as_daemon} systemctl start --no-ask-password {unit}")
        machine.fail(f"{as_daemon} systemd-run --no-ask-password true")
        machine.fail(f"{as_daemon} systemctl reset-failed --no-ask-password {UNIT}")

    with subtest("the bus lets in members alone"):
        call = "busctl call org.firefly.Forage1 /org/firefly/Forage1 org.firefly.Forage1.Manager Version"
        by("alice", call)
        refused("mallory", call)

    with subtest("places belong to whom they should"):
        for place, expected in {
            "/run/firefly-forage": "711 root root",
            "/run/firefly-forage/shim": "750 root foraged",
            "/run/firefly-forage/secrets": "700 root root",
            "/var/lib/firefly-forage": "711 root root",
            "/var/lib/firefly-forage/tokens": "700 foraged foraged",
        }.items():
            found = machine.succeed(f"stat -c '%a %U %G' {place}").strip()
            assert found == expected, f"{place}: {found}"
        machine.succeed("findmnt -no OPTIONS /run/firefly-forage/secrets | grep -w noswap")

    with subtest("the daemon is confined"):
        said = machine.succeed(f"systemd-analyze security --no-pager {UNIT}")
        assert "OK" in said.splitlines()[-1] or "SAFE" in said.splitlines()[-1], said
  '';
}
