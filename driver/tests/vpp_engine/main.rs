//! The engine `vpp`: what it makes in VPP, what it leaves alone, and how it comes back.
//!
//! Each scenario runs twice: `real::…` on a VPP, where there is one; `scripted::…` on what such a run recorded
//! (`recordings/`), everywhere. `make vpp-record` records anew.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod fixture;
mod hosts;
mod objects;
mod outside;

use kit::namespace;
use kit::need::{Need, met, offered};
use kit::vpp_script::{Recordings, Scene};

fn recordings() -> Recordings {
    Recordings::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vpp_engine/recordings"))
}

fn on_vpp(name: &str, scenario: impl FnOnce(&mut Scene) + Send) {
    // Who wants a recording wants no test that is skipped.
    let needs = [Need::Root, Need::Vpp];
    let missing = needs.iter().find_map(|need| need.missing());
    assert!(!Scene::records() || missing.is_none(), "nothing is recorded: {missing:?}");
    if offered(&needs) {
        play(name, Scene::real, scenario);
    }
}

fn on_recording(name: &str, scenario: impl FnOnce(&mut Scene) + Send) {
    // The engine tidies up among the links of its network, recording or not.
    if met(&[Need::Root]) {
        play(name, Scene::played, scenario);
    }
}

/// Plays a scenario in a network namespace of its own.
fn play(
    name: &str,
    scene: fn(&Recordings, &str) -> anyhow::Result<Scene>,
    scenario: impl FnOnce(&mut Scene) + Send,
) {
    let played = namespace::in_a_new_one(name, || {
        let mut scene = scene(&recordings(), name).unwrap();
        scenario(&mut scene);
        scene.finish().unwrap();
    });
    played.unwrap();
}

/// A test on VPP and one on its recording for each scenario.
macro_rules! scenarios {
    ($($module:ident: $($name:ident),+;)+) => {
        /// On a VPP.
        mod real {
            $($(#[test] fn $name() { super::on_vpp(stringify!($name), super::$module::$name); })+)+
        }

        /// On recordings.
        mod scripted {
            $($(#[test] fn $name() {
                super::on_recording(stringify!($name), super::$module::$name);
            })+)+

            #[test]
            fn every_recording_is_of_a_scenario() {
                let scenarios = [$($(stringify!($name)),+),+];
                assert_eq!(super::recordings().scenarios().unwrap(), super::sorted(&scenarios));
            }
        }
    };
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    names.sort_unstable();
    names
}

scenarios! {
    objects:
        all_that_was_made_is_removed_and_what_was_there_stays,
        the_next_agent_takes_up_what_it_remembers_and_removes_the_rest,
        vpp_is_told_again_what_it_forgot,
        while_vpp_is_away_new_things_are_refused_and_old_ones_go,
        what_an_operator_breaks_is_mended;
    hosts:
        endpoints_in_vpps_host_stack_are_stations_and_leave_nothing,
        hosts_that_are_made_where_others_were_are_reached_and_so_are_those_that_stay,
        the_next_agent_takes_up_hosts_and_vpp_is_told_them_again,
        tables_of_who_left_go_while_another_has_its_address,
        what_the_host_stack_lacks_is_said_before_a_network_is_made;
    outside:
        published_ports_come_and_go_also_with_vpp,
        without_an_outside_interface_no_port_is_served;
}
