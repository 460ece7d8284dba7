# A token that changes, is taken away and comes back under a running sandbox.
{
  nodes.machine = { };

  testScript = builtins.readFile ./common/people.py + ''
    agent = "forage-ctl exec s1 -- claude"
    first = store_token("alice", "a")
    by("alice", "forage-ctl up s1 -t claude")
    assert first in by("alice", agent)

    second = store_token("alice", "b")
    assert second in by("alice", agent)

    by("alice", "forage-ctl auth revoke s1")
    assert "token:none" in by("alice", agent)
    by("alice", "forage-ctl auth refresh s1")
    assert second in by("alice", agent)

    by("alice", "forage-ctl claude token remove")
    assert "token:none" in by("alice", agent)
    assert "missing" in refused("alice", "forage-ctl claude token status --json")
    machine.fail("journalctl --output=json | grep sk-ant-oat01")
  '';
}
