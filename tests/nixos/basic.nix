# The main job: up, exec, the agent by its wrapper, down.
{
  nodes.machine = { };

  testScript = builtins.readFile ./common/people.py + ''
    machine.wait_for_unit("multi-user.target")
    assert "An agent of the name" in by("alice", "forage-ctl templates")

    token = store_token("alice", "a")
    by("alice", "mkdir repo && echo hello > repo/README")
    by("alice", "forage-ctl up s1 -t claude --repo repo")
    assert by("alice", "forage-ctl exec s1 -- id -un") == "agent"
    assert by("alice", "forage-ctl exec s1 -- cat README") == "hello"
    assert by("alice", "forage-ctl exec s1 -- claude") == f"token:{token} key:none"
    state = by("alice", "forage-ctl exec s1 -- systemctl is-system-running --wait")
    assert state == "running", by("alice", "forage-ctl exec s1 -- systemctl --failed")
    # Nothing in it but what a container needs.
    by("alice", "forage-ctl exec s1 -- sh -c '! command -v nix && ! test -e /run/wrappers/bin/sudo'")

    by("alice", "forage-ctl exec s1 -- sh -c 'echo made > by-agent'")
    assert by("alice", "stat -c %U repo/by-agent") == "alice"
    by("alice", "forage-ctl down s1")
    assert by("alice", "forage-ctl ps -q") == ""
    machine.fail("ls -d /run/firefly-forage/secrets/*")

    # What comes with the package.
    by("alice", "man -w forage-ctl-up")
    machine.succeed("test -e /etc/systemd/user/forage-host-login.service")
  '';
}
