# What the daemon's user, members and strangers may do: units, bus, files, and the exposure of the daemon's unit.
{
  nodes.machine = { };

  testScript = builtins.readFile ./common/people.py + ''
    as_daemon = "setpriv --reuid=foraged --regid=foraged --clear-groups"
    systemctl = "systemctl --no-ask-password"
    with subtest("the daemon's user starts sandboxes, and nothing else"):
        machine.succeed(f"{as_daemon} systemctl is-active dbus.service")
        for forbidden in [
            f"{systemctl} restart dbus.service",
            f"{systemctl} start forage-sandbox@x.service",
            f"{systemctl} start forage-sandbox@0123456789.service",
            f"{systemctl} reset-failed {UNIT}",
            "systemd-run --no-ask-password true",
        ]:
            said = machine.fail(f"{as_daemon} {forbidden} 2>&1")
            assert "authentication required" in said or "ccess denied" in said, said

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
