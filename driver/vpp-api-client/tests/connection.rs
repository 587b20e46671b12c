//! Calls against a VPP that the test plays: what goes where, and what happens when something goes wrong.

mod common;

use std::time::Duration;

use common::{Peer, text};
use vpp_api_client::api::interface::{
    SwInterfaceDetails, SwInterfaceDump, SwInterfaceEvent, SwInterfaceSetFlags,
    SwInterfaceSetFlagsReply, SwInterfaceTxPlacementDetails, SwInterfaceTxPlacementGet,
    SwInterfaceTxPlacementGetReply,
};
use vpp_api_client::api::interface_types::{IfStatusFlags, InterfaceIndex};
use vpp_api_client::api::memclnt::{
    ControlPing, ControlPingReply, MemclntKeepalive, MemclntKeepaliveReply, SockclntDelete,
    SockclntDeleteReply,
};
use vpp_api_client::{ApiError, Client, Error, Identity, Loss, Options};

fn messages() -> Vec<Identity> {
    vec![
        Identity::of::<ControlPing>(),
        Identity::of::<ControlPingReply>(),
        Identity::of::<SwInterfaceDump>(),
        Identity::of::<SwInterfaceDetails>(),
        Identity::of::<SwInterfaceSetFlags>(),
        Identity::of::<SwInterfaceSetFlagsReply>(),
        Identity::of::<SwInterfaceEvent>(),
        Identity::of::<SwInterfaceTxPlacementGet>(),
        Identity::of::<SwInterfaceTxPlacementGetReply>(),
        Identity::of::<SwInterfaceTxPlacementDetails>(),
        Identity::of::<MemclntKeepalive>(),
        Identity::of::<MemclntKeepaliveReply>(),
        Identity::of::<SockclntDelete>(),
        Identity::of::<SockclntDeleteReply>(),
    ]
}

async fn connected() -> (Client, Peer) {
    Peer::connected(&messages(), Options::default()).await
}

fn up(index: u32) -> SwInterfaceSetFlags {
    SwInterfaceSetFlags { sw_if_index: InterfaceIndex(index), flags: IfStatusFlags::ADMIN_UP }
}

#[tokio::test]
async fn answers_find_their_calls_in_any_order() {
    let (client, mut peer) = connected().await;
    let (one, two) = (up(1), up(2));
    let calls = async { tokio::join!(client.request(&one), client.request(&two)) };
    let play = async {
        let (first, one) = peer.expect::<SwInterfaceSetFlags>().await;
        let (second, two) = peer.expect::<SwInterfaceSetFlags>().await;
        assert_eq!((first, second), (up(1), up(2)));
        peer.say(&SwInterfaceSetFlagsReply { retval: -2 }, two).await;
        peer.say(&SwInterfaceSetFlagsReply { retval: 0 }, one).await;
    };
    let ((first, second), ()) = tokio::join!(calls, play);
    assert_eq!(first.expect("accepted").retval, 0);
    let refused = second.expect_err("refused");
    assert!(matches!(refused, Error::Refused { code: ApiError::INVALID_SW_IF_INDEX, .. }));
    assert_eq!(
        refused.to_string(),
        "VPP refused `sw_interface_set_flags`: INVALID_SW_IF_INDEX (-2)"
    );
}

#[tokio::test]
async fn a_dump_ends_with_the_ping_that_follows_it() {
    let (client, mut peer) = connected().await;
    let dump = SwInterfaceDump { name_filter: "loop".to_owned(), ..Default::default() };
    let play = async {
        let (asked, context) = peer.expect::<SwInterfaceDump>().await;
        assert_eq!(asked.name_filter, "loop");
        let (_, ping) = peer.expect::<ControlPing>().await;
        for index in [3, 5] {
            let sw_if_index = InterfaceIndex(index);
            let details = SwInterfaceDetails { sw_if_index, ..Default::default() };
            peer.say(&details, context).await;
        }
        peer.say(&ControlPingReply::default(), ping).await;
    };
    let (found, ()) = tokio::join!(client.dump(&dump), play);
    let indices: Vec<_> = found.expect("a dump").iter().map(|it| it.sw_if_index.0).collect();
    assert_eq!(indices, [3, 5]);
}

#[tokio::test]
async fn a_get_goes_on_from_its_cursor() {
    let (client, mut peer) = connected().await;
    let get = SwInterfaceTxPlacementGet { cursor: 0, sw_if_index: InterfaceIndex(4) };
    let play = async {
        for (cursor, retval, queue_id) in [(0, ApiError::EAGAIN.0, 1), (9, 0, 2)] {
            let (asked, context) = peer.expect::<SwInterfaceTxPlacementGet>().await;
            assert_eq!((asked.cursor, asked.sw_if_index.0), (cursor, 4));
            let details = SwInterfaceTxPlacementDetails { queue_id, ..Default::default() };
            peer.say(&details, context).await;
            peer.say(&SwInterfaceTxPlacementGetReply { retval, cursor: 9 }, context).await;
        }
    };
    let (found, ()) = tokio::join!(client.collect(&get), play);
    let queues: Vec<_> = found.expect("both rounds").iter().map(|it| it.queue_id).collect();
    assert_eq!(queues, [1, 2]);
}

#[tokio::test]
async fn events_reach_who_listens_and_say_when_some_were_lost() {
    let options = Options { event_backlog: 2, ..Options::default() };
    let (client, mut peer) = Peer::connected(&messages(), options).await;
    let mut events = client.events::<SwInterfaceEvent>().expect("a known event");
    for index in 0..4 {
        let event = SwInterfaceEvent { sw_if_index: InterfaceIndex(index), ..Default::default() };
        peer.say(&event, 0).await;
    }
    let play = async {
        let (_, context) = peer.expect::<ControlPing>().await;
        peer.say(&ControlPingReply::default(), context).await;
    };
    let (ping, ()) = tokio::join!(client.ping(), play);
    ping.expect("all that was said before has arrived");
    assert!(matches!(events.recv().await, Err(Error::EventsLost { count: 2, .. })));
    assert_eq!(events.recv().await.expect("an event").sw_if_index.0, 2);
    assert_eq!(events.recv().await.expect("an event").sw_if_index.0, 3);
    drop(peer);
    assert!(matches!(events.recv().await, Err(Error::Disconnected(Loss::ByPeer))));
}

#[tokio::test]
async fn a_lost_connection_is_told_to_everybody_who_waits_and_to_later_calls() {
    let (client, mut peer) = connected().await;
    let (one, dump) = (up(1), SwInterfaceDump::default());
    let play = async {
        peer.expect::<SwInterfaceSetFlags>().await;
        peer.expect::<SwInterfaceDump>().await;
        drop(peer);
    };
    let (request, dumped, loss, ()) =
        tokio::join!(client.request(&one), client.dump(&dump), client.closed(), play);
    assert_eq!(text(request), "the connection to VPP is lost: VPP closed it");
    assert_eq!(text(dumped), "the connection to VPP is lost: VPP closed it");
    assert!(matches!(loss, Loss::ByPeer));
    assert!(matches!(client.request(&one).await, Err(Error::Disconnected(Loss::ByPeer))));
    assert!(matches!(client.events::<SwInterfaceEvent>(), Err(Error::Disconnected(_))));
}

#[tokio::test]
async fn a_call_that_is_dropped_disturbs_no_other() {
    let (client, mut peer) = connected().await;
    let (one, two) = (up(1), up(2));
    let mut dropped = Box::pin(client.request(&one));
    let first = tokio::select! {
        heard = peer.expect::<SwInterfaceSetFlags>() => heard.1,
        _ = &mut dropped => unreachable!("nobody answers"),
    };
    drop(dropped);
    let play = async {
        let (_, second) = peer.expect::<SwInterfaceSetFlags>().await;
        assert_ne!(first, second);
        peer.say(&SwInterfaceSetFlagsReply { retval: -1 }, first).await;
        peer.say(&SwInterfaceSetFlagsReply { retval: 0 }, second).await;
    };
    let (answer, ()) = tokio::join!(client.request(&two), play);
    answer.expect("its own answer, not the late one");
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_a_timeout_and_the_connection_stays() {
    let (client, mut peer) = connected().await;
    let answer = text(client.request(&up(1)).await);
    assert_eq!(answer, "no answer to `sw_interface_set_flags` within 10s");
    peer.expect::<SwInterfaceSetFlags>().await;
    assert!(client.loss().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_vpp_that_answers_no_ping_is_given_up() {
    let (client, _peer) = connected().await;
    assert!(
        matches!(client.closed().await, Loss::Silent(after) if after == Duration::from_secs(10))
    );
}

#[tokio::test]
async fn vpp_hears_that_its_client_lives() {
    let (_client, mut peer) = connected().await;
    peer.say(&MemclntKeepalive {}, 0x0a0b_0c0d).await;
    let heard = peer.hear().await;
    assert_eq!(heard.id(), peer.number::<MemclntKeepaliveReply>());
}

#[tokio::test]
async fn a_message_that_this_vpp_lacks_is_named_before_anything_is_sent() {
    let known = [Identity::of::<ControlPing>(), Identity::of::<ControlPingReply>()];
    let (client, _peer) = Peer::connected(&known, Options::default()).await;
    assert!(!client.supports::<SwInterfaceDump>() && client.supports::<ControlPing>());
    assert!(
        text(client.dump(&SwInterfaceDump::default()).await).contains("`sw_interface_details`")
    );
    let wanted = [Identity::of::<SwInterfaceDump>(), Identity::of::<ControlPing>()];
    let missing = text(client.require(&wanted));
    assert!(missing.starts_with("1 needed message") && missing.contains("`sw_interface_dump`"));
}

#[tokio::test]
async fn bytes_that_are_no_message_end_the_connection() {
    let (client, mut peer) = connected().await;
    peer.send_raw(&[0xff; 16]).await;
    assert!(matches!(client.closed().await, Loss::Frame(_)));
}

#[tokio::test]
async fn an_answer_that_is_too_short_is_that_calls_error_alone() {
    let (client, mut peer) = connected().await;
    let one = up(1);
    let play = async {
        let (_, context) = peer.expect::<SwInterfaceSetFlags>().await;
        let mut bytes = peer.number::<SwInterfaceSetFlagsReply>().to_be_bytes().to_vec();
        bytes.extend(context.to_be_bytes());
        peer.send(&bytes).await;
    };
    let (answer, ()) = tokio::join!(client.request(&one), play);
    assert!(text(answer).starts_with("cannot read `sw_interface_set_flags_reply`"));
    assert!(client.loss().is_none());
}

#[tokio::test]
async fn closing_takes_leave_and_the_last_clone_closes_the_socket() {
    let (client, mut peer) = connected().await;
    let clone = client.clone();
    let play = async {
        let (_, context) = peer.expect::<SockclntDelete>().await;
        peer.say(&SockclntDeleteReply { response: 1 }, context).await;
    };
    let (closed, ()) = tokio::join!(client.close(), play);
    closed.expect("VPP said good-bye");
    assert!(matches!(clone.ping().await, Err(Error::Disconnected(Loss::Here))));
    drop(clone);
    peer.until_gone().await;
}

#[tokio::test]
async fn where_nobody_listens_the_error_says_what_to_look_at() {
    let error = Client::connect("/nonexistent/api.sock").await.expect_err("no such socket");
    let said = error.to_string();
    assert!(said.contains("/nonexistent/api.sock") && said.contains("socksvr"), "{said}");
}
