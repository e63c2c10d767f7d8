//! systemd-boot's files.

use super::{A, B, Files, S, broken, counting, on, two, unknown};

/// As nixpkgs' builder wrote it, names and all, of two generations that have a specialisation each.
fn built(conf: &str, counters: &str) -> Files {
    let files = Files::default().with("boot/loader/loader.conf", conf);
    [
        (
            "d49b0f97102324964a512757bd7f63359e303f9eae1d1a36d3739467d3e8def2",
            A,
            4,
        ),
        (
            "dcbbfd6468bdc4e6b4b4b8711e665fd81927d6f0564082902e8c6209d9d9598c",
            S,
            4,
        ),
        (
            "72672c5cd859fe8841d779dc9e37c5f01cd5f3398e20d2f37b5df4d5080d6988",
            B,
            5,
        ),
        (
            "56b02346dd1197cad85e75f7a765f578d00c1778e1b7b27d5055200cede4747d",
            S,
            5,
        ),
    ]
    .into_iter()
    .fold(files, |files, (hash, system, generation)| {
        let path = format!("boot/loader/entries/nixos-{hash}{counters}.conf");
        files.entry(&path, system, generation)
    })
}

#[test]
fn what_nixpkgs_builder_wrote_is_read_back() {
    let of_4 = "nixos-d49b0f97102324964a512757bd7f63359e303f9eae1d1a36d3739467d3e8def2.conf";
    for (conf, counters, expected) in [
        (
            format!("timeout 5\ndefault {of_4}\nconsole-mode keep\n"),
            "",
            A,
        ),
        (
            format!("timeout 5\npreferred {of_4}\ndefault nixos-*\nconsole-mode keep\n"),
            "+3",
            A,
        ),
        (
            "timeout 5\ndefault nixos-*\nconsole-mode keep\n".to_owned(),
            "",
            B,
        ),
    ] {
        built(&conf, counters).starts(&on(expected));
    }
}

#[test]
fn the_default_of_each_boot_loader_is_read_back() {
    Files::default().starts(&unknown());
    for conf in [
        "timeout 5\ndefault nixos-generation-4.conf\n",
        "default nixos-generation-4\n",
        "preferred nixos-generation-4.conf\ndefault nixos-*\n",
    ] {
        two(conf).starts(&on(A));
        Files::default()
            .with("boot/loader/loader.conf", conf)
            .starts(&broken());
    }
    two("default nixos-generation-6.conf\n").starts(&broken());
}

/// nixpkgs' builder writes `default nixos-*` where the system is in no profile, lanzaboote does always.
#[test]
fn a_pattern_stands_for_the_newest_entry_that_has_tries_left() {
    two("default nixos-*\n").starts(&on(B));
    two("timeout 5\n").starts(&on(B));
    for (file, expected) in [
        ("nixos-generation-10.conf", A),
        ("nixos-generation-10+3.conf", A),
        ("nixos-generation-10+0-3.conf", B),
    ] {
        two("default nixos-*\n")
            .entry(&format!("boot/loader/entries/{file}"), A, 10)
            .starts(&on(expected));
    }
}

/// The entry of a specialisation has the name of its generation before its own
/// (systemd-boot-builder.py of 25.11).
#[test]
fn an_entry_of_a_specialisation_is_not_its_generations() {
    let special = "boot/loader/entries/nixos-generation-4-specialisation-fast.conf";
    let conf = "default nixos-generation-4.conf\n";
    let alone = Files::default().with("boot/loader/loader.conf", conf);
    alone.entry(special, B, 4).starts(&broken());
    two(conf).entry(special, B, 4).starts(&on(A));
    two("default nixos-generation-4-specialisation-fast.conf\n")
        .entry(special, B, 4)
        .starts(&on(B));
}

#[test]
fn an_entry_that_counts_boots_is_found_on_either_partition() {
    for (file, expected) in [
        ("boot/loader/entries/nixos-4f.conf", on(A)),
        ("boot/loader/entries/nixos-4f+3.conf", on(A)),
        ("boot/loader/entries/nixos-4f+2-1.conf", on(A)),
        ("efi/loader/entries/nixos-4f+3.conf", on(A)),
        // Nothing else is there to be started.
        ("boot/loader/entries/nixos-4f+0-3.conf", on(A)),
        ("boot/loader/entries/other.conf", broken()),
    ] {
        counting(file).starts(&expected);
    }
    let other = "boot/loader/entries/nixos-3a.conf";
    for (file, expected) in [
        ("boot/loader/entries/nixos-4f+3.conf", A),
        // The preferred one is passed over, and the pattern stands for the newest good one.
        ("boot/loader/entries/nixos-4f+0-3.conf", B),
    ] {
        counting(file).entry(other, B, 3).starts(&on(expected));
    }
}

#[test]
fn the_installed_loaders_version_decides_what_its_options_mean() {
    let loader = |version: &str| format!("MZ#### LoaderInfo: systemd-boot {version} ####");
    for (version, expected) in [
        ("262-1", on(A)),
        ("260", on(A)),
        ("257.13-1~deb13u1", on(B)),
        ("249.11", unknown()),
        ("", on(A)),
    ] {
        counting("boot/loader/entries/nixos-4f+3.conf")
            .entry("boot/loader/entries/nixos-5a.conf", B, 5)
            .with("boot/EFI/systemd/systemd-bootx64.efi", loader(version))
            .starts(&expected);
    }
}
