//! Breadth first through every state, so that what is found is told in the fewest steps.

use std::collections::{BTreeSet, HashMap};

use super::around::{calm, successors};
use super::book::{Book, Decide};
use super::promises::{broken, broken_at_rest, is_settled};
use super::world::{Bounds, World};
use crate::decide::phase::{Phase, PhaseName};

/// What an exploration came to.
#[derive(Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps from one state to another.
    pub transitions: usize,
    /// The most steps that a state is away from the beginning.
    pub depth: usize,
    /// The pairs of phase and event that came up.
    pub pairs: BTreeSet<(PhaseName, &'static str)>,
    /// What broke a promise, each promise once.
    pub violations: Vec<Violation>,
}

/// A broken promise.
#[derive(Debug)]
pub struct Violation {
    /// The promise.
    pub promise: &'static str,
    /// How it came to that, in the fewest steps.
    pub trace: Vec<String>,
}

/// Explores every interleaving within the bounds; `None` where the model itself cannot be built.
pub fn explore(decide: Decide<'_>, bounds: Bounds) -> Option<Explored> {
    let book = Book::new(decide)?;
    let idle = book.number(Phase::Idle);
    let mut search = Search::default();
    search.see(World::new(idle, bounds), 0, 0);
    let mut transitions = 0;
    let mut violations: Vec<Violation> = Vec::new();
    let mut at = 0;
    while let Some(world) = search.worlds.get(at).copied() {
        let next = successors(&book, world);
        let rests = calm(&book, world).is_empty();
        let promise = broken(&book, &world)
            .or_else(|| rests.then(|| broken_at_rest(&book, &world)).flatten());
        if let Some(promise) = promise {
            if violations.iter().all(|known| known.promise != promise) {
                let trace = search.trace(&book, at);
                violations.push(Violation { promise, trace });
            }
        } else {
            let depth = search.depths[at] + 1;
            for (_, after) in next {
                transitions += 1;
                search.see(after, at, depth);
            }
        }
        at += 1;
    }
    if violations.is_empty()
        && let Some(at) = search.endless(&book)
    {
        violations.push(Violation {
            promise: "recovery comes to an end",
            trace: search.trace(&book, at),
        });
    }
    Some(Explored {
        states: search.worlds.len(),
        transitions,
        depth: search.depths.last().copied().unwrap_or_default() as usize,
        pairs: book.pairs(),
        violations,
    })
}

#[derive(Default)]
struct Search {
    worlds: Vec<World>,
    parents: Vec<usize>,
    depths: Vec<u32>,
    known: HashMap<World, usize>,
}

impl Search {
    fn see(&mut self, world: World, parent: usize, depth: u32) {
        let number = self.worlds.len();
        if let std::collections::hash_map::Entry::Vacant(entry) = self.known.entry(world) {
            entry.insert(number);
            self.worlds.push(world);
            self.parents.push(parent);
            self.depths.push(depth);
        }
    }

    /// How a state was reached.
    fn trace(&self, book: &Book<'_>, mut at: usize) -> Vec<String> {
        let mut trace = Vec::new();
        while at != 0 {
            let parent = self.parents[at];
            let label = successors(book, self.worlds[parent])
                .into_iter()
                .find(|(_, after)| *after == self.worlds[at])
                .map_or("?", |(label, _)| label);
            let phase = book.name(self.worlds[at].journal.phase);
            trace.push(format!("{label} (journal: {phase})"));
            at = parent;
        }
        trace.reverse();
        trace
    }

    /// A state from which the best case goes round for ever. What the best case leads to is known
    /// already, apart from what is left of the bounds.
    fn endless(&self, book: &Book<'_>) -> Option<usize> {
        let mut done: HashMap<World, bool> = HashMap::new();
        for (number, world) in self.worlds.iter().enumerate() {
            let start = world.spent();
            let mut path = vec![(start, None::<Vec<World>>)];
            while let Some((world, rest)) = path.last_mut() {
                let world = *world;
                let rest = match rest {
                    Some(rest) => rest,
                    None => {
                        match done.get(&world) {
                            Some(true) => {
                                path.pop();
                                continue;
                            }
                            Some(false) => return Some(number),
                            None => {}
                        }
                        done.insert(world, false);
                        let settled =
                            is_settled(book.name(world.journal.phase)) && world.process.is_none();
                        rest.insert(if settled {
                            Vec::new()
                        } else {
                            calm(book, world)
                                .into_iter()
                                .map(|(_, next)| next)
                                .collect()
                        })
                    }
                };
                match rest.pop() {
                    Some(next) => path.push((next, None)),
                    None => {
                        done.insert(world, true);
                        path.pop();
                    }
                }
            }
        }
        None
    }
}
