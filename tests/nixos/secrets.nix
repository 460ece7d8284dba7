# Secret files as sops-nix and agenix leave them: a link to a generation in memory, files of root's, mode 0400.
{
  nodes.machine =
    { config, ... }:
    {
      services.firefly-forage = {
        secrets.anthropic = "/run/secrets/anthropic-api-key";
        templates.key = {
          network = "none";
          agents.claude = {
            inherit (config.services.firefly-forage.templates.claude.agents.claude) package;
            secretName = "anthropic";
          };
        };
      };
    };

  testScript = builtins.readFile ./common/people.py + ''
    def generation(number: int, key: str) -> None:
        """Puts a generation of secrets in the place of the one before."""
        place = f"/run/secrets.d/{number}"
        machine.succeed(
            f"mkdir -p -m 0751 {place}",
            f"(umask 0377; printf %s {key} > {place}/anthropic-api-key)",
            f"ln -sfn {place} /run/secrets.new && mv -T /run/secrets.new /run/secrets",
        )


    agent = "forage-ctl exec s1 -- claude"
    refusal = refused("alice", "forage-ctl up s1 -t key")
    assert "anthropic" in refusal, refusal
    generation(1, "sk-ant-api03-first")
    by("alice", "forage-ctl up s1 -t key")
    assert by("alice", agent) == "token:none key:sk-ant-api03-first"
    # The agent's user alone reads it, and nobody on the host but root.
    by("alice", "forage-ctl exec s1 -- test -r /run/secrets/anthropic")
    refused("alice", "cat /run/secrets/anthropic-api-key")
    refused("alice", "ls /run/firefly-forage/secrets")

    generation(2, "sk-ant-api03-second")
    machine.wait_until_succeeds(f"su - alice -c '{agent}' | grep second", timeout=30)
    machine.fail("journalctl --output=json | grep sk-ant-api03")
  '';
}
