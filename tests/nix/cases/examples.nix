# The two examples of the documentation of authentication, as an administrator writes them.
{ pkgs }:
{
  # A long-lived token: no secret, no variable.
  token = {
    services.firefly-forage = {
      user = "alice";
      templates.claude = {
        description = "Claude Code sandbox";
        network = "full";
        agents.claude = {
          package = pkgs.claude-code;
          hostConfigDir = "~/.claude";
        };
      };
    };
  };

  # Secret files, one of them from sops-nix.
  secrets =
    { config, ... }:
    {
      sops.secrets.anthropic-api-key = { };
      services.firefly-forage = {
        secrets = {
          anthropic = config.sops.secrets.anthropic-api-key.path;
          openai = "/run/secrets/openai-api-key";
        };
        templates.claude = {
          agents.claude = {
            package = pkgs.claude-code;
            secretName = "anthropic";
            authEnvVar = "ANTHROPIC_API_KEY";
          };
        };
      };
    };

  # The same key from agenix, asked for again by processes that run.
  agenix =
    { config, ... }:
    {
      age.secrets.anthropic-api-key = { };
      services.firefly-forage = {
        secrets.anthropic = config.age.secrets.anthropic-api-key.path;
        templates.claude.agents.claude = {
          package = pkgs.claude-code;
          secretName = "anthropic";
          delivery = "file";
        };
      };
    };
}
