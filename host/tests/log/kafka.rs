//! Apache Kafka.

use super::bench::Bench;
use super::checks;
use gristmill::log::Log;
use gristmill::log::kafka::{KafkaLog, KafkaSettings};
use std::sync::Arc;

#[test]
fn kafka_passes_all_checks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let url = crate::city::server("GRISTMILL_TEST_LOG");
    let bootstrap = url.strip_prefix("kafka://").unwrap().to_owned();
    let log: Arc<dyn Log> =
        Arc::new(KafkaLog::new(KafkaSettings { bootstrap, session_timeout_ms: 6_000 }).unwrap());
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    checks::run(&Bench::new(log, runtime.handle().clone(), &format!("check{}", nanos % 1_000_000_000)));
}
