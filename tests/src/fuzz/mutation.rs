//! Changes inputs.

use fastrand::Rng;

/// No input is longer, in bytes: what readers take is bounded by the size of a file or a line, and time is spent on
/// many inputs rather than on long ones. Now and then one is blown up far beyond it.
const LONGEST: usize = 4096;
const BLOWN_UP: usize = 256 << 10;

/// What has a meaning somewhere.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b"\t",
    b" ",
    b"\x1b[2J",
    b"\x1b]52;c;x\x07",
    b"\x9b",
    b"\xe2\x80\xae",
    b"\xff",
    b"\xc3\x28",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b"'",
    b"\\",
    b",",
    b":",
    b"::",
    b"/",
    b"//",
    b"://",
    b"@",
    b"?",
    b"#",
    b"%00",
    b"..",
    b"../",
    b"./",
    b"-",
    b"--",
    b"=",
    b"!",
    b"*",
    b"|",
    b"$",
    b";",
    b"~",
    b"^",
    b"+",
    b"0",
    b"1",
    b"-1",
    b"0000",
    b"0001",
    b"0004",
    b"ffff",
    b"255",
    b"256",
    b"65535",
    b"65536",
    b"4294967295",
    b"4294967296",
    b"9223372036854775807",
    b"18446744073709551615",
    b"18446744073709551616",
    b"1e308",
    b"1e309",
    b"0.1",
    b"nan",
    b"inf",
    b"null",
    b"true",
    b"false",
    b"[]",
    b"{}",
    b"\"\"",
    b"\\u0000",
    b"\\ud800",
    b"\\u202e",
    b"version",
    b"host",
    b"web1",
    b"https://",
    b"ssh://",
    b"file:///",
    b"git.example",
    b"refs/heads/main",
    b"@nix ",
    b"@revoked ",
    b"@cert-authority ",
    b"ssh-ed25519 ",
    b"/nix/store/",
    b"menuentry",
    b"submenu",
    b"filter=lfs",
    b"Nixus-Retry: ",
    b"# ",
    b"from=\"",
    b"age-encryption.org/v1\n",
    b"-----BEGIN ",
    b"MZ",
    b"PE\0\0",
    b"\xf0\x9f\x9a\x80",
    b"\xe2\x80\xa6",
    b"\xc2\xb5s",
];

/// A source of changed inputs.
#[derive(Debug)]
pub struct Mutation {
    rng: Rng,
}

impl Mutation {
    /// The same for the same seed and target.
    pub fn new(seed: u64, target: &str) -> Self {
        let name = target.bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            rng: Rng::with_seed(name),
        }
    }

    /// One of these, changed.
    pub fn next(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.one(pool).to_vec();
        for _ in 0..=self.rng.u8(0..5) {
            self.change(&mut input, pool);
        }
        if self.rng.u32(0..20_000) == 0 && !input.is_empty() {
            input = input.iter().copied().cycle().take(BLOWN_UP).collect();
        } else {
            input.truncate(LONGEST);
        }
        input
    }

    fn one<'a>(&mut self, pool: &'a [Vec<u8>]) -> &'a [u8] {
        self.rng.choice(pool).map_or(&[], Vec::as_slice)
    }

    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.rng.usize(0..=length);
        let most = (length - start).min(64);
        start..start + self.rng.usize(0..=most)
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let at = self.rng.usize(0..=input.len());
        match self.rng.u8(0..11) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.rng.u8(0..8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.rng.u8(..);
                }
            }
            2 => input.insert(at, self.rng.u8(..)),
            3 => drop(input.drain(self.part(input.len()))),
            4 => {
                let part = self.part(input.len());
                let copy = input[part].to_vec();
                input.splice(at..at, copy);
            }
            5 => {
                let part = self.part(input.len());
                let copy = input[part].to_vec();
                let times = self.rng.usize(1..64);
                input.splice(at..at, copy.repeat(times));
            }
            6 | 7 => {
                let word = self.rng.choice(WORDS).copied().unwrap_or_default();
                input.splice(at..at, word.iter().copied());
            }
            8 => {
                let word = self.rng.choice(WORDS).copied().unwrap_or_default();
                let part = self.part(input.len());
                input.splice(part, word.iter().copied());
            }
            9 => {
                let other = self.one(pool);
                let part = self.part(other.len());
                let copy = other[part].to_vec();
                input.splice(at..at, copy);
            }
            _ => self.number(input),
        }
    }

    /// Another number in the place of one that stands there.
    fn number(&mut self, input: &mut Vec<u8>) {
        let starts: Vec<usize> = (0..input.len())
            .filter(|at| input[*at].is_ascii_digit())
            .collect();
        let Some(start) = self.rng.choice(starts) else {
            return;
        };
        let digits = input[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let shift = self.rng.u32(0..64);
        let number = (self.rng.u64(..) >> shift).to_string();
        input.splice(start..start + digits, number.into_bytes());
    }
}
