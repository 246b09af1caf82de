//! Turns the events of a shop into a star schema (README.md): six types of events into dimensions and facts by natural keys,
//! in whatever order they come.

mod calendar;
mod events;
mod rows;

use calendar::Day;
use events::{Event, Sent};
use gristmill_sdk::{Config, Failure, Keyed, Keys, Out, Plan, Record, Transform};
use rows::{Activity, Cart, Detail, Payment, Sale};

/// The transform.
pub struct StoreEvents {
    carts: Keyed<Cart>,
    sales: Keyed<Sale>,
    payments: Keyed<Payment>,
}

impl Transform for StoreEvents {
    const ABOUT: &'static str =
        "Turns carts, sales and payments into dimensions and facts, in whatever order their events come.";
    type Config = Config;

    fn configure(_: Config, plan: &mut Plan) -> Result<Self, String> {
        plan.table::<Day>();
        plan.table::<Activity>();
        plan.table::<Detail>();
        Ok(Self { carts: plan.keyed("carts"), sales: plan.keyed("sales"), payments: plan.keyed("payments") })
    }

    fn lookups(&self, record: &Record<'_>, keys: &mut Keys<'_>) -> Result<(), Failure> {
        match Sent::of(record)?.event {
            Event::CreateCart { cart_id, .. } | Event::AddToCart { cart_id, .. } => {
                keys.ask_row(&self.carts, &[&cart_id]);
            }
            Event::Sales { sale_id, .. } | Event::OrderDetails { sale_id, .. } => {
                keys.ask_row(&self.sales, &[&sale_id]);
            }
            Event::MakePayment { sale_id, transaction_id, .. } => {
                keys.ask_row(&self.sales, &[&sale_id]);
                keys.ask_row(&self.payments, &[&transaction_id]);
            }
            Event::SuccessSale { sale_id, transaction_id, cart_id } => {
                keys.ask_row(&self.sales, &[&sale_id]);
                keys.ask_row(&self.payments, &[&transaction_id]);
                if let Some(cart_id) = cart_id {
                    keys.ask_row(&self.carts, &[&cart_id]);
                }
            }
        }
        Ok(())
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let Sent { id, at, event } = Sent::of(record)?;
        let day = Day::of(at);
        match event {
            Event::CreateCart { user_id, cart_id } => {
                if out.get(&self.carts, &[&cart_id]).is_none() {
                    let cart =
                        Cart { cart_id, customer_id: user_id, sale_id: None, created_at: at, sold: false };
                    out.put(&self.carts, &[&cart_id], cart);
                }
            }
            Event::AddToCart { cart_id, product_id, quantity } => {
                self.cart(out, cart_id)?;
                let (event_id, date_added) = (id, day.date_id);
                out.row(&Activity { event_id, cart_id, product_id, quantity, date_added });
                out.row(&day);
            }
            Event::Sales { sale_id, customer_id, cart_id, total_amount } => {
                if out.get(&self.sales, &[&sale_id]).is_none() {
                    out.put(
                        &self.sales,
                        &[&sale_id],
                        Sale {
                            sale_id,
                            total_amount,
                            order_status: "Pending".into(),
                            order_date_id: day.date_id,
                            customer_id,
                            cart_id,
                            payment_id: None,
                            settled: false,
                        },
                    );
                    out.row(&day);
                }
            }
            Event::MakePayment { sale_id, payment_method, payment_status, transaction_id } => {
                let sale = self.sale(out, sale_id)?;
                if out.get(&self.payments, &[&transaction_id]).is_none() {
                    let payment = Payment {
                        transaction_id: transaction_id.clone(),
                        sale_id,
                        payment_date_id: day.date_id,
                        payment_method,
                        payment_status: payment_status.name().into(),
                        settled: payment_status.is_final(),
                    };
                    out.put(&self.payments, &[&transaction_id], payment);
                    out.row(&day);
                }
                if payment_status.failed() && !sale.settled {
                    out.put(&self.sales, &[&sale_id], sale.ended("Canceled", transaction_id));
                }
            }
            Event::SuccessSale { sale_id, transaction_id, cart_id } => {
                let sale = self.sale(out, sale_id)?;
                let payment = out.get(&self.payments, &[&transaction_id]);
                let payment =
                    payment.ok_or_else(|| missing("payment", &transaction_id, "/transaction_id"))?;
                if let Some(cart_id) = cart_id {
                    let cart = self.cart(out, cart_id)?;
                    out.put(&self.carts, &[&cart_id], Cart { sale_id: Some(sale_id), sold: true, ..cart });
                }
                if !payment.settled {
                    let paid = Payment { payment_status: "Paid".into(), settled: true, ..payment };
                    out.put(&self.payments, &[&transaction_id], paid);
                }
                if !sale.settled {
                    out.put(&self.sales, &[&sale_id], sale.ended("Completed", transaction_id));
                }
            }
            Event::OrderDetails { sale_id, product_id, quantity, total_price } => {
                self.sale(out, sale_id)?;
                out.row(&Detail { event_id: id, sale_id, product_id, quantity, total_price });
            }
        }
        Ok(())
    }
}

impl StoreEvents {
    /// The sale that an event belongs to. It may come later.
    fn sale(&self, out: &mut Out<'_, '_>, sale_id: i32) -> Result<Sale, Failure> {
        out.get(&self.sales, &[&sale_id]).ok_or_else(|| missing("sale", &sale_id.to_string(), "/sale_id"))
    }

    fn cart(&self, out: &mut Out<'_, '_>, cart_id: i32) -> Result<Cart, Failure> {
        out.get(&self.carts, &[&cart_id]).ok_or_else(|| missing("cart", &cart_id.to_string(), "/cart_id"))
    }
}

#[cold]
fn missing(what: &'static str, id: &str, pointer: &str) -> Failure {
    Failure::retry(format!("no-{what}"), format!("there is no {what} {id} yet")).at(pointer)
}

gristmill_sdk::export!(StoreEvents, lookups);
