//! The checks of ports against a model that looks at every moment of every way in which it may have happened.
//!
//! A record with an uncertainty happened at one of several moments. The model takes each of them in turn, knows then at every
//! moment which sockets listen, and judges that; a check may pass or fail what passes or fails in all of these ways alone.

use proptest::prelude::*;

use super::world::{BEGIN, Socket, UNIT_NS, World, world};
use crate::checks::{Check, PortStays, PortWindow, Reopens, Slice};
use crate::clock::Timestamp;
use crate::history::EdgeKind;
use crate::properties::config;

/// More ways than this are not looked at.
const WAYS: usize = 2000;
/// The gap that causality allows between the kernel's stamp and what a connect meets that is refused, or succeeds; in units.
const HASHING: u64 = 6_000_000 / UNIT_NS;
const SUCCESS: u64 = 1_200_000 / UNIT_NS;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Pass,
    Unknown,
    Fail,
}

/// One way in which it may have happened: the moments of each covering socket's turns.
type Way = Vec<Vec<u64>>;

/// What is known of a port in one way: whether some socket listens, at each moment from 0.
struct Moments(Vec<bool>);

impl World {
    /// Sockets that cover the target, without the turns that lie beyond the case's end for sure.
    fn covering(&self) -> Vec<Socket> {
        let mut covering: Vec<Socket> = self.sockets.iter().filter(|socket| self.covers(socket)).cloned().collect();
        for socket in &mut covering {
            let beyond = socket.turns.iter().position(|(at, blur)| at.saturating_sub(*blur) > self.end);
            socket.turns.truncate(beyond.unwrap_or(usize::MAX));
        }
        covering
    }

    /// Every way; none when there are too many.
    fn ways(&self) -> Vec<Way> {
        let mut ways: Vec<Way> = vec![Vec::new()];
        for socket in self.covering() {
            let mut own: Vec<Vec<u64>> = vec![Vec::new()];
            for (at, blur) in &socket.turns {
                let moments = || at.saturating_sub(*blur)..=*at;
                let extend = |way: &Vec<u64>| {
                    let after = way.last().copied();
                    let later = moments().filter(move |moment| after.is_none_or(|after| after < *moment));
                    later.map(|moment| [way.as_slice(), &[moment]].concat()).collect::<Vec<_>>()
                };
                own = own.iter().flat_map(extend).collect();
            }
            let with = |way: &Way| {
                own.iter().map(|own| [way.as_slice(), std::slice::from_ref(own)].concat()).collect::<Vec<_>>()
            };
            ways = ways.iter().flat_map(with).collect();
            if ways.len() > WAYS {
                return Vec::new();
            }
        }
        ways
    }

    fn is_certain(&self) -> bool {
        self.covering().iter().all(|socket| socket.turns.iter().all(|(_, blur)| *blur == 0))
    }

    fn moments(&self, way: &Way) -> Moments {
        let covering = self.covering();
        let until = 2 + way.iter().flatten().copied().max().unwrap_or(0).max(self.end + 2 * HASHING);
        let listens = |(socket, turns): (&Socket, &Vec<u64>), at: u64| {
            let turned = turns.iter().filter(|turn| **turn <= at).count();
            (turned % 2 == 1) != socket.seeded
        };
        Moments((0..until).map(|at| covering.iter().zip(way).any(|pair| listens(pair, at))).collect())
    }

    /// What a check says of it in every way, if that is always the same.
    fn expect(&self, judge: impl Fn(&Moments) -> Class) -> Option<Class> {
        if self.flaw.is_some() {
            return Some(Class::Unknown);
        }
        let mut classes = self.ways().into_iter().map(|way| judge(&self.moments(&way)));
        let first = classes.next()?;
        Some(if classes.all(|class| class == first) { first } else { Class::Unknown })
    }

    fn judge(&self, check: &Check) -> Class {
        let history = self.history();
        let verdict = check.judge(&Slice::of(&history, &Self::case()).unwrap());
        match verdict.word() {
            "pass" => Class::Pass,
            "fail" => Class::Fail,
            _ => Class::Unknown,
        }
    }
}

impl Moments {
    /// The moments at which the port opens or closes, from one on.
    fn flips(&self, from: u64) -> Vec<u64> {
        (from..self.0.len() as u64).filter(|at| self.0[*at as usize] != self.0[*at as usize - 1]).collect()
    }

    fn stays(&self, world: &World) -> Class {
        match (self.0[BEGIN as usize - 1], self.flips(BEGIN).first()) {
            (false, _) => Class::Unknown,
            (true, Some(at)) if *at <= world.end => Class::Fail,
            _ => Class::Pass,
        }
    }

    fn window(&self, world: &World, limit: Option<u64>, reopens: Option<(u64, u64)>) -> Class {
        if !self.0[BEGIN as usize - 1] {
            return Class::Unknown;
        }
        let watched = world.end - world.trigger;
        let flips = self.flips(BEGIN);
        let Some(closed) = flips.first().copied() else {
            let too_early = limit.map_or(world.cut_short, |limit| watched <= limit);
            return if too_early { Class::Unknown } else { Class::Fail };
        };
        if closed < world.trigger {
            return Class::Fail;
        }
        if limit.is_some_and(|limit| closed - world.trigger > limit && watched > limit) {
            return Class::Fail;
        }
        // Beyond the end there may have been more than was recorded.
        if closed > world.end {
            return Class::Unknown;
        }
        if limit.is_some_and(|limit| closed - world.trigger > limit) {
            return Class::Fail;
        }
        let (low, high) = reopens.unwrap_or((0, u64::MAX));
        let left = world.end - closed;
        let Some(opened) = flips.get(1).copied() else {
            let too_early = if reopens.is_some() { left <= high } else { world.cut_short };
            return if too_early || left == 0 { Class::Unknown } else { Class::Fail };
        };
        let pause = opened - closed;
        if opened > world.end {
            return if pause < low || left > high { Class::Fail } else { Class::Unknown };
        }
        match flips.get(2) {
            _ if pause < low || pause > high => Class::Fail,
            Some(again) if *again <= world.end => Class::Fail,
            Some(_) => Class::Unknown,
            None => Class::Pass,
        }
    }

    fn causality(&self, world: &World) -> Class {
        let mut class = Class::Unknown;
        for connect in &world.connects {
            let slack = if connect.refused { HASHING } else { SUCCESS };
            let (from, to) = (connect.began - slack, connect.began + connect.took + slack);
            let stamped = if connect.refused { to } else { connect.began + connect.took };
            if stamped >= world.end || self.flips(from).first().is_some_and(|flip| *flip <= to.min(world.end)) {
                continue;
            }
            if self.0[from as usize] == connect.refused {
                return Class::Fail;
            }
            class = Class::Pass;
        }
        class
    }
}

/// A check that is as sure as the model, or less so where something is uncertain.
fn agrees(world: &World, said: Class, expected: Option<Class>) -> Result<(), TestCaseError> {
    match expected {
        Some(expected) if world.is_certain() || world.flaw.is_some() => prop_assert_eq!(said, expected),
        Some(expected) => {
            prop_assert!(said == Class::Unknown || said == expected, "said {:?}, not {:?}", said, expected)
        }
        None => {}
    }
    Ok(())
}

/// Units in ms, as somebody may write them.
fn ms(units: u64) -> f64 {
    units as f64 * 0.6
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn a_window_is_judged_as_the_model_does(
        world in world(),
        limit in prop::option::of(0u64..40),
        reopens in prop::option::of((0u64..30, 0u64..10)),
    ) {
        let check = Check::PortWindow(PortWindow {
            port: "p".into(),
            endpoint: world.target,
            trigger: "trigger".into(),
            closes_within_ms: limit.map(ms),
            reopens: reopens.map(|(after, tolerance)| Reopens { after_ms: ms(after), tolerance_ms: ms(tolerance) }),
        });
        let bounds = reopens.map(|(after, tolerance)| (after.saturating_sub(tolerance), after + tolerance));
        agrees(&world, world.judge(&check), world.expect(|moments| moments.window(&world, limit, bounds)))?;
    }

    #[test]
    fn a_port_that_stays_is_judged_as_the_model_does(world in world()) {
        let check = Check::PortStays(PortStays { port: "p".into(), endpoint: world.target });
        agrees(&world, world.judge(&check), world.expect(|moments| moments.stays(&world)))?;
    }

    #[test]
    fn connects_are_compared_as_the_model_does(world in world()) {
        let said = world.judge(&Check::Causality);
        let expected = world.expect(|moments| moments.causality(&world));
        // Where something is uncertain, what is certain is compared all the same.
        if world.is_certain() || world.flaw.is_some() || said == Class::Fail {
            prop_assert!(expected.is_none_or(|expected| said == expected), "said {:?}, not {:?}", said, expected);
        }
    }

    #[test]
    fn a_timeline_has_the_edges_of_the_model(world in world()) {
        let mut world = world;
        world.sockets.iter_mut().flat_map(|socket| &mut socket.turns).for_each(|(_, blur)| *blur = 0);
        let history = world.history();
        let slice = Slice::of(&history, &World::case()).unwrap();
        let timeline = slice.timeline(world.target);
        let end = slice.end.0 / UNIT_NS;
        let world = World { end, ..world };
        let way: Way = world.covering().iter().map(|socket| socket.turns.iter().map(|(at, _)| *at).collect()).collect();
        let moments = world.moments(&way);
        let flips = moments.flips(BEGIN).into_iter().filter(|flip| *flip <= end);
        let expected: Vec<_> = flips.map(|at| (Timestamp(at * UNIT_NS), moments.0[at as usize])).collect();
        let edges = timeline.edges.iter().map(|edge| (edge.at, edge.kind == EdgeKind::Opened)).collect::<Vec<_>>();
        prop_assert_eq!(edges, expected);
        prop_assert_eq!(timeline.listeners_before > 0, moments.0[BEGIN as usize - 1]);
        prop_assert_eq!(timeline.listeners_after > 0, moments.0[end as usize]);
        prop_assert!(timeline.doubts.is_empty());
    }
}
