//! `lab`: a fleet on one machine, to play with.

fn main() -> anyhow::Result<()> {
    let start = std::time::Instant::now();
    let lab = lab::Lab::start(&["web1"])?;
    eprintln!("up in {:?}", start.elapsed());
    for command in [
        &["systemctl", "--failed", "--no-legend"][..],
        &["ip", "-br", "addr"],
        &["ls", "-l", "/etc"],
    ] {
        print!("{}", lab.host("web1")?.must(command)?);
    }
    let out = lab
        .operator()
        .ssh(lab.operator().key(), "root@10.77.0.11", &["hostname"])?;
    eprintln!("{out:?}");
    Ok(())
}
