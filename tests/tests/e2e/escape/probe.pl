# What can be reached from inside a sandbox. Prints one line per fact, in an order that does not
# change; what differs between machines, runs and sandboxes is written as a word. It tries, and never
# with arguments that could do harm where a try succeeds.
use strict;
use warnings;
no warnings 'portable';
use Errno ();
use Fcntl qw(:mode O_RDONLY O_WRONLY O_RDWR O_NONBLOCK O_NOCTTY);
use Socket qw(AF_UNIX AF_INET SOCK_STREAM SOCK_RAW SOCK_DGRAM sockaddr_un);

$| = 1;
my %names;
for my $name (keys %!) { no strict 'refs'; $names{ &{"Errno::$name"}() } //= $name }
# Several names for one number.
$names{11} = 'EAGAIN'; $names{95} = 'EOPNOTSUPP';

sub outcome { my ($ok) = @_; return $ok ? 'works' : ($names{ $! + 0 } // $! + 0) }
sub fact { print join(' ', @_), "\n" }
sub slurp { my ($path) = @_; open(my $f, '<', $path) or return ''; local $/; my $t = <$f>; return $t // '' }
sub call { my ($number, @args) = @_; $! = 0; my $r = syscall($number, @args); return outcome($r >= 0) }
sub opens { my ($path, $flags) = @_; $! = 0; return outcome(sysopen(my $f, $path, $flags | O_NONBLOCK | O_NOCTTY)) }

# Who.
fact('uid', $<, $>); fact('gid', (split ' ', $()[0], (split ' ', $))[0]);
for my $map ('uid_map', 'gid_map') {
    for (split /\n/, slurp("/proc/self/$map")) {
        my ($in, $out, $count) = split ' ';
        fact($map, $in, ($out >= 0x70000000 && $out < 0x7ffd0000 && $out % 65536 == 0 ? 'BASE' : $out), $count);
    }
}
fact('setgroups', slurp('/proc/self/setgroups') =~ s/\s//r);
for (split /\n/, slurp('/proc/self/status')) {
    fact('status', $1, $2) if /^(Groups|NoNewPrivs|Seccomp|Cap\w+|Umask):\s*(.*?)\s*$/;
}

# Descriptors beyond the three: one is the directory that is read.
opendir(my $fds, '/proc/self/fd');
my @more = grep { /^\d+$/ && $_ > 2 && $_ != fileno($fds) && (readlink("/proc/self/fd/$_") // '') !~ m{^/proc/} } readdir($fds);
fact('descriptors', scalar @more);

# System calls, with arguments that mean nothing.
my @calls = (
    ['ptrace', 101], ['syslog', 103], ['vhangup_absent', 9999], ['modify_ldt', 154], ['pivot_root', 155],
    ['chroot', 161], ['acct', 163], ['settimeofday', 164], ['mount', 165], ['umount2', 166], ['swapon', 167],
    ['swapoff', 168], ['reboot', 169], ['iopl', 172], ['ioperm', 173],
    ['init_module', 175], ['delete_module', 176], ['quotactl', 179], ['clock_settime', 227],
    ['kexec_load', 246], ['add_key', 248], ['request_key', 249], ['keyctl', 250], ['migrate_pages', 256],
    ['unshare', 272], ['perf_event_open', 298], ['fanotify_init', 300], ['name_to_handle_at', 303],
    ['open_by_handle_at', 304], ['clock_adjtime', 305], ['setns', 308], ['process_vm_readv', 310],
    ['process_vm_writev', 311], ['kcmp', 312], ['finit_module', 313], ['kexec_file_load', 320], ['bpf', 321],
    ['userfaultfd', 323], ['io_uring_setup', 425], ['open_tree', 428], ['move_mount', 429], ['fsopen', 430],
    ['fsconfig', 431], ['fsmount', 432], ['fspick', 433], ['pidfd_getfd', 438], ['mount_setattr', 442],
    ['memfd_secret', 447], ['x32', 0x40000000 + 39],
);
fact('call', $_->[0], call($_->[1], -1, 0, 0, 0, 0)) for @calls;
fact('call', 'unshare-user', do { my $pid = open(my $k, '-|') // die; if (!$pid) { print call(272, 0x10000000); exit } my $r = <$k>; $r });
fact('call', 'unshare-mount', do { my $pid = open(my $k, '-|') // die; if (!$pid) { print call(272, 0x00020000); exit } my $r = <$k>; $r });
fact('call', 'ptrace-init', do { my $pid = open(my $k, '-|') // die; if (!$pid) { print call(101, 0x4206, 1, 0, 0); exit } my $r = <$k>; $r });
for my $family (['unix', AF_UNIX, SOCK_STREAM, 0], ['inet', AF_INET, SOCK_STREAM, 0], ['inet-raw', AF_INET, SOCK_RAW, 1],
    ['packet', 17, SOCK_RAW, 0], ['netlink-audit', 16, SOCK_RAW, 9], ['vsock', 40, SOCK_STREAM, 0]) {
    my ($name, @args) = @$family; $! = 0;
    fact('socket', $name, outcome(socket(my $s, $args[0], $args[1], $args[2])));
}

# Mounts: where, of what kind, with which of the flags that matter.
my %mounts;
for (split /\n/, slurp('/proc/self/mountinfo')) {
    my ($left, $right) = split / - /;
    my @left = split ' ', $left; my ($kind) = split ' ', $right;
    my %flag = map { $_ => 1 } split /,/, $left[5];
    my ($where) = $left[4] =~ s{^/run/credentials/.*}{/run/credentials/UNIT}r;
    next if $where =~ m{^/(dev/pts/|proc/sys/fs/binfmt)};
    # Which of these there are depends on the kernel; what counts is that they cannot be written to.
    next if $flag{ro} && $where =~ m{^/sys/(?!fs/cgroup)|^/proc/(acpi|asound|bus|fs|irq|scsi)$};
    # Of what kind the host's own file systems are is the host's affair.
    $kind = 'HOST' if $where eq '/workspace' || ($kind ne 'overlay' && $right =~ m{ /dev/});
    $mounts{"$where $kind " . join(',', grep { $flag{$_} } qw(ro rw nosuid nodev noexec))} = 1;
}
fact('mount', $_) for sort keys %mounts;
mkdir '/tmp/.escape'; open(my $touch, '>', '/tmp/.escape-file');
my ($tmp, $none, $empty, $proc, $bind) = ('/tmp/.escape', 'none', '', '/proc', '/');
sub undo {
    my ($target) = @_;
    return syscall(166, $target, 2) if $target eq $tmp;
    my ($none, $empty) = ('none', ''); syscall(165, $none, $target, $none, 32 | 4096 | 1 | 2 | 4 | 8, $empty);
}
sub try_mount {
    my ($name, $source, $target, $type, $flags) = @_;
    my $pid = open(my $k, '-|') // die;
    if (!$pid) { $! = 0; my $r = syscall(165, $source, $target, $type, $flags, $empty); print outcome($r >= 0); undo($target) if $r >= 0; exit }
    my $r = <$k>; fact('mounting', $name, $r);
}
my ($tmpfs, $procfs, $sysfs, $ext4, $cgroup2, $overlay) = ('tmpfs', 'proc', 'sysfs', 'ext4', 'cgroup2', 'overlay');
try_mount('tmpfs', $none, $tmp, $tmpfs, 0);
try_mount('proc', $none, $tmp, $procfs, 0);
try_mount('sysfs', $none, $tmp, $sysfs, 0);
try_mount('cgroup2', $none, $tmp, $cgroup2, 0);
try_mount('disk', $none, $tmp, $ext4, 0);
try_mount('bind', $bind, $tmp, $none, 4096);
my $secrets = '/run/secrets'; my $sys = '/sys'; my $procsys = '/proc/sys'; my $workspace = '/workspace';
try_mount('remount-secrets-rw', $none, $secrets, $none, 32 | 4096);
try_mount('remount-sys-rw', $none, $sys, $none, 32 | 4096);
try_mount('remount-proc-sys-rw', $none, $procsys, $none, 32 | 4096);
try_mount('remount-workspace-suid-dev', $none, $workspace, $none, 32 | 4096);
for my $node (['null', 1, 3], ['mem', 1, 1], ['kmsg', 1, 11], ['disk', 8, 0], ['fuse', 10, 229]) {
    my ($name, $major, $minor) = @$node; my $path = "/tmp/.escape-$name";
    my $made = call(133, $path, S_IFCHR | 0600, ($major << 8) | $minor);
    fact('mknod', $name, $made, -e $path ? opens($path, O_RDONLY) : '-'); unlink $path;
}
rmdir $tmp; unlink '/tmp/.escape-file';

# Devices.
my @dirs = ('/dev');
my @devices;
while (defined(my $dir = shift @dirs)) {
    opendir(my $d, $dir) or next;
    for my $entry (sort readdir $d) {
        next if $entry =~ /^\.\.?$/; my $path = "$dir/$entry"; my @s = lstat $path or next;
        next if $path =~ m{^/dev/(pts/\d+|shm/.|mqueue/.)};
        if (S_ISDIR($s[2])) { push @dirs, $path; push @devices, "$path directory"; next }
        if (S_ISLNK($s[2])) { push @devices, "$path -> " . (readlink($path) =~ s/\d+$/N/r); next }
        my $kind = S_ISCHR($s[2]) ? 'char' : S_ISBLK($s[2]) ? 'block' : S_ISSOCK($s[2]) ? 'socket' : 'file';
        my $number = $kind =~ /char|block/ ? sprintf(' %d:%d', ($s[6] >> 8) & 0xfff, $s[6] & 0xff) : '';
        $number = ' 136:N' if $number =~ / 136:/;
        push @devices, "$path $kind$number " . ($kind =~ /char|block/ && $path !~ m{/(tty|console|ptmx)$} ? opens($path, O_RDWR) : '-');
    }
}
fact('device', $_) for sort @devices;

# Doors of the kernel.
for my $path (qw(/proc/kcore /proc/kmsg /proc/sysrq-trigger /proc/kallsyms /proc/keys /proc/timer_list
    /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/kernel/hostname /proc/sys/vm/drop_caches
    /proc/sys/fs/suid_dumpable /proc/sys/user/max_user_namespaces /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/yama/ptrace_scope
    /proc/irq/default_smp_affinity /proc/1/environ /proc/1/mem /proc/1/oom_score_adj /proc/self/oom_score_adj
    /sys/kernel/uevent_helper /sys/kernel/debug /sys/kernel/security /sys/firmware/efi /sys/fs/bpf /sys/power/state /sys/module
    /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/release_agent /sys/fs/cgroup/memory.max)) {
    my $there = lstat($path) ? 1 : 0;
    fact('door', $path, $there ? ('read', opens($path, O_RDONLY), 'write', opens($path, O_WRONLY)) : 'absent');
}
my %writable;
my @sysctls = ('/proc/sys');
while (defined(my $dir = shift @sysctls)) {
    opendir(my $d, $dir) or next;
    for my $entry (readdir $d) {
        next if $entry =~ /^\./; my $path = "$dir/$entry"; next if -l $path;
        if (-d $path) { push @sysctls, $path; next }
        my ($top, $name) = (split m{/}, $path)[3, 4];
        $writable{ $top eq 'kernel' ? "$top/$name" : $top }++ if opens($path, O_WRONLY) eq 'works';
    }
}
fact('sysctls-writable', $_) for sort keys %writable;
my $loops = 0; my $sys_writable = 0; @dirs = ('/sys');
while (defined(my $dir = shift @dirs)) {
    last if ++$loops > 20000; next if $dir eq '/sys/fs/cgroup'; opendir(my $d, $dir) or next;
    for my $entry (readdir $d) {
        next if $entry =~ /^\.\.?$/; my $path = "$dir/$entry"; next if -l $path;
        if (-d _) { push @dirs, $path } elsif (-f _ && opens($path, O_WRONLY) eq 'works') { $sys_writable++ }
    }
}
fact('sys-writable', $sys_writable);

# cgroups.
fact('cgroup', $_) for map { s{/exec/\d+}{/exec/N}r =~ s{/run-[^/]*\.service}{/UNIT}r } sort grep { /^0::/ } split /\n/, slurp('/proc/self/cgroup');
fact('cgroup-mkdir', do { $! = 0; my $r = outcome(mkdir '/sys/fs/cgroup/escape'); rmdir '/sys/fs/cgroup/escape'; $r });
fact('cgroup-parent', do { $! = 0; my $r = outcome(mkdir '/sys/fs/cgroup/../escape'); rmdir '/sys/fs/cgroup/../escape'; $r });

# The host, and others.
fact('root-of-init', do { $! = 0; outcome(opendir(my $d, '/proc/1/root/')) });
fact('root-link-of-init', do { $! = 0; my $l = readlink('/proc/1/root'); defined $l ? $l : outcome(0) });
my $marker = grep { slurp("/proc/$_/cmdline") =~ /escape-marke[r]/ } grep { /^\d+$/ } map { s{/proc/}{}r } glob('/proc/[0-9]*');
fact('host-process', $marker ? 'seen' : 'unseen');
sub connects { my ($address) = @_; socket(my $s, AF_UNIX, SOCK_STREAM, 0); $! = 0; return outcome(connect($s, sockaddr_un($address))) }
fact('host-abstract-socket', connects("\0forage-escape-canary"));
fact('host-socket', $_, -e $_ ? connects($_) : 'absent') for qw(/run/docker.sock /var/run/docker.sock /run/containerd/containerd.sock
    /nix/var/nix/daemon-socket/socket /run/systemd/nsresource/io.systemd.NamespaceResource /run/firefly-forage/shim
    /run/host/unix-export /run/host/notify /run/dbus/system_bus_socket /run/systemd/private);
fact('bus-is-the-hosts', slurp('/etc/machine-id') eq ($ENV{HOST_MACHINE_ID} // '') . "\n" ? 'yes' : 'no');
for my $dir ('/run/host', '/run/secrets', '/run/forage', '/run/forage/bin') {
    opendir(my $d, $dir) or do { fact('listing', $dir, outcome(0)); next };
    for my $entry (sort grep { !/^\.\.?$/ } readdir $d) {
        my @s = lstat "$dir/$entry"; fact('listing', "$dir/$entry", sprintf('%04o', $s[2] & 07777), $s[4], $s[5]);
    }
}
for my $secret (glob('/run/secrets/*')) { fact('secret', $secret, 'read', opens($secret, O_RDONLY), 'write', opens($secret, O_WRONLY)) }
fact('secret-make', do { $! = 0; outcome(open(my $f, '>', '/run/secrets/escape')) });
fact('workspace-make', do { $! = 0; my $r = outcome(open(my $f, '>', '/workspace/.escape')); unlink '/workspace/.escape'; $r });
fact('interface', $_) for sort map { /^\s*([^:\s]+):/ ? $1 : () } split /\n/, slurp('/proc/net/dev');

# By handle: what lies beyond the root.
my $handle = pack('Ii', 128, 0) . "\0" x 128; my $mount = pack('i', 0); my $slash = '/'; my $here = '.';
my $named = call(303, -100, $slash, $handle, $mount, 0);
opendir(my $root, '/'); fact('by-handle', $named, call(304, fileno($root), $handle, 0));

# Where this user can make files, besides its home.
my %places; my @walk = ('/'); $loops = 0;
while (defined(my $dir = shift @walk)) {
    last if ++$loops > 60000;
    next if $dir =~ m{^/(proc|sys|dev/pts|home/agent|root|tmp|var/tmp|dev/shm|run/user)(/|$)};
    if (-w $dir) { $places{ $dir =~ s{/(systemd-private|run-)[^/]*.*}{/PRIVATE}r } = 1; next if $< == 0 }
    opendir(my $d, $dir) or next;
    for my $entry (readdir $d) { next if $entry =~ /^\.\.?$/; my $path = $dir eq '/' ? "/$entry" : "$dir/$entry"; push @walk, $path if !-l $path && -d _ }
}
fact('writable', $_) for sort keys %places;
fact('environment', $_) for sort grep { !/^(HOST_MACHINE_ID|INVOCATION_ID|JOURNAL_STREAM|MEMORY_PRESSURE_\w+|SYSTEMD_EXEC_PID|_|SHLVL|OLDPWD)$/ } keys %ENV;
