//! Whom a program sees on a connection by a published port. Pure.

use std::net::{IpAddr, SocketAddr};

/// The client's address, or the stand-in's if the client's means something else in the container: the
/// loopback addresses there are the container's own, link-local ones are of the container's network, and an endpoint
/// of one family knows no other.
/// `None` when there is nobody to stand in.
pub(super) fn shown(
    client: SocketAddr,
    inside: IpAddr,
    stand_in: Option<IpAddr>,
) -> Option<SocketAddr> {
    let ip = client.ip().to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let own = ip.is_loopback() || ip.is_unspecified();
    let foreign = own || link_local || ip.is_ipv4() != inside.is_ipv4();
    let ip = if foreign { stand_in? } else { ip };
    Some(SocketAddr::new(ip, client.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn clients_are_shown_as_they_are() {
        let [four, six]: [IpAddr; 2] = ["10.1.0.2", "fd00::2"].map(|text| text.parse().unwrap());
        for (client, inside) in [("192.0.2.7:4000", four), ("[2001:db8::7]:4000", six)] {
            assert_eq!(shown(at(client), inside, None), Some(at(client)));
        }
        assert_eq!(shown(at("[::ffff:192.0.2.7]:1"), four, None), Some(at("192.0.2.7:1")));
    }

    #[test]
    fn nobody_passes_for_the_container_itself_or_for_one_of_another_family() {
        let inside = "10.1.0.2".parse().unwrap();
        let gateway = "10.1.0.1".parse().ok();
        for client in [
            "127.0.0.1:4000",
            "127.8.8.8:4000",
            "[::ffff:127.0.0.1]:4000",
            "[::1]:4000",
            "[2001:db8::7]:4000",
            "169.254.0.7:4000",
            "[::ffff:169.254.0.7]:4000",
        ] {
            assert_eq!(shown(at(client), inside, gateway), Some(at("10.1.0.1:4000")), "{client}");
            assert_eq!(shown(at(client), inside, None), None, "{client}");
        }
        let (inside, gateway) = ("fd00::2".parse().unwrap(), "fd00::1".parse().ok());
        for client in ["[fe80::7]:4000", "[febf::7]:4000", "[::1]:4000"] {
            assert_eq!(shown(at(client), inside, gateway), Some(at("[fd00::1]:4000")), "{client}");
        }
    }
}
