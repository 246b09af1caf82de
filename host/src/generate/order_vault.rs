//! Orders of food, in the shape and with the distributions of the system that `examples/order-vault` replaces: 100 users,
//! 10 restaurants with 5 to 15 dishes in 5 categories; an order has 1 to 3 dishes, 1 to 5 of each.

use super::{Made, instant};
use fastrand::Rng;
use serde_json::{Value, json};

/// What users and restaurants come from: orders of any seed refer to the same ones.
const REFERENCE_SEED: u64 = 1;
const USERS: usize = 100;
const RESTAURANTS: usize = 10;
const CATEGORIES: [&str; 5] = ["Закуски", "Супы", "Основные блюда", "Гарниры", "Напитки"];
const FIRST_NAMES: [&str; 10] =
    ["Анна", "Борис", "Вера", "Глеб", "Дина", "Егор", "Жанна", "Захар", "Ирина", "Карл"];
const LAST_NAMES: [&str; 10] =
    ["Мельник", "Жернов", "Зерно", "Колос", "Поле", "Мост", "Река", "Камень", "Ветер", "Снег"];
const DISHES: [&str; 12] =
    ["суп", "салат", "рагу", "пирог", "каша", "омлет", "плов", "компот", "чай", "хлеб", "рыба", "сыр"];
const OF: [&str; 10] = ["дня", "дома", "лета", "мельника", "повара", "утра", "леса", "моря", "гор", "поля"];
/// Order numbers have up to 7 digits.
const ORDERS: u64 = 10_000_000;
/// No divisor of it but 1 divides [`ORDERS`]: steps of it meet no number twice before all are used.
const STRIDE: u64 = 7_368_787;

struct Dish {
    id: String,
    name: String,
    price: u64,
    category: &'static str,
}

struct Restaurant {
    id: String,
    name: String,
    menu: Vec<Dish>,
}

struct User {
    id: String,
    name: String,
    login: String,
}

struct World {
    users: Vec<User>,
    restaurants: Vec<Restaurant>,
}

/// 24 hexadecimal digits.
fn id(rng: &mut Rng) -> String {
    format!("{:024x}", rng.u128(..) >> 32)
}

fn pick<'a, T>(rng: &mut Rng, all: &'a [T]) -> Option<&'a T> {
    all.get(rng.usize(..all.len().max(1)))
}

fn word(rng: &mut Rng, all: &[&'static str]) -> &'static str {
    pick(rng, all).copied().unwrap_or_default()
}

impl World {
    fn new() -> Self {
        let mut rng = Rng::with_seed(REFERENCE_SEED);
        let users = (0..USERS).map(|n| User {
            id: id(&mut rng),
            name: format!("{} {}", word(&mut rng, &FIRST_NAMES), word(&mut rng, &LAST_NAMES)),
            login: format!("user{n:02}"),
        });
        let users = users.collect();
        let restaurants = (0..RESTAURANTS).map(|n| Restaurant {
            id: id(&mut rng),
            name: format!("Столовая №{}", n + 1),
            menu: (0..rng.usize(5..=15))
                .map(|_| Dish {
                    id: id(&mut rng),
                    name: format!("{} {}", word(&mut rng, &DISHES), word(&mut rng, &OF)),
                    price: rng.u64(100..=1_000),
                    category: word(&mut rng, &CATEGORIES),
                })
                .collect(),
        });
        Self { users, restaurants: restaurants.collect() }
    }
}

/// Users and restaurants by their ids, as the lookups of the example hold them.
pub(super) fn reference() -> Vec<Made> {
    const UPDATED: &str = "2026-01-01 00:00:00";
    let world = World::new();
    let users = world.users.iter().map(|user| {
        let value =
            json!({ "_id": user.id, "name": user.name, "login": user.login, "update_ts_utc": UPDATED });
        Made { key: user.id.clone(), value: value.to_string() }
    });
    let restaurants = world.restaurants.iter().map(|restaurant| {
        let dish = |dish: &Dish| {
            json!({ "_id": dish.id, "name": dish.name, "price": dish.price, "category": dish.category })
        };
        let menu: Vec<Value> = restaurant.menu.iter().map(dish).collect();
        let value = json!({
            "_id": restaurant.id, "name": restaurant.name, "menu": menu, "update_ts_utc": UPDATED,
        });
        Made { key: restaurant.id.clone(), value: value.to_string() }
    });
    users.chain(restaurants).collect()
}

/// The orders of a seed, keyed by their users.
pub struct Orders {
    world: World,
    seed: u64,
    at_ms: i64,
}

impl Orders {
    /// Those of a seed, as of a point in time (milliseconds since 1970-01-01 UTC).
    pub fn new(seed: u64, at_ms: i64) -> Self {
        Self { world: World::new(), seed, at_ms }
    }

    /// The order at a place; its number is no other place's, among the first ten million.
    pub fn nth(&self, place: u64) -> Made {
        let first = Rng::with_seed(self.seed).u64(..ORDERS);
        let number = (first + (place % ORDERS + 1) * STRIDE) % ORDERS;
        let mut rng = Rng::with_seed(self.seed.rotate_left(32) ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        order(&self.world, &mut rng, number, self.at_ms).unwrap_or_default()
    }
}

fn order(world: &World, rng: &mut Rng, number: u64, at_ms: i64) -> Option<Made> {
    let user = pick(rng, &world.users)?;
    let restaurant = pick(rng, &world.restaurants)?;
    let made = at_ms - 60_000 * rng.i64(10..=120);
    let mut dishes: Vec<&Dish> = restaurant.menu.iter().collect();
    rng.shuffle(&mut dishes);
    dishes.truncate(rng.usize(1..=3));
    let (mut items, mut cost) = (Vec::new(), 0);
    for dish in dishes {
        let quantity = rng.u64(1..=5);
        cost += dish.price * quantity;
        items.push(json!({
            "id": dish.id, "name": dish.name, "price": dish.price, "category": dish.category, "quantity": quantity,
        }));
    }
    let status = |(status, minutes): (&str, i64)| json!({ "status": status, "dttm": instant(made + 60_000 * minutes) });
    let statuses = [("OPEN", 5), ("COOKING", 20), ("DELIVERING", 40), ("CLOSED", 60)].map(status);
    let value = json!({
        "object_id": number,
        "object_type": "order",
        "sent_dttm": instant(at_ms),
        "payload": {
            "restaurant": { "id": restaurant.id },
            "date": instant(made),
            "user": { "id": user.id },
            "order_items": items,
            "bonus_payment": 0,
            "cost": cost,
            "payment": cost,
            "bonus_grant": 0,
            "statuses": statuses,
            "final_status": "CLOSED",
            "update_ts": instant(made + 3_600_000),
        },
    });
    Some(Made { key: user.id.clone(), value: value.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn orders_are_repeatable_distinct_and_refer_to_what_there_is() {
        let orders = Orders::new(7, 1_700_000_000_000);
        let some: Vec<Made> = (0..2_000).map(|place| orders.nth(place)).collect();
        assert_eq!(some[1_999], Orders::new(7, 1_700_000_000_000).nth(1_999));
        assert_ne!(some[0], Orders::new(8, 1_700_000_000_000).nth(0));
        let known: HashSet<String> = reference().into_iter().map(|made| made.key).collect();
        assert_eq!(known.len(), USERS + RESTAURANTS);
        let mut numbers = HashSet::new();
        for made in &some {
            let order: Value = serde_json::from_str(&made.value).unwrap();
            assert!(numbers.insert(order["object_id"].as_u64().unwrap()));
            assert!(known.contains(&made.key) && order["payload"]["user"]["id"] == made.key.as_str());
            assert!(known.contains(order["payload"]["restaurant"]["id"].as_str().unwrap()));
            let items = order["payload"]["order_items"].as_array().unwrap();
            assert!((1..=3).contains(&items.len()));
            let sum: u64 =
                items.iter().map(|i| i["price"].as_u64().unwrap() * i["quantity"].as_u64().unwrap()).sum();
            assert_eq!(order["payload"]["cost"], sum);
        }
    }
}
