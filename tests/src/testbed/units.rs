//! Units without a job in a container, masked so that boots are quick.

/// Of no use in either tree: hardware, consoles, first boots and upkeep of a long-lived machine.
const COMMON: [&str; 15] = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "fstrim.timer",
    "getty.target",
    "ldconfig.service",
    "remote-fs.target",
    "systemd-firstboot.service",
    "systemd-journal-catalog-update.service",
    "systemd-machine-id-commit.service",
    "systemd-modules-load.service",
    "systemd-pstore.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-update-done.service",
];

/// What the host goes without; it keeps logind, as real hosts do.
pub(super) const HOST: &[&str] = &COMMON;

/// What a sandbox goes without. Its users and files are made when the tree is built.
pub(super) const SANDBOX: &[&str] = &{
    let mut all = [""; COMMON.len() + ALONE.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < COMMON.len() {
            COMMON[at]
        } else {
            ALONE[at - COMMON.len()]
        };
        at += 1;
    }
    all
};

const ALONE: [&str; 13] = [
    "run-lock.mount",
    "systemd-creds.socket",
    "systemd-hostnamed.socket",
    "systemd-initctl.socket",
    "systemd-journal-flush.service",
    "systemd-logind.service",
    "systemd-remount-fs.service",
    "systemd-sysctl.service",
    "systemd-sysext.socket",
    "systemd-sysusers.service",
    "systemd-tmpfiles-setup-dev-early.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-user-sessions.service",
];
