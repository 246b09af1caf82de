//! The model of the commit: hosts, partitions, what may go wrong, and what must hold.

use crate::lane::{Move, Step};
use crate::log::Log;
use crate::store::{BATCHES, Store};
use crate::working::May;
use crate::world::{HOSTS, Rule, World};
use crate::{take_over, working};
use stateright::{Model, Property};

/// One partition: what the store and the log know of its lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Partition {
    /// The store.
    pub store: Store,
    /// The log.
    pub log: Log,
    /// Whether the group's offset vanished while nobody could know what was published: then a pipeline may stop.
    pub may_halt: bool,
}

/// A state of the world with `P` partitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State<const P: usize> {
    /// The partitions.
    pub partitions: [Partition; P],
    /// Where each host is with each partition's lane.
    pub hosts: [[Step; P]; HOSTS],
    /// Whom the group gave each partition to.
    pub owners: [u8; P],
    /// Hosts that the group has expelled and that do not know it yet.
    pub expelled: [bool; HOSTS],
    /// The disturbances that are left.
    pub left: Left,
}

/// How many disturbances of each kind are left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    crashes: u8,
    lost_answers: u8,
    timeouts: u8,
    vanishes: u8,
    leaves: u8,
    expulsions: u8,
    revokes: u8,
}

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A host does something about a partition's lane.
    Host {
        /// The host.
        host: u8,
        /// The partition.
        partition: u8,
        /// What it does.
        made: Move,
    },
    /// A host dies, and begins anew.
    Crash(u8),
    /// The broker ends a partition's transaction by its time limit.
    TransactionTimeout(u8),
    /// The group's offset of a partition expires, or somebody deletes it.
    GroupOffsetVanishes(u8),
    /// A host is silent for too long: the group gives its partitions to the other one.
    Expel(u8),
    /// An expelled host learns of it (`PartitionEvents::lost`).
    Lost(u8),
    /// A partition goes to the other host (`PartitionEvents::revoked`), drained or not.
    Revoke(u8),
    /// A host with a fenced lane joins the group anew (`Pipeline::watch`).
    Rejoin(u8),
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::Host { host, partition, made } => write!(f, "h{host} p{partition} {made:?}"),
            Action::Crash(host) => write!(f, "h{host} dies"),
            Action::TransactionTimeout(partition) => write!(f, "p{partition} transaction timeout"),
            Action::GroupOffsetVanishes(partition) => write!(f, "p{partition} group offset vanishes"),
            Action::Expel(host) => write!(f, "h{host} is expelled"),
            Action::Lost(host) => write!(f, "h{host} Lost"),
            Action::Revoke(partition) => write!(f, "p{partition} Revoked"),
            Action::Rejoin(host) => write!(f, "h{host} Rejoin"),
        }
    }
}

/// The commit, in a bounded world with `P` partitions.
#[derive(Clone, Copy, Debug)]
pub struct Commit<const P: usize>(pub World);

impl<const P: usize> Commit<P> {
    pub(crate) fn lane(&self, state: &State<P>, host: u8, partition: u8) -> Step {
        let lanes = state.hosts.get(usize::from(host));
        lanes.and_then(|lanes| lanes.get(usize::from(partition))).copied().unwrap_or_default()
    }

    fn partition(state: &State<P>, partition: u8) -> Partition {
        state.partitions.get(usize::from(partition)).copied().unwrap_or_default()
    }

    fn grouped(&self) -> bool {
        self.0.expulsions.is_some()
    }

    fn owns(&self, state: &State<P>, host: u8, partition: u8) -> bool {
        !self.grouped() || state.owners.get(usize::from(partition)) == Some(&host)
    }

    /// What one host may do about one lane.
    pub(crate) fn moves(&self, state: &State<P>, host: u8, partition: u8, moves: &mut Vec<Move>) {
        let (world, seen) = (&self.0, Self::partition(state, partition));
        match self.lane(state, host, partition) {
            Step::Absent if self.owns(state, host, partition) && !self.settled(&seen) => {
                moves.push(if self.grouped() { Move::Assigned } else { Move::TakeOver });
            }
            Step::Working(lane) => {
                let may = May { lose_answer: state.left.lost_answers > 0, leave: state.left.leaves > 0 };
                working::moves(world, &seen, lane, may, moves);
            }
            step => take_over::moves(world, step, state.left.lost_answers, moves),
        }
    }

    /// Whether nothing is left to do: all read, nothing parked, and the group's offset is that of the last batch.
    fn settled(&self, partition: &Partition) -> bool {
        let Partition { store, log, .. } = partition;
        self.worked(store) && log.group.is_some_and(|group| group.batch == store.batch)
    }

    pub(crate) fn worked(&self, store: &Store) -> bool {
        store.next_offset.map(usize::from) == Some(self.0.records.len()) && store.parked.is_empty()
    }

    /// Makes a move of one host.
    pub(crate) fn make(&self, state: &mut State<P>, host: u8, partition: u8, made: Move) {
        let (world, step) = (&self.0, self.lane(state, host, partition));
        let Some(changed) = state.partitions.get_mut(usize::from(partition)) else { return };
        let after = match (step, made) {
            (Step::Absent, Move::Assigned) => Step::Assigned,
            (Step::Absent | Step::Assigned, _) => Step::Raised { epoch: changed.store.take_over(world.rule) },
            (Step::Working(lane), made) => working::after(world, changed, lane, made),
            (step, made) => take_over::after(world, changed, step, made),
        };
        let left = &mut state.left;
        match made {
            Move::CommitTransactionUnanswered | Move::CommitUnanswered(_) => left.lost_answers -= 1,
            Move::Leave => left.leaves -= 1,
            _ => {}
        }
        let after = match after {
            // Without a group's word, a host that let go may believe at once that it owns the partition again.
            Step::Fenced | Step::LeftOut if !self.grouped() => Step::Absent,
            after => after,
        };
        if let Some(lane) = lane_of(state, host, partition) {
            *lane = after;
        }
    }

    /// What happens around the hosts.
    fn disturbances(&self, state: &State<P>, actions: &mut Vec<Action>) {
        let left = state.left;
        for (host, lanes) in (0..).zip(&state.hosts) {
            let is = |wanted: fn(&Step) -> bool| lanes.iter().any(wanted);
            if left.crashes > 0 && is(|step| !matches!(step, Step::Absent | Step::Halted)) {
                actions.push(Action::Crash(host));
            }
            // Events of a source come one at a time: while a take-over lasts, no other is worked on.
            let free =
                !is(|step| !matches!(step, Step::Absent | Step::Working(_) | Step::Fenced | Step::LeftOut));
            if state.expelled.get(usize::from(host)) == Some(&true) {
                if free {
                    actions.push(Action::Lost(host));
                }
            } else if left.expulsions > 0 && is(|step| *step != Step::Absent) {
                actions.push(Action::Expel(host));
            }
            let fenced = is(|step| *step == Step::Fenced)
                || (self.0.rule != Rule::LeftOut && is(|step| *step == Step::LeftOut));
            if free && fenced {
                actions.push(Action::Rejoin(host));
            }
        }
        for (partition, seen) in (0..).zip(&state.partitions) {
            if left.timeouts > 0 && seen.log.open.is_some() {
                actions.push(Action::TransactionTimeout(partition));
            }
            if left.vanishes > 0 && seen.log.group.is_some() {
                actions.push(Action::GroupOffsetVanishes(partition));
            }
            let owner = state.owners.get(usize::from(partition)).copied().unwrap_or_default();
            let expelled = state.expelled.get(usize::from(owner)) == Some(&true);
            if left.revokes > 0 && !expelled && matches!(self.lane(state, owner, partition), Step::Working(_))
            {
                actions.push(Action::Revoke(partition));
            }
        }
    }

    /// Whether, if the group's offset vanishes now, nobody can know what was published: unless all hosts have left in
    /// order, with everything out.
    fn unknowable(&self, state: &State<P>, partition: u8) -> bool {
        let seen = Self::partition(state, partition);
        let all_left = (0..HOSTS as u8).all(|host| self.lane(state, host, partition) == Step::Absent);
        let out = seen.log.group.is_some_and(|group| group.batch == seen.store.batch);
        !all_left || !out || state.left.crashes < self.0.crashes
    }

    /// All lanes of a host end.
    fn end_lanes(state: &mut State<P>, host: u8) {
        if let Some(lanes) = state.hosts.get_mut(usize::from(host)) {
            let halted = |step: &Step| *step == Step::Halted;
            lanes.iter_mut().filter(|step| !halted(step)).for_each(|step| *step = Step::Absent);
        }
        if let Some(expelled) = state.expelled.get_mut(usize::from(host)) {
            *expelled = false;
        }
    }

    /// A disturbance happens.
    fn disturb(&self, state: &mut State<P>, action: Action) {
        match action {
            Action::Host { host, partition, made } => self.make(state, host, partition, made),
            Action::Crash(host) => {
                state.left.crashes -= 1;
                Self::end_lanes(state, host);
            }
            Action::Lost(host) | Action::Rejoin(host) => Self::end_lanes(state, host),
            Action::TransactionTimeout(partition) => {
                state.left.timeouts -= 1;
                if let Some(seen) = state.partitions.get_mut(usize::from(partition)) {
                    seen.log.end_by_broker();
                }
            }
            Action::GroupOffsetVanishes(partition) => {
                state.left.vanishes -= 1;
                let unknowable = self.unknowable(state, partition);
                if let Some(seen) = state.partitions.get_mut(usize::from(partition)) {
                    seen.log.group = None;
                    seen.may_halt |= unknowable;
                }
            }
            Action::Expel(host) => {
                state.left.expulsions -= 1;
                let theirs = state.owners.iter_mut().filter(|owner| **owner == host);
                theirs.for_each(|owner| *owner = 1 - host);
                if let Some(expelled) = state.expelled.get_mut(usize::from(host)) {
                    *expelled = true;
                }
            }
            Action::Revoke(partition) => {
                state.left.revokes -= 1;
                let Some(owner) = state.owners.get_mut(usize::from(partition)) else { return };
                let host = *owner;
                *owner = 1 - host;
                if let Some(lane) = lane_of(state, host, partition) {
                    *lane = Step::Absent;
                }
            }
        }
    }
}

fn lane_of<const P: usize>(state: &mut State<P>, host: u8, partition: u8) -> Option<&mut Step> {
    state.hosts.get_mut(usize::from(host))?.get_mut(usize::from(partition))
}

impl<const P: usize> Model for Commit<P> {
    type State = State<P>;
    type Action = Action;

    fn init_states(&self) -> Vec<State<P>> {
        let world = &self.0;
        vec![State {
            partitions: [Partition::default(); P],
            hosts: [[Step::Absent; P]; HOSTS],
            owners: [0; P],
            expelled: [false; HOSTS],
            left: Left {
                crashes: world.crashes,
                lost_answers: world.lost_answers,
                timeouts: world.timeouts,
                vanishes: world.vanishes,
                leaves: world.leaves,
                expulsions: world.expulsions.unwrap_or_default(),
                revokes: world.revokes,
            },
        }]
    }

    fn actions(&self, state: &State<P>, actions: &mut Vec<Action>) {
        let mut moves = Vec::new();
        for host in 0..HOSTS as u8 {
            for partition in 0..P as u8 {
                self.moves(state, host, partition, &mut moves);
                actions.extend(moves.drain(..).map(|made| Action::Host { host, partition, made }));
            }
        }
        self.disturbances(state, actions);
    }

    fn next_state(&self, last: &State<P>, action: Action) -> Option<State<P>> {
        let mut state = last.clone();
        self.disturb(&mut state, action);
        if self.0.rule == Rule::None && !self.grouped() {
            // One host is as good as the other: of two states that differ in their names only, one is enough.
            state.hosts.sort_unstable();
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.must()
    }

    fn within_boundary(&self, state: &State<P>) -> bool {
        state.partitions.iter().all(|Partition { store, log, .. }| {
            store.epoch <= self.0.epoch_max
                && log.producer <= self.0.opens_max
                && usize::from(store.batch) < BATCHES
        })
    }
}
