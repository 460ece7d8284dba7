# Hosts with one thing wrong each, and all that is said about it.
{ pkgs }:
let
  templates = templates: { services.firefly-forage = { inherit templates; }; };
  agents = agents: {
    services.firefly-forage = {
      secrets = {
        a = "/run/secrets/a";
        b = "/run/secrets/b";
      };
      templates.t = { inherit agents; };
    };
  };
  program = {
    package = pkgs.tmux;
  };
  option = "services.firefly-forage";
in
{
  nothing-wrong = {
    host = agents {
      claude = program // {
        secretName = "a";
        delivery = "file";
      };
      codex = program // {
        secretName = "b";
      };
      mine = program // {
        secretName = "a";
        authEnvVar = "MY_KEY";
      };
      plain = program;
    };
    says = [ ];
  };

  secret-that-is-not-declared = {
    host = agents {
      claude = program // {
        secretName = "c";
      };
    };
    says = [
      ''${option}.templates.t.agents.claude.secretName names the secret "c", which is not in ${option}.secrets; declare ${option}.secrets.c, or correct the name''
    ];
  };

  secret-without-variable = {
    host = agents {
      mine = program // {
        secretName = "a";
      };
    };
    says = [
      ''${option}.templates.t.agents.mine has secretName = "a" without authEnvVar, and of an agent called "mine" no variable is known; set authEnvVar to the one it reads, or provider to whose program it is''
    ];
  };

  variable-without-secret = {
    host = agents {
      mine = program // {
        authEnvVar = "MY_KEY";
      };
    };
    says = [
      ''${option}.templates.t.agents.mine has authEnvVar = "MY_KEY" without secretName; set secretName to the secret the variable carries, or leave authEnvVar out''
    ];
  };

  variable-of-claude-without-secret = {
    host = agents {
      claude = program // {
        authEnvVar = "ANTHROPIC_API_KEY";
      };
    };
    says = [
      ''${option}.templates.t.agents.claude has authEnvVar = "ANTHROPIC_API_KEY" without secretName; set secretName to the secret the variable carries, or leave authEnvVar out''
    ];
  };

  variable-that-is-none = {
    host = agents {
      mine = program // {
        secretName = "a";
        authEnvVar = "my-key";
      };
    };
    says = [
      ''${option}.templates.t.agents.mine.authEnvVar: the variable name "my-key" cannot be used; take 1 to 64 of A-Z, 0-9 and '_', beginning with a letter''
    ];
  };

  token-and-key-for-one-provider = {
    host = agents {
      claude = program;
      other = program // {
        provider = "claude";
        secretName = "a";
      };
    };
    says = [
      "${option}.templates.t.agents.claude (the token) and ${option}.templates.t.agents.other (secret a) give Anthropic two credentials; use one for both"
    ];
  };

  two-keys-for-one-provider = {
    host = agents {
      codex = program // {
        secretName = "a";
      };
      other = program // {
        secretName = "b";
        authEnvVar = "OPENAI_API_KEY";
      };
    };
    says = [
      "${option}.templates.t.agents.codex (secret a) and ${option}.templates.t.agents.other (secret b) give OpenAI two credentials; use one for both"
    ];
  };

  one-credential-in-two-ways = {
    host = agents {
      claude = program;
      other = program // {
        provider = "claude";
        delivery = "file";
      };
    };
    says = [
      "${option}.templates.t.agents.claude (env, CLAUDE_CODE_OAUTH_TOKEN) and ${option}.templates.t.agents.other (file, CLAUDE_CODE_OAUTH_TOKEN) get one credential in two ways, of which one would hide the other; use the same delivery and authEnvVar for both"
    ];
  };

  one-variable-with-two-secrets = {
    host = agents {
      first = program // {
        secretName = "a";
        authEnvVar = "MY_KEY";
      };
      second = program // {
        secretName = "b";
        authEnvVar = "MY_KEY";
      };
    };
    says = [
      "${option}.templates.t.agents.first (secret a) and ${option}.templates.t.agents.second (secret b) give MY_KEY two values; use one secret for both"
    ];
  };

  file-for-an-agent-that-reads-none = {
    host = agents {
      codex = program // {
        secretName = "a";
        delivery = "file";
      };
    };
    says = [
      ''${option}.templates.t.agents.codex has delivery = "file" with CODEX_API_KEY; only Claude agents with CLAUDE_CODE_OAUTH_TOKEN or ANTHROPIC_API_KEY read a file again; use delivery = "env"''
    ];
  };

  file-for-an-agent-without-credential = {
    host = agents {
      plain = program // {
        delivery = "file";
      };
    };
    says = [
      ''${option}.templates.t.agents.plain has delivery = "file" and gets no credential; set secretName, or leave delivery out''
    ];
  };

  agent-without-program = {
    host = agents { claude = { }; };
    says = [
      "${option}.templates.t.agents.claude has no program; set package, or command for one that is in the system already"
    ];
  };

  user-that-is-not-declared = {
    host.services.firefly-forage.user = "alicia";
    says = [
      ''${option}.user: the user "alicia" is not declared in users.users; declare users.users.alicia, or correct the name''
    ];
  };

  member-that-is-not-declared = {
    host.services.firefly-forage = {
      user = "alice";
      users = [
        "alice"
        "bob"
      ];
    };
    says = [
      ''${option}.users: the user "bob" is not declared in users.users; declare users.users.bob, or correct the name''
    ];
  };

  secret-in-the-store = {
    host.services.firefly-forage.secrets.a = "/nix/store/00000000000000000000000000000000-key";
    says = [
      "${option}.secrets.a is in the Nix store (/nix/store/00000000000000000000000000000000-key), where everybody can read it; if its content is there already, replace the key; name a file outside of it, such as one that sops-nix or agenix makes: ${option}.secrets.a = config.sops.secrets.a.path"
    ];
  };

  secret-that-is-a-path-of-nix = {
    host.services.firefly-forage.secrets.a = ./canary;
    says = [
      ''${option}.secrets.a is a path of Nix' own, which would be copied into the Nix store, where everybody can read it; write it as a string: ${option}.secrets.a = "/run/secrets/a"''
    ];
  };

  # The content may have been pasted in the place of the path.
  secret-that-is-no-path = {
    host.services.firefly-forage.secrets.a = "sk-ant-api03-CANARY-nix";
    says = [
      ''${option}.secrets.a is no absolute path; name a file (never its content), such as "/run/secrets/a"''
    ];
  };

  secret-of-settings-that-is-a-path-of-nix = {
    host.services.firefly-forage.settings.secrets.a = ./canary;
    says = [
      ''${option}.settings.secrets.a is a path of Nix' own, which would be copied into the Nix store, where everybody can read it; write it as a string: ${option}.settings.secrets.a = "/run/secrets/a"''
    ];
  };

  secret-of-settings-is-declared = {
    host.services.firefly-forage = {
      settings.secrets.a = "/run/secrets/a";
      templates.t.agents.claude = program // {
        secretName = "a";
      };
    };
    says = [ ];
  };

  key-in-the-place-of-a-name = {
    host = agents {
      claude = program // {
        secretName = "sk-ant-api03-CANARY-nix";
      };
    };
    says = [
      "${option}.templates.t.agents.claude.secretName names the secret (not shown), which is not in ${option}.secrets; declare it there, or correct the name"
    ];
  };

  key-in-the-environment = {
    host = templates { t.environment.ANTHROPIC_API_KEY = "sk-ant-api03-CANARY-nix"; };
    says = [
      "${option}.templates.t.environment.ANTHROPIC_API_KEY decides which credential an agent uses, and what is there comes to be in the Nix store, where everybody can read it; name a file in ${option}.secrets, and the agent's secretName"
    ];
  };

  key-in-the-environment-of-an-agent-of-ones-own = {
    host = {
      services.firefly-forage = {
        secrets.a = "/run/secrets/a";
        templates.t = {
          environment.MY_KEY = "CANARY-nix";
          agents.mine = program // {
            secretName = "a";
            authEnvVar = "MY_KEY";
          };
        };
      };
    };
    says = [
      "${option}.templates.t.environment.MY_KEY decides which credential an agent uses, and what is there comes to be in the Nix store, where everybody can read it; name a file in ${option}.secrets, and the agent's secretName"
    ];
  };

  user-that-is-root = {
    host = {
      users.users.root = { };
      services.firefly-forage.user = "root";
    };
    says = [
      "${option}.user is root, whom no sandbox belongs to; name the user who lets agents work"
    ];
  };

  agents-that-are-root = {
    host = templates { t.agentUser = "root"; };
    says = [
      "${option}.templates.t.agentUser is root; agents never run as root: name another user"
    ];
  };

  package-without-main-program = {
    host = agents { mine.package = pkgs.runCommand "mine" { } "mkdir $out"; };
    says = [
      ''${option}.templates.t.agents.mine.package does not say which of its programs is the agent (meta.mainProgram); set command, such as "''${package}/bin/mine"''
    ];
  };

  system-with-something-wrong-in-it = {
    host = templates {
      t.config.assertions = [
        {
          assertion = false;
          message = "it wants a kernel";
        }
      ];
    };
    says = [ "${option}.templates.t, in its system: it wants a kernel" ];
  };

  names-of-other-characters = {
    host.services.firefly-forage = {
      secrets."a b" = "/run/secrets/a";
      templates."t/" = {
        agents."-x" = program;
      };
    };
    says =
      map
        (
          what:
          "${what} cannot be used; take 1 to 64 letters, digits, '-', '_' and '.', beginning with a letter, a digit or '_'"
        )
        [
          ''${option}.secrets: the secret name "a b"''
          ''${option}.templates: the template name "t/"''
          ''${option}.templates."t/": the agent name "-x"''
        ];
  };

  ready-system-and-more-to-build = {
    host = templates {
      t = {
        system = pkgs.tmux;
        extraPackages = [ pkgs.tmux ];
      };
    };
    says = [
      "${option}.templates.t has system, which is ready, and config or extraPackages, which go into a system that is built; leave one of them out"
    ];
  };

  ports-without-network = {
    host = templates { t.hostPorts = [ 8080 ]; };
    says = [
      ''${option}.templates.t has hostPorts and network = "none", with which no port is reached; set network = "full", or leave hostPorts out''
    ];
  };
}
