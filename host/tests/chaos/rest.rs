//! Waiting until nothing is on its way any more: read, committed, published, sent, and nothing parked.

use super::load::{LaneAt, Load};
use super::site::Site;
use gristmill::record::LaneId;
use std::time::{Duration, Instant};

/// How long the rest of the load may take, mails that are tried again included.
const DRAIN: Duration = Duration::from_secs(150);

/// Waits until nothing is on its way any more; answers what still is, if it takes too long.
pub fn wait_until_drained(
    site: &Site,
    load: &Load,
    supervise: &mut dyn FnMut() -> Option<String>,
) -> Result<(), String> {
    let start = Instant::now();
    loop {
        if let Some(words) = supervise() {
            return Err(format!("a host has stopped for good: {words}"));
        }
        let Err(rest) = drained(site, load) else { return Ok(()) };
        if start.elapsed() > DRAIN {
            return Err(format!("not done after {} s: {rest}", DRAIN.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// `Err` says what is still on its way.
fn drained(site: &Site, load: &Load) -> Result<(), String> {
    let view = load.view();
    for partition in 0..site.partitions {
        let Some(LaneAt { batch, next_offset, .. }) = view.get(&partition).copied() else {
            return Err(format!("partition {partition} has no lane"));
        };
        let id = LaneId { pipeline: site.name.as_str().into(), topic: site.topic().into(), partition };
        let (_, end) = site
            .runtime
            .block_on(site.log.bounds(&id.topic, partition))
            .map_err(|error| error.to_string())?;
        if next_offset < end {
            return Err(format!("partition {partition}: {next_offset} of {end} read"));
        }
        let group = site.runtime.block_on(site.log.group_ledger(&id)).map_err(|error| error.to_string())?;
        if group.next_offset != Some(next_offset) || group.batch != Some(batch) {
            return Err(format!(
                "partition {partition}: batch {batch} at {next_offset}, the group at {group:?}"
            ));
        }
    }
    let parked =
        site.runtime.block_on(site.store.parked_count(&site.name)).map_err(|error| error.to_string())?;
    let mails =
        site.runtime.block_on(site.store.mail_counts(&site.name)).map_err(|error| error.to_string())?;
    if parked > 0 || mails.pending > 0 {
        return Err(format!("{parked} records parked, {} mails on their way", mails.pending));
    }
    Ok(())
}
