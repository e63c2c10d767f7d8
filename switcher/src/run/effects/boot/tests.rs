use super::*;
use crate::protocol::BootId;

fn found(outcome: CheckOutcome, checks: &[(&str, CheckOutcome)]) -> Evidence {
    let checks = checks
        .iter()
        .map(|(name, outcome)| CheckResult::new(name, *outcome, "why"));
    Evidence {
        checks: checks.collect(),
        ..crate::testing::evidence(outcome, &BootId("boot-2".to_owned()))
    }
}

#[test]
fn a_boot_without_a_network_goes_back_unblamed_and_one_without_its_interface_is_blamed() {
    use CheckOutcome::{Fail, Unknown};
    let failed = |evidence: &Evidence| Cause::VerificationFailed {
        checks: evidence.checks.clone(),
    };
    let dark = || Connection::NoCarrier(vec!["eth0".to_owned()]);
    let no_route = || Connection::NoRoute(vec!["10.0.0.2".parse().unwrap()]);
    let missing = || Connection::Missing(vec!["eth0".to_owned()]);
    let lost = found(
        Fail,
        &[("repository", Fail), ("ssh", Fail), ("units", Fail)],
    );
    let own = found(Fail, &[("repository", Fail), ("timer", Fail)]);
    let silent = found(Unknown, &[("repository", Unknown)]);
    let back = |event: Event| match event {
        Event::NotVerified(cause) => Some(cause.is_no_network()),
        _ => None,
    };
    let check = |evidence: &Evidence, connection: Connection, expected: Option<bool>| {
        let event = judge(failed(evidence), Some(evidence), &connection);
        assert_eq!(back(event), expected, "{connection} {evidence:?}");
    };
    check(&lost, dark(), Some(true));
    check(&lost, no_route(), Some(true));
    check(&silent, dark(), Some(true));
    // A peer behind a tunnel that somebody elsewhere has to open.
    check(&silent, no_route(), None);
    let there = found(Fail, &[("repository", CheckOutcome::Pass), ("units", Fail)]);
    check(&there, no_route(), Some(false));
    check(&lost, missing(), Some(false));
    check(&silent, missing(), Some(false));
    check(&own, no_route(), Some(false));
    // With a network all is as ever: what is wrong leads back, and an outage elsewhere does not.
    check(&lost, Connection::Open, Some(false));
    check(&silent, Connection::Open, None);
    // Who says nothing has failed, whatever the network does.
    let mute = judge(Cause::NotConfirmed { seconds: 5 }, None, &no_route());
    assert_eq!(mute, Event::NotVerified(Cause::NotConfirmed { seconds: 5 }));
    let reverts = judge(Cause::Operator, Some(&lost), &no_route());
    assert_eq!(reverts, Event::NotVerified(Cause::Operator));
    let busy = judge(Cause::Busy, Some(&silent), &no_route());
    assert_eq!(busy, Event::BootInconclusive(Cause::Busy));
    let missing = judge(failed(&lost), Some(&lost), &missing());
    assert!(
        matches!(&missing, Event::NotVerified(cause) if cause.to_string().starts_with("network: there is no interface eth0")),
        "{missing:?}"
    );
}
