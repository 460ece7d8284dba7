//! Secrets' files that change in every way they are changed: what the sandbox has follows at once, and
//! who reads it again and again never sees anything but a whole value.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{Sandbox, alone};

/// Reads a file until it has a token of `z`; tells when it has begun by another file, and in the end
/// how often it read, and how many values there were.
const READER: &str = r#"
my ($path, $begun, $reads, $values, $last) = (@ARGV, 0, 0, '');
$/ = undef;
while (1) {
    open(my $file, '<', $path) or die "no file after $reads reads: $!\n";
    my $now = <$file>;
    close $file;
    $now =~ /sk-ant-oat01-([a-z])\1{94}(?![a-z])/ or die "torn after $reads reads\n";
    my $letter = $1;
    open(my $mark, '>', $begun) if !$reads++;
    $values++ if $now ne $last;
    $last = $now;
    last if $letter eq 'z';
}
print "$reads $values\n";
"#;

/// Changes both files in the way of a number, as root of the host: a new generation that a link is
/// swapped to, a rename, a removal with a slow new beginning, a slow rewrite in place. A rewrite is
/// in two parts with a pause between, in which a part must not be taken for the whole.
const CHANGE: &str = r#"
use strict;
our $top = '/etc/forage-secrets';
our @names = ('src-key', 'src-token');
sub token { return 'sk-ant-oat01-' . ($_[0] x 95) . "\n" }
sub put {
    my ($path, $text, $pause) = @_;
    open(my $file, '>', $path) or die "$path: $!";
    syswrite $file, substr($text, 0, 40);
    select(undef, undef, undef, $pause) if $pause;
    syswrite $file, substr($text, 40);
    close $file;
}
our $generation = 0;
sub change {
    my ($way, $letter, $pause) = @_;
    my $text = token($letter);
    if ($way == 0) {
        my $old = readlink "$top/src";
        my $new = "$top/src.d/" . ++$generation . $letter . $$;
        mkdir "$top/src.d"; mkdir $new or die "$new: $!";
        put("$new/$_", $text) for @names;
        symlink $new, "$top/src.new"; rename "$top/src.new", "$top/src";
        if (defined $old) { unlink "$old/$_" for @names; rmdir $old }
        return;
    }
    for my $name (@names) {
        my $path = "$top/src/$name";
        if ($way == 1) { put("$path.new", $text, $pause); rename "$path.new", $path }
        if ($way == 2) { unlink $path; put($path, $text, $pause) }
        if ($way == 3) { put($path, $text, $pause) }
    }
}
"#;

/// Changes everything so many times, and ends with `z`.
const SPIN: &str = r#"
for my $number (1 .. $ARGV[0]) {
    change($number % 4, ('a' .. 'j')[$number % 10], 0.002);
    # A second writer comes before anybody can have read what the first one wrote.
    change(3, ('k' .. 't')[$number % 10], 0) if $number % 4 == 3;
}
change(0, 'z');
"#;

/// How long it takes until the sandbox's file shows a change, in milliseconds, per way: the middle
/// of several.
const MEASURE: &str = r#"
use Time::HiRes 'time';
my $file = "/run/firefly-forage/secrets/$ARGV[0]/src-key";
sub held { open(my $in, '<', $file) or return ''; local $/ = undef; return <$in> }
for my $way (0 .. 3) {
    my @took;
    for my $letter ('a' .. 'g') {
        change($way, $letter);
        my $from = time;
        1 until held() eq token($letter) or time > $from + 20;
        push @took, (time() - $from) * 1000;
    }
    @took = sort { $a <=> $b } @took;
    printf "%d %.1f\n", $way, $took[3];
}
"#;

fn perl(testbed: &Testbed, script: &str, argument: &str) -> Result<String> {
    let script = format!("{CHANGE}{script}");
    testbed.run_ok("root", &["perl", "-e", &script, argument])
}

const BEGIN: &str = "system('rm', '-rf', \"$top/src\", \"$top/src.d\"); change(0, 'a');";

#[test]
fn every_way_of_changing_is_followed_and_readers_see_whole_values() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    perl(testbed, BEGIN, "")?;
    let sandbox = Sandbox::up(testbed, "bob", "sources", "sources", &[])?;
    let measured = perl(testbed, MEASURE, &sandbox.id)?;
    ensure!(measured.lines().count() == 4, "{measured}");
    for line in measured.lines() {
        let (way, took) = line.split_once(' ').context("no figure")?;
        let took: f64 = took.parse()?;
        ensure!(took < 100.0, "way {way} took {took} ms");
    }

    let files = ["claude-credentials/.credentials.json", "src-key"];
    let broken = |_| anyhow!("a reader broke off");
    let reads = thread::scope(|scope| -> Result<Vec<_>> {
        let begun = ["/tmp/first", "/tmp/second"];
        let places = [(files[0], begun[0]), (files[1], begun[1])];
        let reading = places.map(|(file, begun)| {
            let path = format!("/run/secrets/{file}");
            let sandbox = &sandbox;
            scope.spawn(move || sandbox.exec(&["nice", "perl", "-e", READER, &path, begun]))
        });
        wait_for("both to read", Duration::from_secs(20), || {
            let both = sandbox.exec(&["ls", begun[0], begun[1]])?;
            Ok(both.ok().then_some(()))
        })?;
        perl(testbed, SPIN, "400")?;
        let reading = reading.into_iter();
        reading
            .map(|reader| reader.join().map_err(broken)?)
            .collect()
    })?;
    for read in reads {
        ensure!(read.ok(), "{}", read.text());
        let (reads, values) = read
            .stdout
            .trim_end()
            .split_once(' ')
            .context("no counts")?;
        let (reads, values): (u32, u32) = (reads.parse()?, values.parse()?);
        // A value is missed where the next one is there before the reader has its turn.
        ensure!(values > 20 && reads > values, "{}", read.stdout);
    }

    // The source goes away: the last value stays, and that is told, without the value.
    let cursor = testbed.journal_cursor()?;
    let before = sandbox.status()?["credentials"].take();
    testbed.run_ok("root", &["rm", "-r", "/etc/forage-secrets/src"])?;
    wait_for("the warning", Duration::from_secs(5), || {
        let now = sandbox.status()?["credentials"].take();
        let stale = |at: usize| now[at]["stale"].as_str().unwrap_or_default().to_owned();
        let told = [stale(0), stale(1)]
            .iter()
            .all(|why| why.contains("does not exist"));
        Ok(told.then_some(()))
    })?;
    let entry = testbed.journal_until(
        &cursor,
        &["FORAGE_EVENT=credentials-stale"],
        Duration::from_secs(10),
        |entry| entry["FORAGE_CREDENTIAL_SOURCE"] == "secret:src-key",
    )?;
    let fingerprint = entry["FORAGE_CREDENTIAL_FP"].as_str().unwrap_or_default();
    ensure!(
        fingerprint.len() == 8 && entry["PRIORITY"] == "4",
        "{entry}"
    );
    ensure!(!entry.to_string().contains("sk-ant"), "{entry}");
    for (number, file) in files.iter().enumerate() {
        let held = sandbox.exec_ok(&["cat", &format!("/run/secrets/{file}")])?;
        ensure!(held.contains(&"z".repeat(95)), "{file} has another value");
        let now = sandbox.status()?["credentials"][number].take();
        ensure!(now["generation"] == before[number]["generation"], "{now}");
    }
    perl(testbed, "change(0, 'b')", "")?;
    wait_for("a new source", Duration::from_secs(5), || {
        let now = sandbox.status()?["credentials"].take();
        Ok((now[0]["stale"].is_null() && now[1]["stale"].is_null()).then_some(()))
    })?;
    testbed.run_ok("root", &["sh", "-c", "rm -r /etc/forage-secrets/src*"])?;
    Ok(())
}
