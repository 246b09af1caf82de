//! The six types of events, as they come in.

use crate::rows::Money;
use gristmill_sdk::{Decimal, Failure, Faults, Record, Timestamp};
use serde::Deserialize;
use std::borrow::Cow;

/// What every event has, and what happened.
pub struct Sent {
    /// Its own, or made from where the record stands.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    pub event: Event,
}

pub enum Event {
    CreateCart {
        user_id: i32,
        cart_id: i32,
    },
    AddToCart {
        cart_id: i32,
        product_id: i32,
        quantity: i32,
    },
    Sales {
        sale_id: i32,
        customer_id: i32,
        cart_id: Option<i32>,
        total_amount: Money,
    },
    MakePayment {
        sale_id: i32,
        payment_method: String,
        payment_status: PaymentStatus,
        transaction_id: String,
    },
    SuccessSale {
        sale_id: i32,
        transaction_id: String,
        cart_id: Option<i32>,
    },
    OrderDetails {
        sale_id: i32,
        product_id: i32,
        quantity: i32,
        total_price: Money,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum PaymentStatus {
    Pending,
    Paid,
    Failed,
}

impl PaymentStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Paid => "Paid",
            Self::Failed => "Failed",
        }
    }

    pub fn is_final(self) -> bool {
        self != Self::Pending
    }

    pub fn failed(self) -> bool {
        self == Self::Failed
    }
}

/// What tells an event's type, and when it was.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    timestamp: Timestamp,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct CreateCart {
    user_id: i32,
    cart_id: i32,
}

#[derive(Deserialize)]
struct AddToCart {
    cart_id: i32,
    product_id: i32,
    quantity: i32,
}

#[derive(Deserialize)]
struct Sales<'a> {
    sale_id: i32,
    customer_id: i32,
    cart_id: Option<i32>,
    #[serde(borrow)]
    total_amount: Cow<'a, str>,
}

#[derive(Deserialize)]
struct MakePayment<'a> {
    sale_id: i32,
    #[serde(borrow)]
    payment_method: Cow<'a, str>,
    payment_status: PaymentStatus,
    #[serde(borrow)]
    transaction_id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct SuccessSale<'a> {
    sale_id: i32,
    #[serde(borrow)]
    transaction_id: Cow<'a, str>,
    cart_id: Option<i32>,
}

#[derive(Deserialize)]
struct OrderDetails<'a> {
    sale_id: i32,
    product_id: i32,
    quantity: i32,
    #[serde(borrow)]
    total_price: Cow<'a, str>,
}

/// The dearest thing, in digits before the point: `numeric(10,2)`.
const WHOLE_DIGITS_MAX: usize = 8;

impl Sent {
    /// Reads a record; all that is wrong with it is told.
    pub fn of(record: &Record<'_>) -> Result<Self, Failure> {
        let head: Head = record.json()?;
        let mut faults = Faults::default();
        let event = match &*head.kind {
            "CREATE_CART" => {
                let CreateCart { user_id, cart_id } = record.json()?;
                Event::CreateCart { user_id, cart_id }
            }
            "ADD_TO_CART" => {
                let AddToCart { cart_id, product_id, quantity } = record.json()?;
                Event::AddToCart { cart_id, product_id, quantity: some(quantity, &mut faults) }
            }
            "SALES" => {
                let sales: Sales = record.json()?;
                let total_amount = money(&sales.total_amount, "/total_amount", &mut faults);
                let Sales { sale_id, customer_id, cart_id, .. } = sales;
                Event::Sales { sale_id, customer_id, cart_id, total_amount }
            }
            "MAKE_PAYMENT" => {
                let payment: MakePayment = record.json()?;
                if !matches!(&*payment.payment_method, "Credit Card" | "E-Wallet") {
                    let failure = Failure::reject("bad-method", "Credit Card or E-Wallet");
                    faults.add(failure.at("/payment_method"));
                }
                Event::MakePayment {
                    sale_id: payment.sale_id,
                    payment_method: payment.payment_method.into_owned(),
                    payment_status: payment.payment_status,
                    transaction_id: transaction(payment.transaction_id, &mut faults),
                }
            }
            "SUCCESS_SALE" => {
                let SuccessSale { sale_id, transaction_id, cart_id } = record.json()?;
                Event::SuccessSale {
                    sale_id,
                    transaction_id: transaction(transaction_id, &mut faults),
                    cart_id,
                }
            }
            "ORDER_DETAILS" => {
                let details: OrderDetails = record.json()?;
                let total_price = money(&details.total_price, "/total_price", &mut faults);
                let OrderDetails { sale_id, product_id, quantity, .. } = details;
                Event::OrderDetails {
                    sale_id,
                    product_id,
                    quantity: some(quantity, &mut faults),
                    total_price,
                }
            }
            other => {
                let known = "CREATE_CART, ADD_TO_CART, SALES, MAKE_PAYMENT, SUCCESS_SALE or ORDER_DETAILS";
                let other: String = other.chars().take(50).collect();
                return Err(
                    Failure::reject("unknown-event", format!("`{other}` is none: {known}")).at("/type")
                );
            }
        };
        faults.check()?;
        let made = || format!("{}-{}-{}", record.topic(), record.partition(), record.offset());
        Ok(Self { id: head.id.map_or_else(made, Cow::into_owned), at: head.timestamp, event })
    }
}

fn some(quantity: i32, faults: &mut Faults) -> i32 {
    if quantity < 1 {
        faults.add(Failure::reject("bad-quantity", "at least 1").at("/quantity"));
    }
    quantity
}

fn money(text: &str, pointer: &str, faults: &mut Faults) -> Money {
    let fits = |text: &str| {
        let (whole, cents) = text.split_once('.').unwrap_or((text, ""));
        whole.len() <= WHOLE_DIGITS_MAX
            && cents.len() <= 2
            && !text.starts_with('-')
            && !text.contains(['e', 'E'])
    };
    if Decimal::parse(text).is_none() || !fits(text) {
        let reason = "an amount from 0 to 99999999.99, to the cent, as text";
        faults.add(Failure::reject("bad-amount", reason).at(pointer));
    }
    Money(text.to_owned())
}

fn transaction(id: Cow<'_, str>, faults: &mut Faults) -> String {
    if id.is_empty() || id.len() > 100 {
        faults.add(Failure::reject("bad-transaction", "1 to 100 characters").at("/transaction_id"));
    }
    id.into_owned()
}
