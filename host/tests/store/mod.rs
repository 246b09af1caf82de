//! The same table of checks over both stores.

mod bench;
mod fences;
mod keeping;
mod modes;
mod refusals;
mod same;
mod tables;
mod world;

/// Makes two tests of each check, `sqlite::name` and `postgres::name`.
macro_rules! on_both {
    ($($check:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                crate::store::world::on_sqlite(super::$check).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                crate::store::world::on_postgres(super::$check).await;
            })*
        }
    };
}
use on_both;
