//! Many containers at once, and containers removed while they start.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use kit::docker::{LIMIT, RunOptions, docker};
use kit::lab::docker_test;
use kit::{Container, wait};

/// Containers started at once.
const MANY: usize = 50;

/// How long the last of many may take to answer.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn fifty_containers_start_at_once() {
    docker_test(&[], |lab| {
        let (network, image) = (lab.network(&[])?, lab.busybox()?);
        let options = RunOptions::default().on(&network);
        let containers = in_parallel((0..MANY).collect(), |_| Container::run(&image, &options))?;
        let known = lab.agent.list("endpoints")?.len();
        ensure!(known == MANY, "the agent has {known} endpoints");
        let gateway = network.gateway(0)?.parse()?;
        let neighbour = containers[0].address(&network)?;
        for container in &containers {
            container.pings(gateway, PATIENCE)?;
        }
        for container in containers.iter().step_by(7) {
            container.pings(neighbour, PATIENCE)?;
        }
        in_parallel(containers, Container::remove)?;
        wait::until(LIMIT, "the agent has no endpoints", || {
            Ok(lab.agent.list("endpoints")?.is_empty().then_some(()))
        })
    });
}

/// Does `work` for each item in a thread of its own.
fn in_parallel<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = items.into_iter().map(|it| scope.spawn(move || work(it))).collect();
        let join = |it: thread::ScopedJoinHandle<'_, Result<R>>| {
            it.join().map_err(|_| anyhow!("a thread panicked"))?
        };
        threads.into_iter().map(join).collect()
    })
}

#[test]
fn containers_are_removed_while_they_start() {
    docker_test(&[], |lab| {
        let (network, image) = (lab.network(&[])?, lab.busybox()?);
        let options = RunOptions::default().on(&network);
        for round in 0..8_u64 {
            let container = Container::named_only();
            thread::scope(|scope| {
                let starting = scope.spawn(|| container.start_detached(&image, &options));
                wait::until(LIMIT, "Docker knows the container", || {
                    Ok((container.inspect().is_ok() || starting.is_finished()).then_some(()))
                })?;
                // A little later each round, to meet each step of the start.
                thread::sleep(Duration::from_millis(40 * round));
                docker(&["rm", "-f", container.name()])?;
                // Whether the start failed is Docker's business.
                let _ = starting.join();
                Ok::<_, anyhow::Error>(())
            })?;
        }
        wait::until(LIMIT, "the agent has no endpoints", || {
            Ok(lab.agent.list("endpoints")?.is_empty().then_some(()))
        })?;
        let one = Container::idle(&image, &network)?;
        one.pings(network.gateway(0)?.parse()?, PATIENCE)
    });
}
