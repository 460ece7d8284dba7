# Two users, and one who is none: each has their own, and nobody sees another's.
{
  nodes.machine = { };

  testScript = builtins.readFile ./common/people.py + ''
    tokens = {user: store_token(user, letter) for user, letter in [("alice", "a"), ("bob", "b")]}
    for user in tokens:
        by(user, "forage-ctl up s1 -t claude")
        assert tokens[user] in by(user, "forage-ctl exec s1 -- claude")
    assert by("alice", "forage-ctl ps -q") == "s1"

    by("alice", "forage-ctl up s2 -t claude")
    # Another's, and none at all: the same answer.
    answer = refused("bob", "forage-ctl status s2")
    assert answer == refused("bob", "forage-ctl status s3").replace("s3", "s2"), answer
    refused("bob", "forage-ctl exec s2 -- true")
    refused("bob", "forage-ctl down s2 --owner alice")

    assert "forage" in refused("mallory", "forage-ctl ps")
    refused("mallory", "cat /var/lib/firefly-forage/tokens/claude-oauth.json")
    machine.succeed("forage-ctl ps --owner bob -q | grep -x s1")
  '';
}
