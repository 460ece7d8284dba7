import shlex

UNIT = "firefly-forage.service"


def by(user: str, command: str) -> str:
    """Runs a command as a user, which has to succeed."""
    return machine.succeed(f"su - {user} -c {shlex.quote(command)}").strip()


def refused(user: str, command: str) -> str:
    """Runs a command as a user, which has to fail."""
    return machine.fail(f"su - {user} -c {shlex.quote(command + ' 2>&1')}").strip()


def store_token(user: str, letter: str) -> str:
    """Stores a token of the real shape. Of `su`, which logs, the journal keeps the arguments, too."""
    token = "sk-ant-oat01-" + 95 * letter
    machine.succeed(f"printf %s {token} | su - {user} -c 'forage-ctl claude token store -'")
    return token


machine.start()
machine.wait_for_unit(UNIT)
