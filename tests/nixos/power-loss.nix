# Power that goes at once: what was said to be done is done, and a second try works.
{
  nodes.machine = { };

  testScript = builtins.readFile ./common/people.py + ''
    for letter in "abc":
        token = store_token("alice", letter)
        by("alice", f"forage-ctl up s-{letter} -t claude")
        machine.crash()
        machine.start()
        machine.wait_for_unit(UNIT)
        # The answer came, so it is on the disk.
        assert f"s-{letter}" in by("alice", "forage-ctl ps -q")
        by("alice", f"forage-ctl start s-{letter}")
        assert token in by("alice", f"forage-ctl exec s-{letter} -- claude")

    by("alice", "forage-ctl down s-a")
    machine.crash()
    machine.start()
    machine.wait_for_unit(UNIT)
    assert by("alice", "forage-ctl ps -q").split() == ["s-b", "s-c"]
    machine.fail(f"journalctl -q -b -u {UNIT} FORAGE_EVENT=unreadable | grep .")
  '';
}
