//! Apache Kafka.

use super::bench::{Bench, bounds};
use super::checks;
use gristmill::log::kafka::{KafkaLog, KafkaSettings, Properties};
use gristmill::record::Batch;
use rdkafka::producer::{BaseProducer, Producer};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

fn bootstrap() -> String {
    crate::city::server("GRISTMILL_TEST_LOG").strip_prefix("kafka://").unwrap().to_owned()
}

/// The log, with names of this run's own.
fn bench(name: &str) -> (Runtime, Bench) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let settings = KafkaSettings {
        bootstrap: bootstrap(),
        session_timeout_ms: 6_000,
        properties: Properties::default(),
    };
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let prefix = format!("{name}{}", nanos % 1_000_000_000);
    let bench = Bench::new(Arc::new(KafkaLog::new(settings).unwrap()), runtime.handle().clone(), &prefix);
    (runtime, bench)
}

/// Sends a record whose headers have any bytes for names: rdkafka's own functions take UTF-8 only.
#[allow(unsafe_code, reason = "librdkafka itself is called")]
fn send_with_headers(topic: &str, headers: &[(&[u8], &[u8])]) {
    use rdkafka::bindings::{self, rd_kafka_vtype_t as part};
    let producer: BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    let topic = std::ffi::CString::new(topic).unwrap();
    // SAFETY: every pointer goes with its length or ends in a zero, outlives the call, and is copied there; the
    // headers become librdkafka's.
    let sent = unsafe {
        let list = bindings::rd_kafka_headers_new(headers.len());
        for (name, value) in headers {
            let (name_length, value_length) = (name.len() as isize, value.len() as isize);
            let (name, value) = (name.as_ptr().cast(), value.as_ptr().cast());
            bindings::rd_kafka_header_add(list, name, name_length, value, value_length);
        }
        bindings::rd_kafka_producev(
            producer.client().native_ptr(),
            part::RD_KAFKA_VTYPE_TOPIC,
            topic.as_ptr(),
            part::RD_KAFKA_VTYPE_MSGFLAGS,
            bindings::RD_KAFKA_MSG_F_COPY as std::ffi::c_int,
            part::RD_KAFKA_VTYPE_VALUE,
            c"v".as_ptr(),
            1_usize,
            part::RD_KAFKA_VTYPE_HEADERS,
            list,
            part::RD_KAFKA_VTYPE_END,
        )
    };
    assert_eq!(sent, bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    producer.flush(Duration::from_secs(10)).unwrap();
}

#[test]
fn kafka_passes_all_checks() {
    checks::run(&bench("check").1);
}

/// Names of headers are bytes in Kafka; whoever writes others than UTF-8 must not stop a lane for ever.
#[test]
fn a_header_whose_name_is_no_text_stops_nobody() {
    let (_runtime, bench) = bench("names");
    let topic = bench.topic(1);
    send_with_headers(&topic, &[(b"before", b"1"), (b"caf\xe9", b"2"), (b"after", b"3")]);
    let expected = [("before", Some(&b"1"[..])), ("\u{fffd}", None), ("after", Some(&b"3"[..]))];

    let stored = bench.read_topic(&topic).pop().unwrap();
    let read: Vec<_> = stored.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    assert_eq!(read, expected);

    let spec = bench.pipeline(&topic, 1, &bench.name("target"));
    let source = bench.source(&spec, 0);
    let mut batch = Batch::new(&topic, 0);
    assert_eq!(source.reader().read(&mut batch, &bounds(1)).unwrap(), Some(1));
    let read: Vec<_> =
        batch.headers_of(0).iter().map(|header| (header.name.as_str(), header.value.as_deref())).collect();
    assert_eq!(read, expected);
}
