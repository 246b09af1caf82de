//! The model of mail: committed with the rows of its record, leased by a relay, handed to a server, settled.
//! `host/src/mail/relay.rs` and `host/src/store/mails.rs`.
//!
//! | action | what it stands for |
//! |---|---|
//! | [`Action::Commit`] | `Store::commit` of the batch that causes the mail: the row and the pending mail at once |
//! | [`Action::LeaseMails`] | `Relay::lease`, `Store::lease_mails` |
//! | [`Action::Send`] | `Transport::send` in `Relay::deliver`, and how it ended |
//! | [`Action::SettleMail`] | `Store::settle_mail`, and whether its answer came |
//! | [`Action::SettleGivenUp`] | `SETTLE_ATTEMPTS_MAX` attempts to settle, none of which arrived |
//! | [`Action::LeaseRunsOut`] | `settings.lease_ms` later |
//! | [`Action::Crash`] | a host dies with what it had under way, and begins anew |
//!
//! There is no clock: a lease may run out at any time, a delay between two attempts has no length.

mod nouns;

pub use nouns::{Answer, Attempt, Delivery, MAILS, Mail, MailRule, MailState, MailWorld, MailsState};

use crate::tally::Tally;
use crate::world::HOSTS;
use stateright::{Model, Property};

/// Attempts before a mail is given up (`PendingMail::attempts_max`).
const ATTEMPTS_MAX: u8 = 3;

const CRASHES: usize = 0;
const LOST: usize = 1;
const SLOW: usize = 2;
const REFUSALS: usize = 3;
const REJECTIONS: usize = 4;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A batch is committed that causes this mail.
    Commit(u8),
    /// A relay takes all mails that are due.
    LeaseMails(u8),
    /// A relay hands a mail to the server.
    Send(u8, u8, Attempt),
    /// A relay writes down how it ended; whether the answer comes.
    SettleMail(u8, u8, bool),
    /// A relay gives up writing it down.
    SettleGivenUp(u8, u8),
    /// A mail is due again.
    LeaseRunsOut(u8),
    /// A host dies.
    Crash(u8),
}

/// Mail, in a bounded world.
#[derive(Clone, Copy, Debug)]
pub struct Mails(pub MailWorld);

impl Mails {
    fn delivery(state: &MailsState, host: u8, mail: u8) -> Delivery {
        let relay = state.relays.get(usize::from(host));
        relay.and_then(|relay| relay.get(usize::from(mail))).copied().unwrap_or_default()
    }

    fn set(state: &mut MailsState, host: u8, mail: u8, delivery: Delivery) {
        let relay = state.relays.get_mut(usize::from(host));
        if let Some(place) = relay.and_then(|relay| relay.get_mut(usize::from(mail))) {
            *place = delivery;
        }
    }

    fn left(state: &MailsState, what: usize) -> bool {
        state.left.get(what).is_some_and(|left| *left > 0)
    }

    fn spend(state: &mut MailsState, what: usize) {
        if let Some(left) = state.left.get_mut(what) {
            *left -= 1;
        }
    }

    fn budget(&self) -> [u8; 5] {
        let MailWorld { crashes, lost_answers, slow, refusals, rejections, .. } = self.0;
        [crashes, lost_answers, slow, refusals, rejections]
    }

    /// Those that a relay takes now.
    fn due(&self, state: &MailsState, host: u8) -> impl Iterator<Item = u8> {
        let (state, early) = (*state, self.0.rule == MailRule::SendBeforeCommit);
        let due =
            move |mail: &Mail| mail.state == MailState::Pending || (early && mail.state == MailState::Absent);
        let mails = (0..).zip(state.mails).take(usize::from(self.0.mails));
        mails
            .filter(move |(_, mail)| due(mail) && !mail.leased)
            .map(|(place, _)| place)
            .filter(move |place| Self::delivery(&state, host, *place) == Delivery::Idle)
    }

    fn send(&self, state: &mut MailsState, host: u8, place: u8, attempt: Attempt) {
        let Delivery::Leased(attempts) = Self::delivery(state, host, place) else { return };
        let last = attempts + 1 >= ATTEMPTS_MAX;
        let again = if last { Answer::Failed } else { Answer::Again };
        let (spent, answer) = match attempt {
            Attempt::Taken => (None, Answer::Sent),
            Attempt::TakenUnanswered => (Some(LOST), again),
            Attempt::Refused => (Some(REFUSALS), again),
            Attempt::Rejected => (Some(REJECTIONS), Answer::Failed),
        };
        if let Some(spent) = spent {
            Self::spend(state, spent);
        }
        let taken = matches!(attempt, Attempt::Taken | Attempt::TakenUnanswered);
        if taken {
            state.mailbox.add(place);
        }
        if let Some(mail) = state.mails.get_mut(usize::from(place)) {
            mail.tried = (mail.tried + 1).min(3);
            mail.rejected |= attempt == Attempt::Rejected;
            let new = self.0.rule == MailRule::IdPerAttempt || mail.ids == 0;
            mail.ids = (mail.ids + u8::from(taken && new)).min(3);
        }
        let settled_before = self.0.rule == MailRule::SettleBeforeSend;
        let after = if settled_before { Delivery::Idle } else { Delivery::Answered(attempts, answer) };
        Self::set(state, host, place, after);
    }

    fn settle(&self, state: &mut MailsState, place: u8, attempts: u8, answer: Answer) {
        let Some(mail) = state.mails.get_mut(usize::from(place)) else { return };
        let counted = mail.attempts != attempts && self.0.rule != MailRule::CountsTwice;
        if mail.state != MailState::Pending || (counted && answer != Answer::Sent) {
            return;
        }
        mail.attempts = (mail.attempts + 1).min(3);
        mail.leased = false;
        mail.state = match answer {
            Answer::Sent => MailState::Sent,
            Answer::Again => MailState::Pending,
            Answer::Failed => MailState::Failed,
        };
    }

    fn under_way(state: &MailsState, place: u8) -> bool {
        (0..HOSTS as u8).any(|host| Self::delivery(state, host, place) != Delivery::Idle)
    }

    /// A mail that was given up had its attempts, or a server refused it for good.
    fn given_up_with_cause(mail: &Mail) -> bool {
        mail.state != MailState::Failed || mail.rejected || mail.tried >= ATTEMPTS_MAX
    }
}

impl Model for Mails {
    type State = MailsState;
    type Action = Action;

    fn init_states(&self) -> Vec<MailsState> {
        vec![MailsState {
            mails: Default::default(),
            relays: Default::default(),
            mailbox: Tally::default(),
            left: self.budget(),
        }]
    }

    fn actions(&self, state: &MailsState, actions: &mut Vec<Action>) {
        let lost = Self::left(state, LOST);
        for (place, mail) in (0..).zip(&state.mails).take(usize::from(self.0.mails)) {
            if mail.state == MailState::Absent {
                actions.push(Action::Commit(place));
            }
            // A relay that is at it is in time, unless it is slow.
            if mail.leased && (!Self::under_way(state, place) || Self::left(state, SLOW)) {
                actions.push(Action::LeaseRunsOut(place));
            }
        }
        for host in 0..HOSTS as u8 {
            if self.due(state, host).next().is_some() {
                actions.push(Action::LeaseMails(host));
            }
            let busy = |place: &u8| Self::delivery(state, host, *place) != Delivery::Idle;
            if Self::left(state, CRASHES) && (0..self.0.mails).any(|place| busy(&place)) {
                actions.push(Action::Crash(host));
            }
            for place in 0..self.0.mails {
                match Self::delivery(state, host, place) {
                    Delivery::Idle => {}
                    Delivery::Leased(_) => {
                        actions.push(Action::Send(host, place, Attempt::Taken));
                        for (budget, attempt) in [
                            (LOST, Attempt::TakenUnanswered),
                            (REFUSALS, Attempt::Refused),
                            (REJECTIONS, Attempt::Rejected),
                        ] {
                            if Self::left(state, budget) {
                                actions.push(Action::Send(host, place, attempt));
                            }
                        }
                    }
                    Delivery::Answered(..) => {
                        actions.push(Action::SettleMail(host, place, true));
                        if lost {
                            actions.push(Action::SettleMail(host, place, false));
                            actions.push(Action::SettleGivenUp(host, place));
                        }
                    }
                }
            }
        }
    }

    fn next_state(&self, last: &MailsState, action: Action) -> Option<MailsState> {
        let mut state = *last;
        match action {
            Action::Commit(place) => {
                let mail = state.mails.get_mut(usize::from(place))?;
                mail.state = MailState::Pending;
            }
            Action::LeaseMails(host) => {
                for place in self.due(last, host) {
                    let mail = state.mails.get_mut(usize::from(place))?;
                    mail.leased = self.0.rule != MailRule::NoLease;
                    let attempts = mail.attempts;
                    if self.0.rule == MailRule::SettleBeforeSend {
                        self.settle(&mut state, place, attempts, Answer::Sent);
                    }
                    Self::set(&mut state, host, place, Delivery::Leased(attempts));
                }
            }
            Action::Send(host, place, attempt) => self.send(&mut state, host, place, attempt),
            Action::SettleMail(host, place, answered) => {
                let Delivery::Answered(attempts, answer) = Self::delivery(last, host, place) else {
                    return None;
                };
                self.settle(&mut state, place, attempts, answer);
                if answered {
                    Self::set(&mut state, host, place, Delivery::Idle);
                } else {
                    Self::spend(&mut state, LOST);
                }
            }
            Action::SettleGivenUp(host, place) => {
                Self::spend(&mut state, LOST);
                Self::set(&mut state, host, place, Delivery::Idle);
            }
            Action::LeaseRunsOut(place) => {
                if Self::under_way(last, place) {
                    Self::spend(&mut state, SLOW);
                }
                state.mails.get_mut(usize::from(place))?.leased = false;
            }
            Action::Crash(host) => {
                Self::spend(&mut state, CRASHES);
                *state.relays.get_mut(usize::from(host))? = Default::default();
            }
        }
        if self.0.rule == MailRule::None {
            state.relays.sort_unstable();
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no mail before its row", |_, state: &MailsState| {
                let out = |place| state.mailbox.of(place) > 0;
                (0..).zip(&state.mails).all(|(place, mail)| mail.state != MailState::Absent || !out(place))
            }),
            Property::always("every copy has the same Message-ID", |_, state: &MailsState| {
                state.mails.iter().all(|mail| mail.ids <= 1)
            }),
            Property::always("no second copy without a cause", |model, state: &MailsState| {
                state.left != model.budget() || (0..MAILS as u8).all(|place| state.mailbox.of(place) <= 1)
            }),
            Property::always("what is called sent was sent", |_, state: &MailsState| {
                let sent = |place| state.mailbox.of(place) > 0;
                (0..).zip(&state.mails).all(|(place, mail)| mail.state != MailState::Sent || sent(place))
            }),
            Property::always("no mail is given up without a cause", |_, state: &MailsState| {
                state.mails.iter().all(Self::given_up_with_cause)
            }),
            Property::always("where nothing can happen, all is done", |model, state: &MailsState| {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                let done = |(place, mail): (u8, &Mail)| match mail.state {
                    MailState::Sent => state.mailbox.of(place) > 0,
                    state => state == MailState::Failed,
                };
                let mails = (0..).zip(&state.mails).take(usize::from(model.0.mails));
                !actions.is_empty() || mails.into_iter().all(done)
            }),
            Property::sometimes("all is done", |model, state: &MailsState| {
                let mails = state.mails.iter().take(usize::from(model.0.mails));
                mails.into_iter().all(|mail| mail.state == MailState::Sent)
            }),
        ]
    }
}
