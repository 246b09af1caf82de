//! The tables. What is settled (sold, paid, canceled) is never unsettled: those tables are `newest-wins` by that column.

use gristmill_sdk::{Cell, Kind, Place, Row, Timestamp};
use serde::Deserialize;

/// An amount of money, to the cent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Money(pub String);

impl Cell for Money {
    const KIND: Kind = Kind::Decimal;

    fn write(&self, place: Place<'_>) {
        place.decimal(&self.0);
    }
}

#[derive(Clone, Row, Deserialize)]
#[row(table = "dim_cart")]
pub struct Cart {
    pub cart_id: i32,
    pub customer_id: i32,
    /// The sale that it became.
    pub sale_id: Option<i32>,
    pub created_at: Timestamp,
    pub sold: bool,
}

#[derive(Clone, Row, Deserialize)]
#[row(table = "fact_sales")]
pub struct Sale {
    pub sale_id: i32,
    pub total_amount: Money,
    pub order_status: String,
    pub order_date_id: i32,
    pub customer_id: i32,
    pub cart_id: Option<i32>,
    /// The payment that ended it.
    pub payment_id: Option<String>,
    pub settled: bool,
}

impl Sale {
    /// The same, ended by a payment.
    pub fn ended(self, order_status: &str, payment_id: String) -> Self {
        Self { order_status: order_status.to_owned(), payment_id: Some(payment_id), settled: true, ..self }
    }
}

#[derive(Clone, Row, Deserialize)]
#[row(table = "fact_payments")]
pub struct Payment {
    pub transaction_id: String,
    pub sale_id: i32,
    pub payment_date_id: i32,
    pub payment_method: String,
    pub payment_status: String,
    pub settled: bool,
}

#[derive(Row)]
#[row(table = "fact_order_details")]
pub struct Detail {
    pub event_id: String,
    pub sale_id: i32,
    pub product_id: i32,
    pub quantity: i32,
    pub total_price: Money,
}

#[derive(Row)]
#[row(table = "fact_cart_activity")]
pub struct Activity {
    pub event_id: String,
    pub cart_id: i32,
    pub product_id: i32,
    pub quantity: i32,
    pub date_added: i32,
}
