//! What happens when: a seed gives a list of faults, and nothing else decides about it. Fault number n of a seed is
//! the same in every run, so that a part of a run can be repeated by itself.

use std::fmt;

/// SplitMix64: ten lines, the same numbers everywhere.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `kill -9` at a random moment.
    Kill,
    /// `kill -9` at a named point.
    Point,
    /// SIGSTOP at a random moment, past the session's time-out, then SIGCONT.
    Zombie,
    /// The same at a named point.
    ZombiePoint,
    /// Hosts join or leave in good order.
    Rebalance,
    /// Connections between hosts and a server are cut.
    Cut,
    /// They stand still for a while.
    Stall,
    /// The SMTP server answers 4xx or 5xx, or hangs.
    Smtp,
    /// Kafka is killed and started again.
    Kafka,
    /// PostgreSQL is killed and started again.
    Postgres,
    /// The disk of the embedded set is full for a while.
    DiskFull,
}

impl Kind {
    pub const ALL: [Kind; 11] = [
        Kind::Kill,
        Kind::Point,
        Kind::Zombie,
        Kind::ZombiePoint,
        Kind::Rebalance,
        Kind::Cut,
        Kind::Stall,
        Kind::Smtp,
        Kind::Kafka,
        Kind::Postgres,
        Kind::DiskFull,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Point => "crash-point",
            Kind::Zombie => "zombie",
            Kind::ZombiePoint => "zombie-at-point",
            Kind::Rebalance => "rebalance",
            Kind::Cut => "cut",
            Kind::Stall => "stall",
            Kind::Smtp => "smtp",
            Kind::Kafka => "kafka-restart",
            Kind::Postgres => "postgres-restart",
            Kind::DiskFull => "disk-full",
        }
    }

    pub fn is_kill(self) -> bool {
        matches!(self, Kind::Kill | Kind::Point)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How often each kind comes, in thousandths.
pub const REAL: [(Kind, u64); 10] = [
    (Kind::Kill, 435),
    (Kind::Point, 250),
    (Kind::Zombie, 40),
    (Kind::ZombiePoint, 20),
    (Kind::Rebalance, 85),
    (Kind::Cut, 60),
    (Kind::Stall, 40),
    (Kind::Smtp, 40),
    (Kind::Kafka, 15),
    (Kind::Postgres, 15),
];

/// The same for the embedded set, which has one host and no server.
pub const EMBEDDED: [(Kind, u64); 3] = [(Kind::Kill, 480), (Kind::Point, 480), (Kind::DiskFull, 40)];

/// The points at which a host can die. At `publish.opening` it dies in its take-over.
pub const POINTS: [&str; 8] = [
    "store.advanced",
    "store.rows-written",
    "store.committed",
    "publish.opening",
    "publish.produced",
    "publish.offset-added",
    "publish.ended",
    "mail.sent",
];

/// Those at which one can fall asleep and wake up as a zombie.
const ZOMBIE_POINTS: [&str; 5] =
    ["store.beginning", "store.rows-written", "store.committed", "publish.produced", "publish.offset-added"];

/// One fault, with everything that is left to chance decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub number: usize,
    pub kind: Kind,
    /// How long the load runs undisturbed before it.
    pub wait_ms: u64,
    /// Whether to wait for every lane to be at work again afterwards, or to let the next fault come into the middle.
    pub settle: bool,
    /// Chooses a host, a server, a manner.
    pub pick: u64,
    /// How long it lasts, or how long a dead host stays away.
    pub last_ms: u64,
    pub point: &'static str,
    pub pass: u64,
    /// The pause at the point before dying there.
    pub pause_ms: u64,
}

/// In every stretch of so many faults each kind comes at least once.
pub const STRETCH: usize = 60;

/// Faults of the short run on the real set: at least 60 of them kill.
pub const SHORT_REAL: usize = 96;

/// The faults `from..from + count` of a seed.
pub fn faults(seed: u64, weights: &[(Kind, u64)], from: usize, count: usize) -> Vec<Fault> {
    let (first, last) = (from / STRETCH, (from + count).div_ceil(STRETCH));
    let all = (first..last).flat_map(|number| stretch(seed, weights, number));
    all.filter(|fault| (from..from + count).contains(&fault.number)).collect()
}

fn stretch(seed: u64, weights: &[(Kind, u64)], number: usize) -> Vec<Fault> {
    let mut rng = Rng(seed.wrapping_mul(0x1000_0001).wrapping_add(number as u64));
    let sum = weights.iter().map(|(_, weight)| weight).sum();
    let mut kinds: Vec<Kind> = (0..STRETCH)
        .map(|_| {
            let mut at = rng.below(sum);
            let drawn = weights.iter().find(|(_, weight)| {
                let found = at < *weight;
                at = at.saturating_sub(*weight);
                found
            });
            drawn.map_or(Kind::Kill, |(kind, _)| *kind)
        })
        .collect();
    // What did not come by chance takes the place of a kill, of which there are plenty.
    for (kind, _) in weights {
        while !kinds.contains(kind) {
            let place = rng.below(STRETCH as u64) as usize;
            if kinds[place] == weights[0].0 {
                kinds[place] = *kind;
            }
        }
    }
    kinds
        .into_iter()
        .enumerate()
        .map(|(place, kind)| fault(&mut rng, number * STRETCH + place, kind))
        .collect()
}

fn fault(rng: &mut Rng, number: usize, kind: Kind) -> Fault {
    let pick = rng.next() >> 8;
    let last_ms = match kind {
        Kind::Kill | Kind::Point => rng.between(0, 1_500),
        Kind::Zombie | Kind::ZombiePoint => rng.between(2_200, 4_500),
        Kind::Stall => rng.between(200, 4_000),
        Kind::Smtp => rng.between(1_000, 3_000),
        Kind::Kafka | Kind::Postgres => rng.between(0, 2_000),
        _ => rng.between(500, 2_500),
    };
    let points: &[&'static str] = if kind == Kind::ZombiePoint { &ZOMBIE_POINTS } else { &POINTS };
    let point = points[rng.below(points.len() as u64) as usize];
    let pause_ms = if rng.below(3) == 0 { rng.between(50, 400) } else { 0 };
    let wait_ms = rng.between(100, 900);
    let (settle, pass) = (rng.below(3) == 0, rng.between(1, 3));
    Fault { number, kind, wait_ms, settle, pick, last_ms, point, pass, pause_ms }
}

#[cfg(test)]
mod tests {
    #[allow(
        unused_imports,
        reason = "in the harness itself, which is no test of libtest's, nothing is left to use it"
    )]
    use super::*;

    #[test]
    fn a_seed_is_a_schedule() {
        let all = faults(7, &REAL, 0, 300);
        assert_eq!(all, faults(7, &REAL, 0, 300));
        assert_ne!(all, faults(8, &REAL, 0, 300));
        assert_eq!(all[70..95], faults(7, &REAL, 70, 25), "a part by itself is the same");
        assert_eq!(all.iter().map(|fault| fault.number).collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
    }

    #[test]
    fn each_stretch_has_every_kind() {
        for seed in 0..50 {
            for (kind, _) in REAL {
                assert!(faults(seed, &REAL, 0, STRETCH).iter().any(|fault| fault.kind == kind), "{kind}");
            }
            let kills =
                faults(seed, &REAL, 0, SHORT_REAL).iter().filter(|fault| fault.kind.is_kill()).count();
            assert!(kills >= 50 && (seed != 1 || kills >= 60), "seed {seed}: {kills}");
        }
    }
}
