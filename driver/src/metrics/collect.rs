//! What the agent has and has counted, as metrics, read anew for each scrape.

use std::fmt;
use std::sync::Arc;

use dataplane::DropReason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::vxlan;
use crate::control::sessions::{self, NamedCounts};
use crate::driver::Driver;
use crate::engine::{EndpointStatus, host_counts};
use crate::state::{EndpointRecord, Standing};

/// Reads the agent.
#[derive(Debug)]
pub(super) struct Agent(pub(super) Arc<Driver>);

/// An endpoint and what its engine says of it.
struct Endpoint {
    record: EndpointRecord,
    status: EndpointStatus,
}

type Encoded = Result<(), fmt::Error>;

impl Collector for Agent {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Encoded {
        let state = self.0.snapshot();
        let engine = self.0.engine();
        let (mut endpoints, mut unread) = (Vec::new(), 0);
        for record in state.endpoints() {
            match engine.endpoint_status(&record.spec.id) {
                Ok(Some(status)) => endpoints.push(Endpoint { record: record.clone(), status }),
                // Removed since the snapshot, or not restored: there is nothing to count.
                Ok(None) => {}
                Err(_) => unread += 1,
            }
        }
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("engine", engine.name())];
        gauge(&mut encoder, "build_info", "Version of the agent and its engine", labels, 1)?;
        let networks = state.networks().count();
        gauge(&mut encoder, "networks", "Networks of the agent", [("", ""); 0], networks)?;
        let warnings = engine.warnings().len();
        let help = "What the engine finds wrong with this host or with VPP";
        gauge(&mut encoder, "engine_warnings", help, [("", ""); 0], warnings)?;
        let help = "Endpoints whose counters the engine did not give for this scrape";
        gauge(&mut encoder, "endpoints_unread", help, [("", ""); 0], unread)?;
        phases(&mut encoder, state.endpoints())?;
        frames(&mut encoder, &endpoints)?;
        drops(&mut encoder, &endpoints)?;
        name_packets(&mut encoder, &endpoints)?;
        let ids = state.networks().map(|record| record.spec.id.clone());
        let segments = ids.filter_map(|id| engine.vxlan(&id).ok()?.map(|status| (id, status)));
        vxlan::encode(&mut encoder, &segments.collect::<Vec<_>>())?;
        owners(&mut encoder, &endpoints)?;
        session_counts(&mut encoder, &endpoints)
    }
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A family of one gauge.
fn gauge<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    labels: [(&str, &str); N],
    value: usize,
) -> Encoded {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    family.encode_family(&labels)?.encode_gauge(&count(value))
}

fn phases<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    records: impl Iterator<Item = &'a EndpointRecord>,
) -> Encoded {
    let mut found = [("idle", 0), ("joined", 0), ("unsettled", 0)];
    for record in records {
        let phase = match (record.standing, &record.sandbox) {
            (Standing::Unsettled, _) => 2,
            (Standing::Settled, Some(_)) => 1,
            (Standing::Settled, None) => 0,
        };
        found[phase].1 += 1;
    }
    let help = "Endpoints by where they are in their life";
    let mut family = encoder.encode_descriptor("endpoints", help, None, MetricType::Gauge)?;
    for (phase, endpoints) in found {
        family.encode_family(&[("phase", phase)])?.encode_gauge(&count(endpoints))?;
    }
    Ok(())
}

impl Endpoint {
    fn labels(&self) -> [(&'static str, &str); 2] {
        let spec = &self.record.spec;
        [("network", spec.network.as_str()), ("endpoint", spec.id.as_str())]
    }

    fn labels_and<'a>(
        &'a self,
        name: &'static str,
        value: &'a str,
    ) -> [(&'static str, &'a str); 3] {
        let [network, endpoint] = self.labels();
        [network, endpoint, (name, value)]
    }

    fn session_counts(&self) -> NamedCounts {
        self.status.sessions.as_ref().map(sessions::named).unwrap_or_default()
    }
}

type Read = fn(&EndpointStatus) -> u64;

fn frames(encoder: &mut DescriptorEncoder<'_>, endpoints: &[Endpoint]) -> Encoded {
    let families: [(&str, &str, Read); 4] = [
        ("endpoint_receive_frames", "Frames from the container, dropped ones included", |status| {
            status.counters.rx_frames
        }),
        ("endpoint_receive_bytes", "Bytes of the frames from the container", |status| {
            status.counters.rx_bytes
        }),
        ("endpoint_transmit_frames", "Frames delivered to the container", |status| {
            status.counters.tx_frames
        }),
        ("endpoint_transmit_bytes", "Bytes of the frames delivered to the container", |status| {
            status.counters.tx_bytes
        }),
    ];
    for (name, help, read) in families {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for endpoint in endpoints {
            let labels = endpoint.labels();
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&read(&endpoint.status), None)?;
        }
    }
    Ok(())
}

/// All reasons of the data path, those that are zero too, so that a first drop is seen as a change.
fn drops(encoder: &mut DescriptorEncoder<'_>, endpoints: &[Endpoint]) -> Encoded {
    let help = "Frames that were dropped, by reason";
    let mut family =
        encoder.encode_descriptor("endpoint_drops", help, None, MetricType::Counter)?;
    for endpoint in endpoints {
        let status = &endpoint.status;
        let own = DropReason::ALL.map(|reason| (reason.name(), status.counters.dropped(reason)));
        let of_engine = status.engine_drops.iter().map(|(reason, count)| (*reason, *count));
        let of_host = status.host.iter().flat_map(host_counts::dropped);
        for (reason, dropped) in own.into_iter().chain(of_engine).chain(of_host) {
            let labels = endpoint.labels_and("reason", reason);
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&dropped, None)?;
        }
    }
    Ok(())
}

fn name_packets(encoder: &mut DescriptorEncoder<'_>, endpoints: &[Endpoint]) -> Encoded {
    let help = "Packets of the kernel of the container to name servers and from them";
    let name = "endpoint_name_packets";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for endpoint in endpoints {
        for (kind, count) in endpoint.status.host.iter().flat_map(host_counts::names_passed) {
            let labels = endpoint.labels_and("kind", kind);
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

fn owners(encoder: &mut DescriptorEncoder<'_>, endpoints: &[Endpoint]) -> Encoded {
    let help = "Who owns the address of the endpoint now, always 1";
    let name = "endpoint_address_owner";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for endpoint in endpoints {
        let labels = endpoint.labels_and("owner", endpoint.status.owner);
        family.encode_family(&labels)?.encode_gauge(&1i64)?;
    }
    Ok(())
}

fn session_counts(encoder: &mut DescriptorEncoder<'_>, endpoints: &[Endpoint]) -> Encoded {
    let help = "Sessions, listeners and waiting connects of the endpoint now";
    let name = "endpoint_session_objects";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for endpoint in endpoints {
        for (kind, present) in endpoint.session_counts().present {
            let labels = endpoint.labels_and("kind", kind);
            let present = i64::try_from(present).unwrap_or(i64::MAX);
            family.encode_family(&labels)?.encode_gauge(&present)?;
        }
    }
    let help = "What happened to the sessions of the endpoint";
    let name = "endpoint_session_events";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for endpoint in endpoints {
        for (event, happened) in endpoint.session_counts().happened {
            let labels = endpoint.labels_and("event", event);
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&happened, None)?;
        }
    }
    Ok(())
}
