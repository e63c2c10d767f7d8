use jiff::civil::DateTime;
use jiff::tz::{Offset, db};
use proptest::prelude::*;

use super::*;

fn window(days: &[Weekday], start: &str, length: SignedDuration, zone: &str) -> Window {
    Window {
        works: vec![Work::Activate, Work::Reboot],
        days: days.to_vec(),
        start: start.parse().unwrap(),
        length,
        zone: TimeZone::get(zone).unwrap(),
    }
}

fn of(windows: Vec<Window>) -> Calendar {
    Calendar {
        windows,
        freezes: Vec::new(),
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[test]
fn without_windows_everything_may_be_done_at_any_time() {
    let gate = Calendar::default().at(Work::Reboot, time("2026-12-01T12:00:00Z"));
    assert_eq!(gate, Gate::Open { until: None });
    // One for reboots says nothing of activations.
    let mut reboots = window(&[], "02:00", HOUR, "UTC");
    reboots.works = vec![Work::Reboot];
    let calendar = of(vec![reboots]);
    let now = time("2026-12-01T12:00:00Z");
    assert_eq!(calendar.at(Work::Activate, now), Gate::Open { until: None });
    assert_eq!(
        calendar.at(Work::Reboot, now),
        Gate::Closed {
            opens: Some(time("2026-12-02T02:00:00Z")),
            freeze: None
        }
    );
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
    let friday = window(&[Weekday::Friday], "23:00", HOUR * 4, "Europe/Berlin");
    let calendar = of(vec![friday]);
    let open = |text: &str| calendar.at(Work::Activate, time(text));
    let until = Some(time("2026-12-05T02:00:00Z"));
    // Saturday, 01:30 in Berlin.
    assert_eq!(open("2026-12-05T00:30:00Z"), Gate::Open { until });
    let opens = Some(time("2026-12-11T22:00:00Z"));
    let freeze = None;
    assert_eq!(open("2026-12-05T02:00:00Z"), Gate::Closed { opens, freeze });
}

#[test]
fn a_start_that_the_clock_skips_or_has_twice_opens_once() {
    let night = window(&[], "02:30", HOUR, "Europe/Berlin");
    let opens = |after: &str| match of(vec![night.clone()]).at(Work::Activate, time(after)) {
        Gate::Closed { opens, .. } => opens.unwrap(),
        open => unreachable!("{open:?}"),
    };
    // 2026-03-29: 02:00 becomes 03:00, so 02:30 is 03:30, at +02:00.
    assert_eq!(opens("2026-03-28T12:00:00Z"), time("2026-03-29T01:30:00Z"));
    // 2026-10-25: 03:00 becomes 02:00, and the first 02:30 is at +02:00.
    assert_eq!(opens("2026-10-24T12:00:00Z"), time("2026-10-25T00:30:00Z"));
    assert_eq!(opens("2026-10-25T01:30:00Z"), time("2026-10-26T01:30:00Z"));
}

#[test]
fn a_freeze_beats_windows_and_is_named() {
    let mut calendar = of(vec![window(&[], "02:00", HOUR * 3, "UTC")]);
    calendar.freezes = vec![
        Freeze {
            begin: time("2026-12-20T00:00:00Z"),
            end: time("2027-01-03T03:00:00Z"),
            reason: "the end of the year".to_owned(),
        },
        Freeze {
            begin: time("2027-01-03T02:30:00Z"),
            end: time("2027-01-03T04:00:00Z"),
            reason: "an audit".to_owned(),
        },
    ];
    let at = |text: &str| calendar.at(Work::Activate, time(text));
    let until = Some(time("2027-01-03T05:00:00Z"));
    let opens = Some(time("2027-01-03T04:00:00Z"));
    let freeze = Some("the end of the year".to_owned());
    // Longer than anybody looks ahead without freezes.
    assert_eq!(at("2026-12-20T02:30:00Z"), Gate::Closed { opens, freeze });
    assert_eq!(at("2027-01-03T04:30:00Z"), Gate::Open { until });
    let calendar = Calendar {
        windows: Vec::new(),
        ..calendar
    };
    let gate = calendar.at(Work::Reboot, time("2026-12-31T00:00:00Z"));
    let freeze = Some("the end of the year".to_owned());
    assert_eq!(gate, Gate::Closed { opens, freeze });
}

#[test]
fn windows_that_passed_as_a_whole_were_missed() {
    let calendar = of(vec![window(&[], "02:00", HOUR, "UTC")]);
    let missed = |since: &str, now: &str| calendar.missed(Work::Activate, time(since), time(now));
    assert_eq!(missed("2026-12-01T01:00:00Z", "2026-12-01T02:30:00Z"), 0);
    assert_eq!(missed("2026-12-01T01:00:00Z", "2026-12-01T03:30:00Z"), 1);
    assert_eq!(missed("2026-12-01T02:30:00Z", "2026-12-04T12:00:00Z"), 3);
    let calendar = Calendar::default();
    assert_eq!(
        calendar.missed(
            Work::Activate,
            time("2026-12-01T01:00:00Z"),
            time("2026-12-09T01:00:00Z")
        ),
        0
    );
}

/// Minute by minute, and with nothing of what is tested: the offsets of a zone, as its transitions give them, say
/// which wall clock each minute has.
struct Enumeration {
    /// Each minute with the wall clock and the offset at its beginning.
    minutes: Vec<(Timestamp, DateTime, Offset)>,
}

impl Enumeration {
    fn new(zone: &TimeZone, from: Timestamp, to: Timestamp) -> Self {
        let mut minutes = Vec::new();
        let mut now = from;
        while now < to {
            let offset = zone.to_offset(now);
            minutes.push((now, offset.to_datetime(now), offset));
            now = now.checked_add(SignedDuration::from_mins(1)).unwrap();
        }
        Self { minutes }
    }

    /// When a wall clock is first shown; where it is skipped, by the offset before.
    fn first(&self, wanted: DateTime) -> Option<Timestamp> {
        let shown = self.minutes.iter().find(|(_, wall, _)| *wall == wanted);
        if let Some((now, ..)) = shown {
            return Some(*now);
        }
        let pairs = self.minutes.windows(2);
        let mut skips = pairs.filter(|pair| pair[0].1 < wanted && wanted < pair[1].1);
        let before = skips.next()?[0].2;
        before.to_timestamp(wanted).ok()
    }

    /// Each time that a window opens.
    fn opens(&self, window: &Window) -> Vec<Timestamp> {
        let mut days: Vec<Date> = self
            .minutes
            .iter()
            .map(|(_, wall, _)| wall.date())
            .collect();
        days.dedup();
        days.sort_unstable();
        days.dedup();
        let days = days.into_iter();
        let days =
            days.filter(|day| window.days.is_empty() || window.days.contains(&day.weekday()));
        days.filter_map(|day| self.first(day.to_datetime(window.start)))
            .collect()
    }
}

fn is_open(window: &Window, opens: &[Timestamp], now: Timestamp) -> bool {
    let mut opens = opens.iter();
    opens.any(|opens| *opens <= now && now.duration_since(*opens) < window.length)
}

fn names() -> Vec<String> {
    db().available().map(|name| name.to_string()).collect()
}

#[test]
fn every_zone_opens_as_the_enumeration_says_around_its_changes() {
    let zones = names();
    assert!(zones.len() > 400, "{} zones", zones.len());
    let year = time("2026-01-01T00:00:00Z");
    let end = time("2027-01-01T00:00:00Z");
    let mut changes = 0;
    for (index, name) in zones.iter().enumerate() {
        let zone = TimeZone::get(name).unwrap();
        let change = zone.following(year).next().map(|change| change.timestamp());
        let middle = change.filter(|change| *change < end);
        changes += usize::from(middle.is_some());
        let middle = middle.unwrap_or(time("2026-06-15T09:00:00Z"));
        let around = |hours: i64| {
            middle
                .checked_add(SignedDuration::from_hours(hours))
                .unwrap()
        };
        let enumeration = Enumeration::new(&zone, around(-45), around(24));
        // On both sides of what a change skips or repeats, and within.
        let minute = i8::try_from(index * 7 % 60).unwrap();
        let hour = i8::try_from(index % 4).unwrap();
        let window = Window {
            works: vec![Work::Reboot],
            days: Vec::new(),
            start: Time::constant(hour, minute, 0, 0),
            length: SignedDuration::from_mins(1 + i64::try_from(index * 13 % 400).unwrap()),
            zone: zone.clone(),
        };
        let calendar = of(vec![window.clone()]);
        let opens = enumeration.opens(&window);
        for step in 0..96 {
            let now = around(0)
                .checked_add(SignedDuration::from_mins(step * 15 - 12 * 60))
                .unwrap();
            let open = matches!(calendar.at(Work::Reboot, now), Gate::Open { .. });
            let expected = is_open(&window, &opens, now);
            assert_eq!(open, expected, "{name}: {window:?} at {now}");
        }
    }
    assert!(changes > 100, "{changes} zones with a change");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_windows_and_freezes_open_as_the_enumeration_says(
        zone in any::<prop::sample::Index>(),
        hours in -4000_i64..4000,
        windows in prop::collection::vec((0_i8..24, 0_i8..60, 1_i64..2000, 0_u8..128), 1..3),
        freezes in prop::collection::vec((-2000_i64..2000, 1_i64..1500), 0..3),
    ) {
        let zones = names();
        let name = &zones[zone.index(zones.len())];
        let zone = TimeZone::get(name).unwrap();
        let middle = time("2026-06-15T09:00:00Z");
        let middle = middle.checked_add(SignedDuration::from_hours(hours)).unwrap();
        let around = |minutes: i64| middle.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        let enumeration = Enumeration::new(&zone, around(-5000), around(3000));
        let all = [
            Weekday::Monday,
            Weekday::Tuesday,
            Weekday::Wednesday,
            Weekday::Thursday,
            Weekday::Friday,
            Weekday::Saturday,
            Weekday::Sunday,
        ];
        let windows: Vec<Window> = windows
            .into_iter()
            .map(|(hour, minute, length, days)| Window {
                works: vec![Work::Activate],
                days: (0..7).filter(|day| days & (1 << day) != 0).map(|day| all[day]).collect(),
                start: Time::constant(hour, minute, 0, 0),
                length: SignedDuration::from_mins(length),
                zone: zone.clone(),
            })
            .collect();
        let freezes: Vec<Freeze> = freezes
            .into_iter()
            .map(|(begin, length)| Freeze {
                begin: around(begin),
                end: around(begin + length),
                reason: String::new(),
            })
            .collect();
        let calendar = Calendar { windows: windows.clone(), freezes: freezes.clone() };
        let opens: Vec<_> = windows.iter().map(|window| enumeration.opens(window)).collect();
        let open = |now| {
            let mut each = windows.iter().zip(&opens);
            each.any(|(window, opens)| is_open(window, opens, now))
                && !freezes.iter().any(|freeze| freeze.begin <= now && now < freeze.end)
        };
        for step in -24..24 {
            let now = around(step * 60);
            let gate = calendar.at(Work::Activate, now);
            prop_assert_eq!(matches!(gate, Gate::Open { .. }), open(now), "{} at {}", name, now);
            // What it promises for later is so then, as far as the enumeration goes.
            let (Gate::Open { until: then } | Gate::Closed { opens: then, .. }) = gate;
            if let Some(then) = then.filter(|then| *then < around(2900)) {
                prop_assert_eq!(open(then), !open(now), "{} at {}, then {}", name, now, then);
            }
        }
    }
}
