# A reboot: sandboxes are stopped, nothing starts by itself, and what people made is there.
{
  nodes.machine = { };

  testScript = builtins.readFile ./common/people.py + ''
    token = store_token("alice", "a")
    by("alice", "forage-ctl up s1 -t claude")
    by("alice", "forage-ctl exec s1 -- sh -c 'echo kept > kept; echo lost > /tmp/lost'")
    machine.shutdown()
    machine.start()
    machine.wait_for_unit(UNIT)

    assert "stopped" in by("alice", "forage-ctl ps --json")
    machine.fail("systemctl list-units --plain --no-legend 'forage-sandbox@*' | grep .")
    machine.fail("ls -d /run/firefly-forage/secrets/*")
    by("alice", "forage-ctl start s1")
    assert by("alice", "forage-ctl exec s1 -- cat kept") == "kept"
    refused("alice", "forage-ctl exec s1 -- test -e /tmp/lost")
    assert token in by("alice", "forage-ctl exec s1 -- claude")
  '';
}
