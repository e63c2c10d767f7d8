use super::super::identity::User;
use super::*;

/// A key pair of age's own: public and private.
pub fn age_key() -> (String, String) {
    use age::secrecy::ExposeSecret as _;
    let key = age::x25519::Identity::generate();
    let secret = key.to_string();
    (
        key.to_public().to_string(),
        secret.expose_secret().to_owned(),
    )
}

/// An SSH key pair, as `ssh-keygen` makes it: public and private.
pub fn ssh_key() -> (String, String) {
    use russh::keys::ssh_key::{Algorithm, LineEnding, PrivateKey};
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
    let secret = key.to_openssh(LineEnding::LF).unwrap();
    (key.public_key().to_openssh().unwrap(), secret.to_string())
}

/// The private keys of these texts.
pub fn identities(keys: &[&str]) -> Identities {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(number, key)| {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, key).unwrap();
            path
        })
        .collect();
    Identities::read(&paths, User::Host).unwrap().0
}

/// The public keys of these texts.
pub fn recipients(keys: &[&str]) -> Vec<Recipient> {
    keys.iter().map(|key| key.parse().unwrap()).collect()
}

#[test]
fn each_recipient_opens_what_was_sealed_and_nobody_else() {
    let (ssh, age, stranger) = (ssh_key(), age_key(), ssh_key());
    for plaintext in [&b""[..], b"a", b"\0\xff\n", &[7; 200_000], &[0; LONGEST]] {
        let sealed = seal(plaintext, &recipients(&[&ssh.0, &age.0])).unwrap();
        for key in [&ssh.1, &age.1] {
            assert_eq!(*open(&sealed, &identities(&[key])).unwrap(), plaintext);
        }
        let both = identities(&[&stranger.1, &ssh.1]);
        assert_eq!(*open(&sealed, &both).unwrap(), plaintext);
        let said = open(&sealed, &identities(&[&stranger.1]));
        assert!(matches!(said, Err(OpenError::OtherKeys)));
    }
}

#[test]
fn what_is_too_long_or_for_nobody_is_not_sealed() {
    let (public, _) = age_key();
    let key = recipients(&[&public]);
    assert!(matches!(seal(b"", &[]), Err(SealError::NoRecipients)));
    let long = seal(&vec![0; LONGEST + 1], &key);
    assert!(matches!(long, Err(SealError::TooLong)));
}

#[test]
fn no_damage_opens() {
    let (public, secret) = ssh_key();
    let sealed = seal(b"a secret of some length", &recipients(&[&public])).unwrap();
    let keys = identities(&[&secret]);
    for position in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[position] ^= 1;
        assert!(open(&damaged, &keys).is_err(), "byte {position}");
        assert!(
            open(&sealed[..position], &keys).is_err(),
            "cut at {position}"
        );
    }
    assert!(open(&vec![b'a'; LONGEST_FILE + 1], &keys).is_err());
    for none in [
        "",
        "hello",
        "age-encryption.org/v2\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\n",
    ] {
        let said = open(none.as_bytes(), &keys);
        assert!(
            matches!(said, Err(OpenError::NoCiphertext)),
            "{none}: {said:?}"
        );
    }
}

#[test]
fn armoured_files_open_too() {
    use age::armor::{ArmoredWriter, Format};
    let (public, secret) = ssh_key();
    let sealed = seal(b"armoured", &recipients(&[&public])).unwrap();
    let mut armoured = Vec::new();
    let mut writer = ArmoredWriter::wrap_output(&mut armoured, Format::AsciiArmor).unwrap();
    writer.write_all(&sealed).unwrap();
    writer.finish().unwrap();
    assert!(armoured.starts_with(ARMOUR));
    let keys = identities(&[&secret]);
    assert_eq!(*open(&armoured, &keys).unwrap(), b"armoured");
    assert_eq!(marks(&armoured).unwrap(), marks(&sealed).unwrap());
}

#[test]
fn the_header_tells_who_opens_a_file() {
    let (ssh, age) = (ssh_key(), age_key());
    let keys = recipients(&[&ssh.0, &age.0]);
    let sealed = seal(b"x", &keys).unwrap();
    let mut expected: Vec<Mark> = keys.iter().map(Recipient::mark).collect();
    expected.sort();
    assert_eq!(marks(&sealed).unwrap(), expected);
    let table: [(&[u8], Option<&[Mark]>); 5] = [
        (b"", None),
        (b"age-encryption.org/v1\n-> ssh-ed25519 abcdef x\n", None),
        (b"age-encryption.org/v1\n--- mac\n\xff\xff", Some(&[])),
        (
            b"age-encryption.org/v1\n-> x-grease a\n\n-> scrypt a 18\nbody\n--- mac\n",
            Some(&[Mark::Other(String::new())]),
        ),
        (b"age-encryption.org/v1\n\xff\n--- mac\n", None),
    ];
    for (file, expected) in table {
        let found = marks(file).ok();
        assert_eq!(found.as_ref().map(Vec::len), expected.map(<[Mark]>::len));
    }
}
