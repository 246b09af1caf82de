//! What must hold of the commit.

use crate::commit::{Commit, Left, Partition, State};
use crate::lane::Step;
use crate::world::{ATTEMPTS_MAX, HOSTS, Nature, World};
use stateright::{Model, Property};

impl<const P: usize> Commit<P> {
    /// All of it.
    pub(crate) fn must(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no effect twice", |model, state: &State<P>| {
                state.partitions.iter().all(|seen| model.at_most_once(seen))
            }),
            Property::always("nothing is visible before it is committed", |_, state: &State<P>| {
                state.partitions.iter().all(Self::committed_first)
            }),
            Property::always("batches become visible in their order", |_, state: &State<P>| {
                state.partitions.iter().all(|seen| !seen.log.disordered)
            }),
            Property::always("no pipeline halts without a cause", Self::halts_with_cause),
            Property::always("a host that is left alone finishes", Self::recovers),
            Property::always("where nothing can happen, all is done", Self::ends_well),
            Property::sometimes("all is done", |model, state: &State<P>| {
                state.partitions.iter().all(|seen| model.exactly_once(seen))
            }),
        ]
    }

    /// Whether every record has had all of its effects, once.
    fn exactly_once(&self, partition: &Partition) -> bool {
        let Partition { store, log, .. } = partition;
        self.worked(store)
            && (0..).zip(self.0.records).all(|(record, nature)| {
                let letter = match nature {
                    Nature::Row | Nature::Quiet => false,
                    Nature::Reject => true,
                    Nature::Retry(times) => *times >= ATTEMPTS_MAX,
                };
                let outcome = (store.rows.of(record), store.letters.of(record));
                outcome == (u8::from(!letter), u8::from(letter))
                    && log.visible.of(record) == u8::from(*nature != Nature::Quiet)
            })
    }

    /// No record has an effect twice, nor two that exclude each other.
    fn at_most_once(&self, partition: &Partition) -> bool {
        let Partition { store, log, .. } = partition;
        (0..).zip(self.0.records).all(|(record, _)| {
            let waits = u8::from(store.parked.of(record) > 0);
            store.rows.of(record) + store.letters.of(record) + waits <= 1 && log.visible.of(record) <= 1
        })
    }

    /// Nothing is visible before its row or dead letter is committed.
    fn committed_first(partition: &Partition) -> bool {
        let Partition { store, log, .. } = partition;
        log.visible.records().all(|record| store.rows.of(record) + store.letters.of(record) > 0)
    }

    /// No pipeline stops without a cause, in any host.
    fn halts_with_cause(&self, state: &State<P>) -> bool {
        (0..).zip(&state.partitions).take(P).all(|(partition, seen)| {
            let halted = |host: u8| self.lane(state, host, partition) == Step::Halted;
            seen.may_halt || !(0..HOSTS as u8).any(halted)
        })
    }

    /// Whoever is dead, one host that takes over and is left alone finishes everything, or halts where it may.
    fn recovers(&self, state: &State<P>) -> bool {
        let alone = Commit::<P>(World { expulsions: None, ..self.0 });
        let mut state = state.clone();
        (state.hosts, state.left) = ([[Step::Absent; P]; HOSTS], Left::default());
        let mut moves = Vec::new();
        for partition in 0..P as u8 {
            for _ in 0..200 {
                moves.clear();
                alone.moves(&state, 0, partition, &mut moves);
                let Some(made) = moves.first() else { break };
                alone.make(&mut state, 0, partition, *made);
            }
        }
        (0..).zip(&state.partitions).take(P).all(|(partition, seen)| {
            let halted = self.lane(&state, 0, partition) == Step::Halted;
            (halted && seen.may_halt) || self.exactly_once(seen)
        })
    }

    /// Where nothing can happen any more, everything is done, or a pipeline has halted that may.
    fn ends_well(&self, state: &State<P>) -> bool {
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        !actions.is_empty()
            || (0..).zip(&state.partitions).take(P).all(|(partition, seen)| {
                let halted = (0..HOSTS as u8).any(|host| self.lane(state, host, partition) == Step::Halted);
                self.exactly_once(seen) || (halted && seen.may_halt)
            })
    }
}
