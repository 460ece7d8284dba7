//! The token store in a directory of its own.

use std::os::unix::fs::MetadataExt as _;

use super::*;

fn stored() -> StoredToken {
    StoredToken {
        token: Secret::new(b"sk-ant-oat01-CANARY".to_vec()),
        created_at: "2026-03-19T21:00:00Z".parse().unwrap(),
        expires_at: "2027-03-19T21:00:00Z".parse().unwrap(),
        uid: Some(1000),
    }
}

fn damaged(entry: TokenEntry) -> String {
    match entry {
        TokenEntry::Damaged(why) => why,
        TokenEntry::Missing => panic!("missing"),
        TokenEntry::Stored(_) => panic!("stored"),
    }
}

#[tokio::test]
async fn the_documented_form() {
    let directory = tempfile::tempdir().unwrap();
    let store = TokenDirectory::open(directory.path(), Disk::start().unwrap()).unwrap();
    for (place, path) in [
        (TokenPlace::User, "claude-oauth.json"),
        (TokenPlace::Member(1001), "1001/claude-oauth.json"),
    ] {
        assert!(matches!(store.read(place).await, Ok(TokenEntry::Missing)));
        store.write(place, stored()).await.unwrap();
        let path = directory.path().join(path);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        let expected = "{\n  \"token\": \"sk-ant-oat01-CANARY\",\n  \"createdAt\": \
                        \"2026-03-19T21:00:00Z\",\n  \"expiresAt\": \"2027-03-19T21:00:00Z\",\n  \
                        \"uid\": 1000\n}\n";
        assert_eq!(text, expected);
        let Ok(TokenEntry::Stored(read)) = store.read(place).await else {
            panic!("not stored");
        };
        assert_eq!(read.token.expose(), stored().token.expose());
        assert_eq!(read.uid, Some(1000));
        assert!(store.delete(place).await.unwrap());
        assert!(!store.delete(place).await.unwrap());
    }
    let mode = fs::metadata(directory.path().join("1001")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn the_form_without_an_owner() {
    let text = br#"{"token":"sk-ant-x","createdAt":"2026-03-19T21:00:00Z",
        "expiresAt":"2027-03-19T21:00:00Z","note":"of another program"}"#;
    let Some(TokenEntry::Stored(read)) = decode(text) else {
        panic!("not stored");
    };
    assert_eq!(read.uid, None);
}

#[test]
fn damage_is_told_without_content_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let whole = encode(&stored()).unwrap_or_default();
    let whole = whole.expose();
    let mut contents: Vec<Vec<u8>> = (0..whole.len() - 2)
        .map(|end| whole[..end].to_vec())
        .collect();
    contents.push(vec![b'x'; 1 << 20]);
    for dates in [
        r#""createdAt":"2026-03-19T21:00:00Z","expiresAt":"soon""#,
        r#""createdAt":"2026-03-19T21:00:00Z""#,
        r#""createdAt":"2027-03-19T21:00:00Z","expiresAt":"2026-03-19T21:00:00Z""#,
        r#""createdAt":0,"expiresAt":1"#,
    ] {
        contents.push(format!(r#"{{"token":"sk-ant-oat01-CANARY",{dates}}}"#).into());
    }
    let dates = r#""createdAt":"2026-03-19T21:00:00Z","expiresAt":"2027-03-19T21:00:00Z""#;
    for dates in [
        r#""createdAt":"2026-03-19T21:00:00Z","expiresAt":"9999-12-31T00:00:00Z""#,
        r#""createdAt":"2026-03-19T21:00:00Z","expiresAt":"9000-01-01T00:00:00Z""#,
        r#""createdAt":"-009999-01-02T00:00:00Z","expiresAt":"2027-03-19T21:00:00Z""#,
        r#""createdAt":"2026-03-19T21:00:00Z","expiresAt":"2027-02-30T00:00:00Z""#,
        r#""createdAt":"2026-03-19T21:00:00Z","expiresAt":"2027-03-19T21:00:00""#,
        r#""createdAt":"2026-03-19T21:00:00Z","expiresAt":"2026-03-19T21:00:00Z""#,
        r#""createdAt":"2026-03-19T21:00:00Z","expiresAt":null"#,
        r#""createdAt":"2026-03-19T21:00:00Z","expiresAt":1805490000000"#,
    ] {
        contents.push(format!(r#"{{"token":"sk-ant-oat01-CANARY",{dates}}}"#).into());
    }
    contents.push(br#"["sk-ant-oat01-CANARY"]"#.to_vec());
    contents.push(br#""sk-ant-oat01-CANARY""#.to_vec());
    for token in ["\"\"", "\"a b\"", "\"a\\nb\"", "7", "null"] {
        contents.push(format!(r#"{{"token":{token},{dates}}}"#).into());
    }
    for content in contents {
        fs::write(&path, &content).unwrap();
        let why = damaged(read(&path).unwrap());
        assert!(!why.contains("CANARY"), "{why}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_leap_second_is_the_second_before() {
    let text = br#"{"token":"sk-ant-x","createdAt":"2026-03-19T21:00:00Z",
        "expiresAt":"2026-12-31T23:59:60Z"}"#;
    let Some(TokenEntry::Stored(read)) = decode(text) else {
        panic!("not stored");
    };
    assert_eq!(read.expires_at.to_string(), "2026-12-31T23:59:59Z");
}

#[test]
fn what_cannot_be_read_now_is_not_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x".repeat(300));
    assert!(read(&path).is_err());
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    assert_eq!(damaged(read(&link).unwrap()), "it is not a regular file");
    fs::write(directory.path().join("1001"), "").unwrap();
    let below = directory.path().join("1001").join(FILE);
    assert_eq!(damaged(read(&below).unwrap()), "it is not a regular file");
}

#[test]
fn foreign_directories_are_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    for (name, kept) in [("backup", true), ("1001", false), ("-1", true)] {
        let aside = directory.path().join(name).join(".x.aside");
        fs::create_dir(aside.parent().unwrap()).unwrap();
        fs::write(&aside, "").unwrap();
        TokenDirectory::open(directory.path(), Disk::start().unwrap()).unwrap();
        assert_eq!(aside.exists(), kept, "{name}");
    }
    // What lies aside cannot be removed here, and that stops nothing.
    fs::create_dir_all(directory.path().join("1002/.x.aside")).unwrap();
    TokenDirectory::open(directory.path(), Disk::start().unwrap()).unwrap();
}
