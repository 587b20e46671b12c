//! Whether the agent and Docker have the same networks.

use super::Finding;
use crate::model::NetworkId;
use crate::reconcile::DockerView;

const CHECK: &str = "agreement";

const BY_HAND: &str = "a network whose removal the agent missed holds its subnet until you compare \
                       `dockervpp show networks` with `docker network ls` and forget it";

/// Judges what the agent saw of Docker at its last look.
pub(super) fn judge(view: &DockerView) -> Finding {
    let Some(socket) = &view.socket else {
        return Finding::info(CHECK, "the agent does not ask Docker which networks there are")
            .means(BY_HAND)
            .fix("dockervpp serve --docker-socket /var/run/docker.sock");
    };
    if let Some(trouble) = &view.trouble {
        return Finding::warning(CHECK, trouble.clone()).means(BY_HAND).fix(
            "start Docker, or name its socket with `dockervpp serve --docker-socket` (`none` if \
             the agent cannot have it)",
        );
    }
    if !view.foreign.is_empty() {
        let seen = format!(
            "containers run on networks that the Docker at {} does not have: {}",
            socket.display(),
            names(&view.foreign)
        );
        return Finding::warning(CHECK, seen)
            .means(format!("another Docker uses this driver, so nothing is forgotten; {BY_HAND}"))
            .fix("give each Docker an agent of its own, with its socket in `--docker-socket`");
    }
    if !view.unknown.is_empty() {
        return Finding::warning(CHECK, format!("only Docker has: {}", names(&view.unknown)))
            .means("the agent's state was lost; containers on these networks do not start")
            .fix(format!("docker network rm {}, and create them again", names(&view.unknown)));
    }
    if !view.missing.is_empty() {
        let seen = format!("Docker no longer has: {}", names(&view.missing));
        return Finding::info(CHECK, seen).means("the agent forgets them within a minute");
    }
    if view.answered {
        Finding::ok(CHECK, "the agent and Docker have the same networks")
    } else {
        Finding::ok(CHECK, "the agent has no networks, or has just started")
    }
}

fn names(networks: &[NetworkId]) -> String {
    networks.iter().map(NetworkId::short).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::Verdict;
    use super::*;

    fn judged(change: impl FnOnce(&mut DockerView)) -> Finding {
        let socket = Some(PathBuf::from("/d.sock"));
        let mut view = DockerView { socket, answered: true, ..DockerView::default() };
        change(&mut view);
        judge(&view)
    }

    #[test]
    fn agreement_is_well() {
        assert_eq!(judged(|_| ()).verdict, Verdict::Ok);
        assert_eq!(judged(|view| view.answered = false).verdict, Verdict::Ok);
    }

    #[test]
    fn disagreement_says_what_helps() {
        let lost = || vec!["n1".parse().unwrap()];
        let worst = [
            (judged(|view| view.socket = None), Verdict::Info),
            (judged(|view| view.trouble = Some("cannot connect".to_owned())), Verdict::Warning),
            (judged(|view| view.foreign = lost()), Verdict::Warning),
            (judged(|view| view.unknown = lost()), Verdict::Warning),
        ];
        for (finding, verdict) in worst {
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.means.is_some() && finding.fix.is_some(), "{finding:?}");
        }
        let passing = judged(|view| view.missing = lost());
        assert!(passing.verdict == Verdict::Info && passing.seen.contains("n1"), "{passing:?}");
    }
}
